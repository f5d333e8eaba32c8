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
    conformity = calibration[np.arange(len(truth)), truth]
    found = np.ones(probabilities.shape)
    for group in np.unique(groups):
        own = np.sort(conformity[groups[truth] == group])
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
        level = self.level
        places = np.searchsorted(level, self.tree.lift(self.truth, self.depth))
        groups = self.tree.lift(level, min(self.depth, self.group_depth))
        return class_p_values(
            probabilities[:, level], self.calibration[:, level], places, groups=groups
        )


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


def lift_sets(tree: TypeTree, sets: Bools, *, depth: int, to: int) -> Bools:
    """Return the sets of the ancestors of their members, (cells, nodes of `to`)."""
    lower, upper = tree.level(depth), tree.level(to)
    return np.asarray(sets @ tree.contains[upper][:, lower].T)


def common_nodes(tree: TypeTree, sets: Bools, *, depth: int) -> Ints:
    """Return the deepest common ancestor of the set of each cell; the root for an empty set."""
    inside = tree.contains[:, tree.level(depth)]
    outside = sets.astype(np.int64) @ (~inside).T.astype(np.int64)
    holds = (outside == 0) & sets.any(axis=1, keepdims=True)
    holds[:, ROOT] = True
    return np.asarray(np.where(holds, tree.depths, -1).argmax(axis=1))


def coverage_of(sets: Bools, truth: Ints) -> Interval:
    """Return how often the set contains the true class, with its Wilson interval.

    Parameters
    ----------
    truth
        (cells,), column of `sets`.
    """
    hits = int(sets[np.arange(len(truth)), truth].sum())
    return proportion_of(hits, len(truth))
