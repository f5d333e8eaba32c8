"""Scores of a tree of types by level: predictions, prediction sets, and abstention."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Bools, Floats, Ints
from sts.evaluation.abstention import find_threshold, risk_coverage
from sts.evaluation.calibration import SET_COVERAGE, form_sets
from sts.evaluation.prediction_sets import calibrate_sets, coverage_of
from sts.evaluation.scores import Interval, proportion_of
from sts.evaluation.transfer import FEWEST_FOR_SHARES, with_own_shares
from sts.evaluation.type_tree import TypeTree

# A second accuracy: whether the true type is among this number of most probable types.
AMONG_FEW: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelAnswers:
    """The predictions at one depth, for cells whose type is known at this depth."""

    rows: Ints
    """Indices of these cells."""
    level: Ints
    """Nodes of the columns."""
    probabilities: Floats
    """(cells, nodes of the level)"""
    truth: Ints
    """(cells,), column of the true node."""
    sets: Bools
    """(cells, nodes of the level), calibrated on cells of the same data set."""
    cautious: Bools
    """The same for cells of no known data set, as new cells get them."""
    is_given: Bools
    """(cells,), whether the confidence reaches the threshold."""
    right_in_batch: Bools
    """(cells,), whether the most probable node is the true one if class frequencies are estimated
    from the cells of the same fold and data set."""

    @property
    def right(self) -> Bools:
        """Tell where the most probable node is the true one."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.truth)


@dataclass(frozen=True, kw_only=True)
class LevelScores:
    """Scores of some cells at one depth."""

    cells: int
    first: Interval
    """Share of cells whose most probable type is the true one."""
    first_in_batch: Interval
    """The same if class frequencies are estimated from all cells of a data set."""
    among_few: Interval
    """Share of cells whose type is among the three most probable ones."""
    macro: float
    """Mean over types of the share of their cells that are predicted correctly."""
    held: Interval
    """Share of cells whose set contains the true type."""
    set_size: float
    cautious_held: Interval
    """The same as `held`, where the data set of a cell is not known."""
    cautious_size: float
    empty: float
    """Share of cells whose set is empty."""
    risk_area: float
    wrong_dropped: float
    """Share of wrong predictions that are withheld, below the threshold."""
    right_dropped: float


def answer_level(
    probabilities: Floats,
    truth: Ints,
    folds: Sequence[Ints],
    tree: TypeTree,
    *,
    depth: int,
    coverage: float = SET_COVERAGE,
    sources: Ints | None = None,
    in_batch: Floats | None = None,
) -> LevelAnswers:
    """Return the predictions at a depth; each fold is calibrated on the cells of all others.

    Parameters
    ----------
    probabilities
        (cells, nodes), of each cell by a classifier fitted without it.
    truth
        (cells,), the finest known node of each cell.
    folds
        The rows of every fold.
    sources
        (cells,), number of the data set of each cell, by which sets are calibrated; None: all are
        of one.
    in_batch
        (cells, nodes), the probabilities from `with_batch_shares`; None: as `probabilities`.
    """
    level, lifted = tree.level(depth), tree.lift(truth, depth)
    rows = np.flatnonzero(lifted >= 0)
    sets = np.zeros((len(truth), len(level)), dtype=bool)
    cautious = np.zeros_like(sets)
    of_cells = np.zeros(len(truth), dtype=np.int64) if sources is None else sources
    is_given = np.zeros(len(truth), dtype=bool)
    places = np.searchsorted(level, np.where(lifted >= 0, lifted, level[0]))
    confidence = probabilities[:, level].max(axis=1)
    right = probabilities[:, level].argmax(axis=1) == places
    batch = probabilities if in_batch is None else in_batch
    for fold in folds:
        others = np.setdiff1d(rows, fold)
        calibrated = calibrate_sets(
            probabilities[others], truth[others], tree, depth=depth, sources=of_cells[others]
        )
        said = probabilities[fold]
        sets[fold] = form_sets(calibrated.p_values(said, of_cells[fold]), coverage)
        cautious[fold] = form_sets(calibrated.p_values(said), coverage)
        is_given[fold] = confidence[fold] >= find_threshold(confidence[others], right[others])
    return LevelAnswers(
        rows=rows,
        level=level,
        probabilities=probabilities[np.ix_(rows, level)],
        truth=places[rows],
        sets=sets[rows],
        cautious=cautious[rows],
        is_given=is_given[rows],
        right_in_batch=(batch[:, level].argmax(axis=1) == places)[rows],
    )


