"""Test whether cells of a left-out class or data set are recognised as unlike the others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Bools, Floats, Ints
from sts.datasets.laboratories import LabelledTable
from sts.evaluation.abstention import false_alarms
from sts.evaluation.scores import Interval
from sts.evaluation.transfer import auc
from sts.studies.classify.types.cells import REFERENCE, TypedCells, stimulus_masks
from sts.tabular.prototypes import find_limits, fit_prototypes, score_hidden
from sts.tabular.set_shift import SetShift

# Smallest number of cells of each kind: fewer are not informative.
_FEWEST: Final = 10
# A cell is called unlike the training cells beyond this percentile of cells outside the fit.
PERCENTILE: Final = 95.0
_CLASS_DEPTH: Final = 2


@dataclass(frozen=True, kw_only=True)
class UnlikeScores:
    """The detection of left-out cells among other cells outside the fit."""

    known: int
    unlike: int
    area: Interval
    """Area under the ROC curve."""
    false_alarms: float
    """Share of known cells that look as unlike as 95 % of those left out do."""
    flagged: float
    """Share of the cells left out that are called unlike."""
    known_flagged: float


def measure_unlike(
    cells: TypedCells, fold: tuple[Ints, Ints], *, seed: int
) -> dict[str, UnlikeScores]:
    """Return the detection of each class and each data set, left out in turn.

    Parameters
    ----------
    fold
        Rows to fit on, and rows of other donors, which are the known cells.
    """
    return {
        name: found
        for name, out in _left_out(cells.table)
        if (found := _detect(cells, fold, out, seed=seed)) is not None
    }


def _left_out(table: LabelledTable) -> Iterator[tuple[str, Bools]]:
    for label in np.unique(table.label).tolist():
        yield f"class {label}", table.label == label
    sets = np.unique(table.dataset).tolist()
    for name in sets if len(sets) > 1 else []:
        yield f"data set {name}", table.dataset == name


def _detect(
    cells: TypedCells, fold: tuple[Ints, Ints], out: Bools, *, seed: int
) -> UnlikeScores | None:
    table = cells.table
    fitted, known = (rows[~out[rows]] for rows in fold)
    unlike = fold[1][out[fold[1]]]
    classes, counts = np.unique(table.label[fitted], return_counts=True)
    if min(len(known), len(unlike), *counts) < _FEWEST or len(classes) < 2:
        return None
    X = _align(cells, fitted)
    prototypes = fit_prototypes(X[fitted], cells.truth[fitted], cells.tree)
    masks = stimulus_masks(table)
    # One half of the known cells sets the limits, the other says how often they err.
    limiting, known = known[::2], known[1::2]
    rule = find_limits(masks, score_hidden(prototypes, X[limiting], masks), PERCENTILE)
    own, others = (rule.excess(X[rows], prototypes.scores(X[rows])) for rows in (known, unlike))
    return UnlikeScores(
        known=len(known),
        unlike=len(unlike),
        area=auc(
            np.concatenate([own, others]),
            np.repeat([False, True], [len(known), len(unlike)]),
            rng=np.random.default_rng(seed),
        ),
        false_alarms=false_alarms(own, others),
        flagged=float((others > 0).mean()),
        known_flagged=float((own > 0).mean()),
    )


def _align(cells: TypedCells, fitted: Ints) -> Floats:
    """Return all cells, those of the fitted data sets on one scale."""
    table = cells.table
    reference = REFERENCE if REFERENCE in table.dataset[fitted] else None
    tops = cells.tree.lift(cells.truth, _CLASS_DEPTH)[fitted]
    rows = fitted[tops >= 0]
    shift = SetShift(reference=reference)
    shift.fit(table.X[rows], tops[tops >= 0], table.dataset[rows])
    return shift.transform(table.X, table.dataset)
