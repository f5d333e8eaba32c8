"""A tree of types on disk: model.json and one file of arrays, without any training cell.

Everything that answers for a new cell is kept: classifiers of all nodes, the calibration of
prediction sets, prototypes of types, limits of what is unlike them, and percentiles of features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.model_files import (
    CARD,
    Arrays,
    Writing,
    check_plain_name,
    library_versions,
    read_arrays,
    read_card,
    write_model,
)
from sts.base.settings import Bounds, Seed, Share, check_fields
from sts.base.types import Bools, Floats
from sts.datasets.cell_types import CLASS_DEPTH
from sts.datasets.feature_sets import KNOWN
from sts.datasets.formulas import FORMULAS
from sts.evaluation.calibration import form_sets
from sts.evaluation.neighbours import UNLIKE_PERCENTILE
from sts.evaluation.prediction_sets import SetScores
from sts.evaluation.type_scores import count_shares
from sts.evaluation.type_tree import TypeTree, split_label
from sts.tabular.packed_trees import unpack_bits
from sts.tabular.prototypes import Prototypes, UnlikeRule
from sts.tabular.stored_members import StoredPool, store_members
from sts.tabular.type_classifier import TypeTreeClassifier

FORMAT: Final = "sts-types 3"
ARRAYS: Final = "types.safetensors"
NAME: Final = "TypeTree"
LIBRARIES: Final = ("lightgbm", "numpy", "scikit-learn")
AGAIN: Final = "train it again with `baseline_pipeline.py --types`"
MOST_TYPES: Final = 2000
# Percentiles of each feature among training cells, without the extremes, which are single cells.
PERCENTS: Final = np.arange(1, 100)
PROTOTYPES: Final = "prototypes."
_SETS: Final = "sets."


@dataclass(frozen=True, kw_only=True)
class TypeCard:
    """Everything about a tree of types except its arrays."""

    name: str = NAME
    features: str = "engineered"
    """The name of the set of features."""
    names: tuple[str, ...]
    formulas: dict[str, str] = field(default_factory=dict)
    types: tuple[str, ...]
    """The label of every node, the root first."""
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The classifiers of the children of each node, by its label."""
    depths: tuple[Annotated[int, Bounds(1, 20)], ...]
    """Of the levels that have prediction sets."""
    group_depth: Annotated[int, Bounds(1, 20)] = 3
    coverage: Share = 0.9
    percentile: Annotated[float, Bounds(0, 100)] = UNLIKE_PERCENTILE
    """Percentage of training cells that are not called unlike all others."""
    seed: Seed = 0
    settings: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """The training data: numbers of cells, digest of the training cells."""
    versions: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    format: str = FORMAT

    def __post_init__(self) -> None:
        """Raise an error for numbers that no training can give."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureRanks:
    """How features are distributed among the training cells."""

    percentiles: Floats
    """(PERCENTS, features)"""
    missing: Floats
    """(features,), share of the cells without a value."""

    def shares(self, at: int, value: float) -> tuple[float, float]:
        """Return the shares of cells with a lower and with a higher value of a feature."""
        column = self.percentiles[:, at]
        below, above = (np.searchsorted(column, value, side=side) for side in ("left", "right"))
        return float(below) / 100, float(len(column) - above) / 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Unlikeness:
    """How far cells are from the nearest prototype, and how far a cell like the others may be."""

    scores: Floats
    limits: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class TypeModel:
    """A fitted tree of types with all that its answers need."""

    card: TypeCard
    nodes: Mapping[int, StoredPool]
    """The classifiers of the children of each node that branches."""
    sets: tuple[tuple[SetScores, ...], ...]
    """For each mask of `unlike`, and each depth."""
    prototypes: Prototypes
    unlike: UnlikeRule
    ranks: FeatureRanks

    @cached_property
    def tree(self) -> TypeTree:
        """Return the tree."""
        return TypeTree(paths=tuple(map(split_label, self.card.types)))

    @cached_property
    def class_shares(self) -> Floats:
        """Return the share of each class among the training cells."""
        types: Mapping[str, int] = self.card.data["types"]
        nodes, counts = self.tree.find_nodes(types), np.array(list(types.values()))
        return count_shares(self.tree, nodes, depth=CLASS_DEPTH, counts=counts)

    def node_probabilities(self, X: Floats, *, deepest: int = MOST_TYPES) -> Floats:
        """Return the probability of every node, (cells, nodes); the root has 1.

        Parameters
        ----------
        deepest
            Nodes below this depth are left at 0.
        """
        found = np.zeros((len(X), len(self.tree)))
        found[:, 0] = 1.0
        for parent in np.unique(self.tree.parents[1:]).tolist():
            children = self.tree.children(parent)
            if self.tree.depths[parent] >= deepest:
                continue
            found[:, children] = found[:, [parent]]
            if parent in self.nodes:
                found[:, children] *= self.nodes[parent].predict_proba(X)
        return found

    def measure_unlike(self, X: Floats) -> Unlikeness:
        """Return how unlike all types the cells are."""
        return Unlikeness(
            scores=self.prototypes.scores(X).min(axis=1), limits=self.unlike.limits_of(X)
        )

    def find_sets(self, X: Floats, probabilities: Floats, coverage: float) -> list[Bools]:
        """Return the set of each cell at every depth, (cells, nodes of the level) each.

        A cell is compared with calibration cells of which the same stimuli are known. It is of no
        known data set: its sets are as large as the least certain data set needs them.

        Parameters
        ----------
        probabilities
            (cells, nodes), of cells X.
        """
        found = [
            np.zeros((len(X), len(self.tree.level(depth))), bool) for depth in self.card.depths
        ]
        masks = self.unlike.nearest_masks(X)
        for mask in np.unique(masks).tolist():
            cells = masks == mask
            for level, each in zip(found, self.sets[mask], strict=True):
                level[cells] = form_sets(each.p_values(probabilities[cells]), coverage)
        return found


def store_nodes(classifier: TypeTreeClassifier) -> dict[int, StoredPool]:
    """Return the fitted classifiers of all nodes that branch."""
    return {
        int(parent): store_members(each) for parent, each in sorted(classifier.estimators_.items())
    }


def find_ranks(X: Floats) -> FeatureRanks:
    """Return the distribution of the features of training cells (cells, features)."""
    known = np.where(np.isfinite(X).any(axis=0), X, 0.0)
    return FeatureRanks(
        percentiles=np.nanpercentile(known, PERCENTS, axis=0), missing=np.isnan(X).mean(axis=0)
    )


def types_folder(models: Path, name: str | None = None) -> Path:
    """Return the folder of the tree of types, under its usual name or that of the user."""
    last = TypeCard.features if name is None else check_plain_name(name)
    return models / f"{NAME}_best_models" / last


def save_types(folder: Path, model: TypeModel) -> TypeModel:
    """Write a model and return it with its card as written, with versions and sha256."""
    with write_model(folder) as files:
        card = write_types(files, model)
    return replace(model, card=card)


def write_types(files: Writing, model: TypeModel) -> TypeCard:
    """Write the arrays and the card of a model."""
    arrays = {
        "ranks.percentiles": model.ranks.percentiles,
        "ranks.missing": model.ranks.missing,
        "unlike.masks": np.packbits(model.unlike.masks, axis=1),
        "unlike.limits": model.unlike.limits,
        **{PROTOTYPES + name: each for name, each in model.prototypes.arrays().items()},
    }
    for mask, levels in enumerate(model.sets):
        for each in levels:
            place = f"{_SETS}{mask}.{each.depth}."
            arrays[f"{place}known"] = each.known.astype(np.float32)
            counts = np.zeros((int(each.sources.max(initial=0)) + 1, len(model.tree)), np.int64)
            np.add.at(counts, (each.sources, each.groups), 1)
            arrays[f"{place}groups"] = counts
    for parent, pool in model.nodes.items():
        arrays |= {f"node.{parent}.{name}": each for name, each in pool.arrays().items()}
    names = model.tree.labels
    card = replace(
        model.card,
        formulas={name: FORMULAS[name] for name in model.card.names if name in FORMULAS},
        members={names[parent]: pool.kinds for parent, pool in model.nodes.items()},
        versions=library_versions(LIBRARIES),
        sha256={ARRAYS: files.add_arrays(ARRAYS, arrays, form=FORMAT)},
    )
    files.add_card(card)
    return card


def load_types(folder: Path, *, again: str = AGAIN) -> TypeModel:
    """Return the model in `folder` after checks.

    Parameters
    ----------
    again
        Advice to the user where the model is missing or damaged.
    """
    card = read_card(folder, TypeCard, form=FORMAT, missing=again, again=again)
    path = folder / CARD
    try:
        _check_card(card)
    except StsError as error:
        raise StsError(f"{path}: {error}: {again}") from error
    path = folder / ARRAYS
    arrays = read_arrays(path, digest=card.sha256[ARRAYS], again=again)
    try:
        return _build_model(card, arrays)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise StsError(f"{path} lacks what its {CARD} names ({error}): {again}") from error
    except StsError as error:
        raise StsError(f"{path}: {error}: {again}") from error


def _check_card(card: TypeCard) -> None:
    """Raise an error for a card that contradicts itself or this version."""
    check_plain_name(card.features)
    if card.name != NAME or set(card.sha256) != {ARRAYS}:
        raise StsError("it contradicts itself")
    if len(card.types) > MOST_TYPES:
        raise StsError(f"{len(card.types)} types are too many")
    if not card.names or len(set(card.names)) < len(card.names) or set(card.names) - set(KNOWN):
        raise StsError("it names no features, or one twice, or one that is not known")
    changed = [name for name, text in card.formulas.items() if FORMULAS.get(name) != text]
    if changed:
        raise StsError(f"this version derives {changed[0][:40]} in another way")
    try:
        tree = TypeTree(paths=tuple(map(split_label, card.types)))
    except ValueError as error:
        raise StsError(f"its types are no tree: {error}") from error
    parents = np.unique(tree.parents[1:]).tolist()
    branching = {tree.labels[node] for node in parents if len(tree.children(node)) > 1}
    if branching != set(card.members):
        raise StsError("it does not name the classifiers of the nodes that branch")
    if card.depths != tuple(range(1, int(tree.depths.max()) + 1)):
        raise StsError("it does not name the depths of its tree")


def _build_model(card: TypeCard, arrays: Arrays) -> TypeModel:
    tree = TypeTree(paths=tuple(map(split_label, card.types)))
    features = len(card.names)
    places = {label: at for at, label in enumerate(tree.labels)}
    nodes = {
        places[label]: StoredPool.of(
            kinds,
            _select(arrays, f"node.{places[label]}."),
            features,
            len(tree.children(places[label])),
        )
        for label, kinds in card.members.items()
    }
    masks = unpack_bits(arrays["unlike.masks"]).reshape(len(arrays["unlike.masks"]), -1)
    unlike = UnlikeRule(masks=masks[:, :features], limits=arrays["unlike.limits"])
    ranks = FeatureRanks(percentiles=arrays["ranks.percentiles"], missing=arrays["ranks.missing"])
    shapes = (unlike.masks.shape, ranks.percentiles.shape, ranks.missing.shape)
    wanted = ((len(unlike.limits), features), (len(PERCENTS), features), (features,))
    if shapes != wanted or not len(masks):
        raise StsError("its limits or percentiles do not fit its features")
    return TypeModel(
        card=card,
        nodes=nodes,
        sets=tuple(
            tuple(
                _read_sets(card, tree, depth, _select(arrays, f"{_SETS}{mask}.{depth}."))
                for depth in card.depths
            )
            for mask in range(len(masks))
        ),
        prototypes=Prototypes.of(_select(arrays, PROTOTYPES), len(tree), features),
        unlike=unlike,
        ranks=ranks,
    )


def _select(arrays: Arrays, prefix: str) -> Arrays:
    return {
        name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)
    }


def _read_sets(card: TypeCard, tree: TypeTree, depth: int, arrays: Arrays) -> SetScores:
    known, counts = arrays["known"], arrays["groups"].astype(np.int64)
    is_sound = counts.ndim == 2 and counts.shape[1] == len(tree) and counts.min(initial=0) >= 0
    if not is_sound or known.shape != (counts.sum(),):
        raise StsError(f"the calibration of its sets at depth {depth} does not fit its tree")
    groups, sources = np.indices(counts.T.shape)
    return SetScores(
        tree=tree,
        depth=depth,
        group_depth=card.group_depth,
        known=known,
        groups=np.repeat(groups.ravel(), counts.T.ravel()),
        sources=np.repeat(sources.ravel(), counts.T.ravel()),
    )
