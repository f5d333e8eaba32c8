"""A tree of cell types, and probabilities that agree on all its levels.

A label is the path to a node, its names joined by " > ": "Inhibitory > Vip/Lamp5 > Vip" is coarser
than "Inhibitory > Vip/Lamp5 > Vip > Vip Gpc3 Slc18a3". A label without the sign is a node below the
root, so that plain classes are a tree of one level.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from sts.base.types import Bools, Floats, Ints

_SEPARATOR: Final = " > "
# Node of a cell whose label contains no information.
ROOT: Final = 0

Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TypeTree:
    """All nodes of a tree, every parent before its children; the first is the root."""

    paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        """Raise an error if the nodes are not a tree."""
        known: set[Path] = set()
        for path in self.paths:
            if path in known:
                raise ValueError(f"node {join_path(path)!r} is in the tree twice")
            if path and path[:-1] not in known:
                raise ValueError(f"node {join_path(path)!r} comes before its parent")
            known.add(path)
        if self.paths[:1] != ((),) or len(self.paths) < 2:
            raise ValueError("the first node must be the root, and another one must follow")

    @classmethod
    def from_labels(cls, labels: Iterable[str]) -> "TypeTree":
        """Return the smallest tree with these labels; its nodes are in alphabetical order."""
        nodes = {
            path[:depth] for path in map(split_label, labels) for depth in range(len(path) + 1)
        }
        return cls(paths=tuple(sorted(nodes)))

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Return the label of every node, "" for the root."""
        return tuple(map(join_path, self.paths))

    @cached_property
    def parents(self) -> Ints:
        """Return the parent of every node, -1 for the root."""
        places = {path: at for at, path in enumerate(self.paths)}
        return np.array([places[path[:-1]] if path else -1 for path in self.paths])

    @cached_property
    def depths(self) -> Ints:
        """Return the depth of every node; the root has depth 0."""
        return np.array([len(path) for path in self.paths])

    @cached_property
    def leaves(self) -> Ints:
        """Return the nodes without children."""
        return np.setdiff1d(np.arange(len(self)), self.parents)

    @cached_property
    def contains(self) -> Bools:
        """Tell which nodes are equal to each node or below it, (nodes, nodes)."""
        inside = np.eye(len(self), dtype=bool)
        for node in range(len(self) - 1, ROOT, -1):
            inside[self.parents[node]] |= inside[node]
        return inside

    def children(self, node: int) -> Ints:
        """Return the nodes directly below a node."""
        return np.flatnonzero(self.parents == node)

    def level(self, depth: int) -> Ints:
        """Return the nodes at a depth and the leaves above it; every cell belongs to one."""
        is_leaf = np.isin(np.arange(len(self)), self.leaves)
        return np.flatnonzero((self.depths == depth) | (is_leaf & (self.depths < depth)))

    def find_nodes(self, labels: Iterable[str]) -> Ints:
        """Return the node of each label, or the nearest ancestor that is in the tree."""
        places = {path: at for at, path in enumerate(self.paths)}
        nodes = []
        for path in map(split_label, labels):
            ancestors = (path[:depth] for depth in range(len(path), -1, -1))
            nodes.append(next(places[node] for node in ancestors if node in places))
        return np.array(nodes, dtype=np.int64)

    def lift(self, nodes: Ints, depth: int) -> Ints:
        """Return the ancestor of each node at a depth, -1 for a node above the depth.

        A leaf above the depth is its own ancestor.
        """
        level = self.level(depth)
        inside = self.contains[level][:, nodes]
        return np.where(inside.any(axis=0), level[inside.argmax(axis=0)], -1)

    def with_level(self, probabilities: Floats, of_level: Floats, depth: int) -> Floats:
        """Return the probabilities of all nodes after those of one level were changed.

        Parameters
        ----------
        probabilities
            (cells, nodes)
        of_level
            (cells, nodes of the level), their new probabilities. Below them the shares of children
            stay as they are.
        """
        level = self.level(depth)
        before, inside = probabilities[:, level], self.contains[level]
        factors = np.divide(of_level, before, out=np.zeros_like(of_level), where=before > 0)
        changed = probabilities * (factors @ inside)
        above = ~inside.any(axis=0)
        changed[:, above] = of_level @ self.contains[np.ix_(above, level)].T
        return np.asarray(changed)


def split_label(label: str) -> Path:
    """Return the names on the path from the root to a label."""
    return tuple(name for name in label.split(_SEPARATOR) if name)


def join_path(path: Sequence[str]) -> str:
    """Return the label of a path."""
    return _SEPARATOR.join(path)
