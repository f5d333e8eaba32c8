"""What happens to cells of a left-out class or data set: warnings, and coverage of their sets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Bools, Ints
from sts.datasets.cell_types import CLASS_DEPTH
from sts.datasets.laboratories import LabelledTable
from sts.evaluation.abstention import false_alarms
from sts.evaluation.calibration import form_sets
from sts.evaluation.neighbours import UNLIKE_PERCENTILE
from sts.evaluation.prediction_sets import calibrate_sets, coverage_of
from sts.evaluation.scores import Interval, proportion_of
from sts.evaluation.transfer import auc
from sts.evaluation.type_scores import count_shares, with_estimated_shares
from sts.studies.classify.types.cells import (
    TypedCells,
    TypesJob,
    make_classifier,
    stimulus_masks,
)
from sts.tabular.prototypes import find_limits, fit_prototypes, score_hidden
from sts.tabular.type_classifier import TypeTreeClassifier

# Smallest number of cells of each kind: fewer are not informative.
_FEWEST: Final = 10


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


@dataclass(frozen=True, kw_only=True)
class LeftOutSets:
    """How often the sets of classes hold the truth in a data set that was left out."""

    cells: int
    right: Interval
    right_in_batch: Interval
    """The same if class frequencies are estimated from these cells, without labels."""
    pooled: Interval
    """Calibrated on the cells of a class of all other data sets."""
    pooled_size: float
    cautious: Interval
    """As large as the least certain data set needs them, as PREDICT makes them."""
    cautious_size: float


def measure_left_out_sets(
    cells: TypedCells, fold: tuple[Ints, Ints], job: TypesJob
) -> dict[str, LeftOutSets]:
    """Return the coverage in each data set, left out of fit and calibration in turn.

    Its cells are classified as PREDICT does it, on their own scale.

    Parameters
    ----------
    fold
        Rows to fit on, and rows of other donors to calibrate on.
    """
    table = cells.table
    found = {}
    for name in np.unique(table.dataset).tolist():
        out = table.dataset == name
        fitted, calibrating = (rows[~out[rows]] for rows in fold)
        if min(len(set(table.label[rows].tolist())) for rows in (fitted, calibrating)) < 2:
            continue
        classifier = make_classifier(table.rows(fitted), job)
        # Nodes below the classes change nothing here.
        labels = np.array(cells.tree.labels)[cells.tree.lift(cells.truth[fitted], CLASS_DEPTH)]
        classifier.fit(table.X[fitted], labels, dataset=table.dataset[fitted])
        new = np.flatnonzero(out)
        found[name] = _cover(cells, classifier, fitted, calibrating, new, coverage=job.coverage)
    return found


def _cover(
    cells: TypedCells,
    classifier: TypeTreeClassifier,
    fitted: Ints,
    calibrating: Ints,
    new: Ints,
    *,
    coverage: float,
) -> LeftOutSets:
    table, tree = cells.table, cells.tree
    places = tree.find_nodes(classifier.tree_.labels)
    said = np.zeros((len(table), len(tree)))
    said[np.ix_(calibrating, places)] = classifier.node_probabilities(table.X[calibrating])
    said[np.ix_(new, places)] = classifier.node_probabilities(table.X[new])
    level = tree.level(CLASS_DEPTH)
    truth = np.searchsorted(level, tree.lift(cells.truth[new], CLASS_DEPTH))
    sets = [
        form_sets(
            calibrate_sets(
                said[calibrating],
                cells.truth[calibrating],
                tree,
                depth=CLASS_DEPTH,
                sources=sources,
            ).p_values(said[new]),
            coverage,
        )
        for sources in (None, cells.sources[calibrating])
    ]
    pooled, cautious = sets
    shares = count_shares(tree, cells.truth[fitted], depth=CLASS_DEPTH)
    in_batch = with_estimated_shares(tree, said[new], shares, depth=CLASS_DEPTH)
    hits, own_hits = (
        int((each[:, level].argmax(axis=1) == truth).sum()) for each in (said[new], in_batch)
    )
    return LeftOutSets(
        cells=len(new),
        right=proportion_of(hits, len(new)),
        right_in_batch=proportion_of(own_hits, len(new)),
        pooled=coverage_of(pooled, truth),
        pooled_size=float(pooled.sum(axis=1).mean()),
        cautious=coverage_of(cautious, truth),
        cautious_size=float(cautious.sum(axis=1).mean()),
    )


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
    X = table.X
    prototypes = fit_prototypes(X[fitted], cells.truth[fitted], cells.tree)
    masks = stimulus_masks(table)
    # One half of the known cells sets the limits, the other says how often they err.
    limiting, known = known[::2], known[1::2]
    rule = find_limits(masks, score_hidden(prototypes, X[limiting], masks), UNLIKE_PERCENTILE)
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
