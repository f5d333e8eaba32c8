"""Prediction sets: the possible types of a cell, with a guarantee (conformal prediction).

Sets at a coverage of 90 % contain the true type of 90 of 100 new cells, for any classifier, if new
cells and calibration cells come from the same distribution (Vovk et al., 2005). Here this is true
for every class separately (label-conditional, "Mondrian"); otherwise sets could be correct for the
frequent classes only. A class is excluded from the set of a cell if the probability of the class is
lower than for nearly all calibration cells of that class (Sadinle et al., 2019).

On a tree of types, the coverage of sets is exact at one depth. The sets of the ancestors of their
members contain the true ancestor at least as often. If a single answer is needed, it is the deepest
node above the whole set.
"""

# Ours, since MAPIE guarantees coverage over all classes together, crepes knows plain classes only,
# and both keep the calibration inside an object that wraps the classifier and would be pickled.
# What is needed is the rank of a number among others.

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Bools, Floats, Ints
from sts.evaluation.scores import Interval, proportion_of
from sts.evaluation.type_tree import ROOT, TypeTree

COVERAGE: Final = 0.9


def class_p_values(
    probabilities: Floats, calibration: Floats, truth: Ints, *, groups: Ints | None = None
) -> Floats:
    """Return the p value of each class for each cell, (cells, classes).

    It is the share of calibration cells of the class, including the new cell, whose probability of
    the class is not larger than that of the new cell.

    Parameters
    ----------
    probabilities
        (cells, classes)
    calibration
        (calibration cells, classes), of cells outside the fit of the classifier.
    truth
        (calibration cells,), index of the true class.
    groups
        (classes,), the group of each class: classes of a group have common calibration cells, so
        that the guarantee is valid for the group; None: each class is a group of its own.
    """
    groups = np.arange(probabilities.shape[1]) if groups is None else groups
    own = calibration[np.arange(len(truth)), truth]
    return rank_conformity(probabilities, groups, own, groups[truth])


def rank_conformity(
    probabilities: Floats, groups: Ints, known: Floats, known_groups: Ints
) -> Floats:
    """Return the p value of each class for each cell from what calibration cells are reduced to.

    Parameters
    ----------
    groups
        (classes,), the group of each class.
    known, known_groups
        (calibration cells,), the probability of the own class, and its group.
    """
    found = np.ones(probabilities.shape)
    for group in np.unique(groups):
        own = np.sort(known[known_groups == group])
        members = groups == group
        lower = np.searchsorted(own, probabilities[:, members], side="right")
        found[:, members] = (lower + 1) / (len(own) + 1)
    return found


def prediction_sets(p_values: Floats, coverage: float = COVERAGE) -> Bools:
    """Return the possible classes of each cell, (cells, classes).

    A set may be empty: the cell is unusual in every class.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, not {coverage}")
    # Rounded, since 1 - 0.9 is a little less than 0.1.
    return np.asarray(p_values > round(1 - coverage, 9))


@dataclass(frozen=True, kw_only=True, eq=False)
class TreeSets:
    """The calibration cells and their types for prediction sets at one depth of a tree."""

    tree: TypeTree
    depth: int
    group_depth: int
    """All types with the same ancestor at this depth have common calibration cells."""
    calibration: Floats
    """(calibration cells, nodes), probabilities of the nodes."""
    truth: Ints
    """(calibration cells,), node of each cell, at the depth or deeper."""

    @property
    def level(self) -> Ints:
        """Return the nodes that can be in a set."""
        return self.tree.level(self.depth)

    def p_values(self, probabilities: Floats) -> Floats:
        """Return the p-value of each node of `level`, (cells, nodes of the level).

        Parameters
        ----------
        probabilities
            (cells, nodes), of all nodes of the tree.
        """
        return self.reduce().p_values(probabilities)

    def reduce(self) -> "SetScores":
        """Return what the sets need of the calibration cells: one number of each."""
        own = self.tree.lift(self.truth, self.depth)
        groups = self.tree.lift(own, min(self.depth, self.group_depth))
        known = self.calibration[np.arange(len(own)), own]
        order = np.lexsort((known, groups))
        return SetScores(
            tree=self.tree,
            depth=self.depth,
            group_depth=self.group_depth,
            known=known[order],
            groups=groups[order],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class SetScores:
    """The calibration of sets at one depth without its cells: sorted scores of each group."""

    tree: TypeTree
    depth: int
    group_depth: int
    known: Floats
    """(calibration cells,), probability of the own type."""
    groups: Ints
    """(calibration cells,), node of the group."""

    def p_values(self, probabilities: Floats) -> Floats:
        """Return the p-value of each node at the depth, (cells, nodes of the level).

        Parameters
        ----------
        probabilities
            (cells, nodes), of all nodes of the tree.
        """
        level = self.tree.level(self.depth)
        groups = self.tree.lift(level, min(self.depth, self.group_depth))
        return rank_conformity(probabilities[:, level], groups, self.known, self.groups)


def calibrate_sets(
    probabilities: Floats, truth: Ints, tree: TypeTree, *, depth: int, group_depth: int = 3
) -> TreeSets:
    """Return the calibration of sets at a depth; cells with a coarser known type are left out.

    Parameters
    ----------
    probabilities
        (cells, nodes), of cells outside the fit of the classifier.
    truth
        (cells,), the finest known node of each cell.
    """
    known = tree.lift(truth, depth) >= 0
    return TreeSets(
        tree=tree,
        depth=depth,
        group_depth=group_depth,
        calibration=probabilities[known],
        truth=truth[known],
    )


def common_nodes(tree: TypeTree, sets: Bools, *, depth: int) -> Ints:
    """Return the deepest common ancestor of the set of each cell; the root for an empty set."""
    inside = tree.contains[:, tree.level(depth)]
    outside = sets.astype(np.int64) @ (~inside).T.astype(np.int64)
    holds = (outside == 0) & sets.any(axis=1, keepdims=True)
    holds[:, ROOT] = True
    return np.asarray(np.where(holds, tree.depths, -1).argmax(axis=1))


def safe_answers(tree: TypeTree, sets: Sequence[Bools]) -> Ints:
    """Return the deepest node that the sets of all levels agree on, the root where they do not.

    The answer goes down a level while all types in the set of that level lie below it. An empty
    set excludes every type of its level equally: the next level decides.

    Parameters
    ----------
    sets
        Of every level from the first below the root on, (cells, nodes of the level) each.
    """
    answers = np.full(len(sets[0]), ROOT)
    goes_on = np.ones(len(answers), dtype=bool)
    for depth, chosen in enumerate(sets, start=1):
        above = common_nodes(tree, chosen, depth=depth)
        types = chosen.sum(axis=1)
        agrees = tree.contains[answers, above] & (types > 0) & goes_on
        answers = np.where(agrees, above, answers)
        # A set of several types stops above them.
        goes_on &= (types == 0) | (agrees & (types == 1))
    return np.asarray(answers)


def coverage_of(sets: Bools, truth: Ints) -> Interval:
    """Return how often the set contains the true class, with its Wilson interval.

    Parameters
    ----------
    truth
        (cells,), column of `sets`.
    """
    hits = int(sets[np.arange(len(truth)), truth].sum())
    return proportion_of(hits, len(truth))
