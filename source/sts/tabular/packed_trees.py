"""Fitted trees as arrays that can be stored, and the leaf that each row falls into.

The nodes of a tree stand in the order in which a walk from the root meets them, left before right.
Which of them are leaves then says all about its shape, and every such list of nodes is a sound
tree: a file cannot hold a child that leads nowhere, or back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Bools, Floats, Ints
from sts.tabular.trees import BoostedTrees

# Bits of LightGBM's decision types: a category, the side of missing values, what counts as missing.
CATEGORY: Final = 1
MISSING_LEFT: Final = 2
ZERO_MISSING: Final = 4
NAN_MISSING: Final = 8
# Rows times trees that are looked up at once, for memory.
_AT_ONCE: Final = 2_000_000
_LARGEST: Final = np.finfo(np.float64).max


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedTrees:
    """Trees, one after the other."""

    is_leaf: Bools
    """(nodes,), all nodes of all trees."""
    feature: Ints
    """(inner nodes,), what a node compares."""
    threshold: Floats
    """(inner nodes,), values up to this go left."""
    missing_left: Bools
    """(inner nodes,), whether missing values go left."""

    @cached_property
    def roots(self) -> Ints:
        """Return the first node of each tree."""
        ends = np.flatnonzero(self._levels[1:] < np.minimum.accumulate(self._levels)[:-1])
        return np.concatenate([[0], ends[:-1] + 1])

    @cached_property
    def _levels(self) -> Ints:
        """Return the sum over earlier nodes of 1 for an inner node and -1 for a leaf."""
        steps = np.where(self.is_leaf, -1, 1)
        return np.concatenate([[0], np.cumsum(steps)])

    @cached_property
    def _rights(self) -> Ints:
        """Return the right child of each inner node: the next node with the same sum."""
        levels = self._levels[:-1]
        order = np.argsort(levels, kind="stable")
        following = np.zeros(len(levels), dtype=np.int64)
        following[order[:-1]] = order[1:]
        return following[~self.is_leaf]

    @cached_property
    def _places(self) -> Ints:
        """Return the number of each node among the inner nodes, or among the leaves."""
        inner = np.cumsum(~self.is_leaf) - 1
        return np.where(self.is_leaf, np.cumsum(self.is_leaf) - 1, inner)

    def find_leaves(self, X: Floats) -> Ints:
        """Return the leaf of each row in each tree, (rows, trees), counted over all trees."""
        step = max(1, _AT_ONCE // len(self.roots))
        parts = [self._descend(X[first : first + step]) for first in range(0, len(X), step)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.roots)), dtype=np.int64)

    def _descend(self, X: Floats) -> Ints:
        node = np.tile(self.roots, (len(X), 1))
        rows, trees = np.nonzero(~self.is_leaf[node])
        while len(rows):
            now = node[rows, trees]
            at = self._places[now]
            values = X[rows, self.feature[at]]
            left = np.where(np.isnan(values), self.missing_left[at], values <= self.threshold[at])
            after = np.where(left, now + 1, self._rights[at])
            node[rows, trees] = after
            inner = ~self.is_leaf[after]
            rows, trees = rows[inner], trees[inner]
        return np.asarray(self._places[node])

    def arrays(self) -> dict[str, Any]:
        """Return the arrays to be stored."""
        small = np.uint8 if self.feature.max(initial=0) < 2**8 else np.int32
        return {
            "is_leaf": np.packbits(self.is_leaf),
            "feature": self.feature.astype(small),
            "threshold": self.threshold,
            "missing_left": np.packbits(self.missing_left),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Any], features: int) -> Self:
        """Return the trees in stored arrays of this number of features; a fault is an error."""
        feature, threshold = arrays["feature"], arrays["threshold"]
        inner = len(feature)
        if threshold.shape != (inner,) or (inner and not 0 <= feature.min() <= feature.max()):
            raise StsError("its trees have nodes without a comparison")
        if inner and feature.max() >= features:
            raise StsError("a tree compares a feature that does not exist")
        is_leaf = unpack_bits(arrays["is_leaf"])
        # The last bits fill a byte: nodes end with a leaf, after as many inner nodes as there are.
        ends = np.flatnonzero(np.cumsum(~is_leaf) == inner)
        levels = np.cumsum(np.where(is_leaf, -1, 1))
        lowest = np.minimum.accumulate(levels)
        complete = ends[(levels[ends] == lowest[ends]) & is_leaf[ends]] if len(ends) else ends
        count = int(arrays["trees"])
        whole = complete[levels[complete] == -count]
        missing_left = unpack_bits(arrays["missing_left"])
        if not len(whole) or count < 1 or len(missing_left) < inner:
            raise StsError("its trees are cut off or changed")
        return cls(
            is_leaf=is_leaf[: whole[0] + 1],
            feature=feature.astype(np.int64),
            threshold=threshold,
            missing_left=missing_left[:inner],
        )


def unpack_bits(bits: Any, count: int | None = None) -> Bools:
    """Return the first truth values of packed bits, all of them by default."""
    return np.unpackbits(bits.astype(np.uint8), count=count).astype(bool)


@dataclass(frozen=True, kw_only=True, eq=False)
class OneTree:
    """The nodes of one tree in any order, the first of them the root."""

    left: Ints
    """(nodes,), the left child, negative for a leaf."""
    right: Ints
    feature: Ints
    threshold: Floats
    missing_left: Bools


def pack_trees(trees: Iterable[OneTree]) -> tuple[PackedTrees, list[Ints]]:
    """Return trees, and the nodes of each tree that its leaves were, in their new order."""
    parts, leaves = [], []
    for tree in trees:
        order = _walk(tree)
        is_leaf = tree.left[order] < 0
        inner = order[~is_leaf]
        parts.append(
            (is_leaf, tree.feature[inner], tree.threshold[inner], tree.missing_left[inner])
        )
        leaves.append(order[is_leaf])
    is_leaf, feature, threshold, missing_left = map(np.concatenate, zip(*parts, strict=True))
    packed = PackedTrees(
        is_leaf=is_leaf, feature=feature, threshold=threshold, missing_left=missing_left
    )
    return packed, leaves


def _walk(tree: OneTree) -> Ints:
    """Return the nodes in the order of a walk from the root, left before right."""
    left, right = tree.left.tolist(), tree.right.tolist()
    order, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        if left[node] >= 0:
            waiting += [right[node], left[node]]
    return np.array(order)


def pack_boosted(trees: BoostedTrees) -> tuple[PackedTrees, Floats]:
    """Return the trees of LightGBM and the values of their leaves, (leaves,)."""
    texts = trees.text().split("\nTree=")[1:]
    read = [_read_tree(text.split("\n\n")[0]) for text in texts]
    packed, leaves = pack_trees(tree for tree, _ in read)
    # Leaves follow the inner nodes of their tree.
    values = [
        values[order - (len(tree.left) - len(values))]
        for (tree, values), order in zip(read, leaves, strict=True)
    ]
    return packed, np.concatenate(values)


def _read_tree(text: str) -> tuple[OneTree, Floats]:
    """Return a tree in LightGBM's own text, and the values of its leaves."""
    lines = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)

    def numbers(name: str, kind: type) -> Any:
        return np.array(lines.get(name, "").split(), dtype=kind)

    values = numbers("leaf_value", np.float64)
    inner = len(values) - 1
    children = [numbers(f"{side}_child", np.int64) for side in ("left", "right")]
    # Leaf k is child -1 - k.
    left, right = (np.where(each < 0, inner - 1 - each, each) for each in children)
    kinds = numbers("decision_type", np.int64)
    if (kinds & (CATEGORY | ZERO_MISSING)).any():
        raise ValueError("trees that split categories, or take 0 as missing, cannot be packed")
    threshold = np.clip(numbers("threshold", np.float64), -_LARGEST, _LARGEST)
    # Where no training cell lacked the feature, LightGBM takes a missing value as 0.
    missing_left = np.where(kinds & NAN_MISSING, (kinds & MISSING_LEFT) > 0, threshold >= 0)
    none = np.full(len(values), -1)
    tree = OneTree(
        left=np.concatenate([left, none]),
        right=np.concatenate([right, none]),
        feature=numbers("split_feature", np.int64),
        threshold=threshold,
        missing_left=missing_left.astype(bool),
    )
    return tree, values


def pack_forest(trees: Iterable[Any]) -> tuple[PackedTrees, Floats]:
    """Return the trees of a forest of scikit-learn and the values of their leaves, (leaves, k).

    They compare features in float32: with thresholds rounded down to float32 every row goes the
    same way.
    """
    inner = [tree.tree_ for tree in trees]
    packed, leaves = pack_trees(
        OneTree(
            left=tree.children_left,
            right=tree.children_right,
            feature=tree.feature,
            threshold=_round_down(tree.threshold),
            missing_left=np.zeros(tree.node_count, dtype=bool),
        )
        for tree in inner
    )
    values = [tree.value[order, 0] for tree, order in zip(inner, leaves, strict=True)]
    return packed, np.concatenate(values)


def _round_down(values: Floats) -> Floats:
    near = values.astype(np.float32)
    below = np.nextafter(near, np.float32(-np.inf))
    return np.asarray(np.where(near > values, below, near))