def with_batch_shares(
    probabilities: Floats,
    truth: Ints,
    folds: Sequence[Ints],
    tree: TypeTree,
    *,
    depth: int,
    sources: Ints,
) -> Floats:
    """Return the probabilities for class frequencies that are estimated without labels.

    The cells of a fold and data set are a batch, as a new laboratory would measure it.

    Parameters
    ----------
    depth
        Of the classes.
    """
    found = probabilities.copy()
    for fold in folds:
        shares = count_shares(tree, np.delete(truth, fold), depth=depth)
        for source in np.unique(sources[fold]):
            rows = fold[sources[fold] == source]
            found[rows] = with_estimated_shares(tree, probabilities[rows], shares, depth=depth)
    return found


def with_estimated_shares(
    tree: TypeTree, probabilities: Floats, shares: Floats, *, depth: int
) -> Floats:
    """Return the probabilities of all nodes for the class frequencies of these cells.

    Parameters
    ----------
    shares
        Of the classes where the classifier was fitted. Few cells stay as they are.
    """
    if len(probabilities) < FEWEST_FOR_SHARES:
        return probabilities
    own = with_own_shares(probabilities[:, tree.level(depth)], shares)
    return tree.with_level(probabilities, own, depth)


def count_shares(tree: TypeTree, nodes: Ints, *, depth: int, counts: Ints | None = None) -> Floats:
    """Return the share of each node at a depth, of cells with these nodes.

    Parameters
    ----------
    counts
        (nodes,), number of cells of each; None: one.
    """
    lifted, level = tree.lift(nodes, depth), tree.level(depth)
    known = lifted >= 0
    places = np.searchsorted(level, lifted[known])
    weights = None if counts is None else counts[known]
    found = np.bincount(places, weights=weights, minlength=len(level))
    return np.asarray(found / found.sum())


def score_answers(answers: LevelAnswers, which: Bools | None = None) -> LevelScores:
    """Return the scores of all cells, or of a selection.

    Parameters
    ----------
    which
        (cells of the answers,)
    """
    chosen = np.ones(len(answers.rows), dtype=bool) if which is None else which
    probabilities, truth = answers.probabilities[chosen], answers.truth[chosen]
    right, sets, given = answers.right[chosen], answers.sets[chosen], answers.is_given[chosen]
    cautious = answers.cautious[chosen]
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :AMONG_FEW]
    among = (best == truth[:, None]).any(axis=1)
    wrong_dropped, right_dropped = (
        float((~given[side]).mean()) if side.any() else 0.0 for side in (~right, right)
    )
    return LevelScores(
        cells=len(truth),
        first=proportion_of(int(right.sum()), len(truth)),
        first_in_batch=proportion_of(int(answers.right_in_batch[chosen].sum()), len(truth)),
        among_few=proportion_of(int(among.sum()), len(truth)),
        macro=float(np.mean([right[truth == node].mean() for node in np.unique(truth)])),
        held=coverage_of(sets, truth),
        set_size=float(sets.sum(axis=1).mean()),
        cautious_held=coverage_of(cautious, truth),
        cautious_size=float(cautious.sum(axis=1).mean()),
        empty=float((~sets.any(axis=1)).mean()),
        risk_area=risk_coverage(probabilities.max(axis=1), right).area,
        wrong_dropped=wrong_dropped,
        right_dropped=right_dropped,
    )
