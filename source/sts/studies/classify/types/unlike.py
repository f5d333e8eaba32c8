"""Test whether cells of a left-out class or data set are recognised as unlike the others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Bools, Ints
from sts.datasets.laboratories import LabelledTable
from sts.evaluation.abstention import false_alarms
from sts.evaluation.scores import Interval
from sts.evaluation.transfer import auc
from sts.tabular.class_distance import ClassDistance, unlike_scores

# Smallest number of cells of each kind: fewer are not informative.
FEWEST: Final = 10


@dataclass(frozen=True, kw_only=True)
class UnlikeScores:
    """The detection of left-out cells among other cells outside the fit."""

    known: int
    unlike: int
    area: Interval
    """Area under the ROC curve."""
    false_alarms: float
    """Share of known cells called unlike, if 95 % of the left-out cells are detected."""


def measure_unlike(
    table: LabelledTable, fold: tuple[Ints, Ints], *, seed: int
) -> dict[str, UnlikeScores]:
    """Return the detection of each class and each data set, left out in turn.

    Parameters
    ----------
    fold
        Rows of the fit, and rows of other donors, which are the known cells.
    """
    return {
        name: scores
        for name, out in _left_out(table)
        if (scores := _detect(table, fold, out, seed=seed)) is not None
    }


def _left_out(table: LabelledTable) -> Iterator[tuple[str, Bools]]:
    for label in np.unique(table.label).tolist():
        yield f"class {label}", table.label == label
    sets = np.unique(table.dataset).tolist()
    for name in sets if len(sets) > 1 else []:
        yield f"data set {name}", table.dataset == name


def _detect(
    table: LabelledTable, fold: tuple[Ints, Ints], out: Bools, *, seed: int
) -> UnlikeScores | None:
    fitted, known = (rows[~out[rows]] for rows in fold)
    unlike = fold[1][out[fold[1]]]
    classes, counts = np.unique(table.label[fitted], return_counts=True)
    if min(len(known), len(unlike), *counts) < FEWEST or len(classes) < 2:
        return None
    model = ClassDistance().fit(table.X[fitted], table.label[fitted])
    reference, others = model.transform(table.X[known]), model.transform(table.X[unlike])
    scores = unlike_scores(reference, reference), unlike_scores(others, reference)
    return UnlikeScores(
        known=len(known),
        unlike=len(unlike),
        area=auc(
            np.concatenate(scores),
            np.repeat([False, True], [len(known), len(unlike)]),
            rng=np.random.default_rng(seed),
        ),
        false_alarms=false_alarms(*scores),
    )
