"""Prediction sets: the possible types of a cell, with a guarantee (conformal prediction).

Sets at a coverage of 90 % contain the true type of 90 of 100 new cells, for any classifier, if new
cells and calibration cells come from the same distribution (Vovk et al., 2005). Here this is true
for every class separately (label-conditional, "Mondrian"), and within it for every data set with
enough calibration cells; otherwise sets could be correct for the frequent classes, or for the data
set with the surest labels. A class is excluded from the set of a cell if the probability of the
class is lower than for nearly all calibration cells of that class (Sadinle et al., 2019).

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
from sts.evaluation.calibration import rank_among
from sts.evaluation.scores import Interval, proportion_of
from sts.evaluation.type_tree import ROOT, TypeTree

# Calibration cells of a class in a data set, for a calibration of their own. With fewer, the rank
# that bounds 90 % is the fifth or less from the end, and all data sets of the class are pooled.
FEWEST_OF_SOURCE: Final = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class SetScores:
    """The calibration of sets at one depth: one score of each calibration cell."""

    tree: TypeTree
    depth: int
    group_depth: int
    """All types with the same ancestor at this depth have common calibration cells."""
    known: Floats
    """(calibration cells,), probability of the own type, sorted within group and data set."""
    groups: Ints
    """(calibration cells,), node of the group."""
    sources: Ints
    """(calibration cells,), number of the data set."""

    @property
    def level(self) -> Ints:
        """Return the nodes that can be in a set."""
        return self.tree.level(self.depth)

    def p_values(self, probabilities: Floats, sources: Ints | None = None) -> Floats:
        """Return the p value of each node of `level` for each cell, (cells, nodes of the level).

        It is the share of calibration cells of the group, including the new cell, whose probability
        of their own type is not larger than that of the new cell.

        Parameters
        ----------
        probabilities
            (cells, nodes), of all nodes of the tree.
        sources
            (cells,), the data set of each cell. None: the cells are of no known data set, and get
            the largest p value of all, so that sets are as large as for the least certain data set.
        """
        level = self.level
        of_level = self.tree.lift(level, min(self.depth, self.group_depth))
        found = np.ones((len(probabilities), len(level)))
        for group in np.unique(of_level):
            columns = np.flatnonzero(of_level == group)
            values = probabilities[:, level[columns]]
            found[:, columns] = self._rank(values, self.groups == group, sources)
        return found

    def _rank(self, values: Floats, is_own: Bools, sources: Ints | None) -> Floats:
        """Return the p values (cells, nodes) for a group of calibration cells."""
        pooled = rank_among(values, self.known[is_own])
        names, counts = np.unique(self.sources[is_own], return_counts=True)
        found = pooled.copy()
        for name in names[counts >= FEWEST_OF_SOURCE]:
            own = rank_among(values, self.known[is_own & (self.sources == name)])
            if sources is None:
                found = np.maximum(found, own)
            else:
                found[sources == name] = own[sources == name]
        return found


def calibrate_sets(
    probabilities: Floats,
    truth: Ints,
    tree: TypeTree,
    *,
    depth: int,
    group_depth: int = 3,
    sources: Ints | None = None,
) -> SetScores:
    """Return the calibration of sets at a depth; cells with a coarser known type are left out.

    Parameters
    ----------
    probabilities
        (cells, nodes), of cells outside the fit of the classifier.
    truth
        (cells,), the finest known node of each cell.
    sources
        (cells,), number of the data set of each cell; None: all are of one.
    """
    own = tree.lift(truth, depth)
    rows = np.flatnonzero(own >= 0)
    groups = tree.lift(own[rows], min(depth, group_depth))
    known = probabilities[rows, own[rows]]
    of_rows = np.zeros(len(rows), dtype=np.int64) if sources is None else sources[rows]
    order = np.lexsort((known, of_rows, groups))
    return SetScores(
        tree=tree,
        depth=depth,
        group_depth=group_depth,
        known=known[order],
        groups=groups[order],
        sources=of_rows[order],
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
