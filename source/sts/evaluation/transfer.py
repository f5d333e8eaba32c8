"""Scores between data sets: weights, class shares, and how well data sets can be separated."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import rankdata

from sts.base.types import Bools, Floats, Ints, Texts
from sts.evaluation.predictions import Predictions, contributions, metrics_of
from sts.evaluation.scores import RESAMPLES, Interval, interval_of, resampled_sums

# Fewer cells say too little about class frequencies.
FEWEST_FOR_SHARES: Final = 20
# The estimate of class shares ends if their change is smaller than this.
SETTLED: Final = 1e-6
# Largest number of rounds of this estimate.
SHARE_ROUNDS: Final = 500
# Smallest share of a class: a class that seems to be missing remains possible.
SMALLEST_CLASS_SHARE: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class TransferScores:
    """Both published scores of cells with weights."""

    cells: int
    effective_cells: float
    """The number of cells of equal weight with the same information (Kish, 1965)."""
    weighted_f1: Interval
    balanced_accuracy: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `report.json`."""
        return asdict(self)


def transfer_scores(
    predictions: Predictions,
    *,
    rng: np.random.Generator,
    weights: Floats | None = None,
    resamples: int = RESAMPLES,
) -> TransferScores:
    """Return the scores of cells with known class; their order has no effect.

    Parameters
    ----------
    weights
        (cells,), one for each cell of `predictions`; equal by default.
    """
    cell_weights = np.ones(len(predictions)) if weights is None else weights
    known = np.flatnonzero(predictions.labelled)
    order = known[np.argsort(predictions.specimen_id[known])]
    cells, each = predictions.rows(order), cell_weights[order]
    terms = contributions(cells) * each[:, None]
    count = len(cells.classes)
    values = metrics_of(terms.sum(axis=0), count)
    # Within class and data set, so that the weights are valid for every resample.
    strata = _strata(cells.truth, cells.dataset)
    sums = resampled_sums(terms, strata, rng, resamples=resamples, donors=cells.donors)
    drawn = metrics_of(sums, count)
    both = {
        name: interval_of(float(values[name]), drawn[name])
        for name in ("weighted_f1", "balanced_accuracy")
    }
    return TransferScores(cells=len(cells), effective_cells=effective_size(each), **both)


def _strata(truth: Ints, dataset: Texts) -> Ints:
    _, place = np.unique(dataset, return_inverse=True)
    strata: Ints = truth * (place.max() + 1) + place
    return strata


def independence_weights(truth: Ints, dataset: Texts) -> Floats:
    """Return weights that make class and data set independent, with unchanged frequencies.

    The weight of a cell is the share of its class times that of its data set, over that of both
    together. If a data set lacks a class, they stay dependent.
    """
    _, classes = np.unique(truth, return_inverse=True)
    _, places = np.unique(dataset, return_inverse=True)
    both = np.zeros((classes.max() + 1, places.max() + 1))
    np.add.at(both, (classes, places), 1.0 / len(truth))
    alone = both.sum(axis=1)[classes] * both.sum(axis=0)[places]
    weights: Floats = alone / both[classes, places]
    return weights


def effective_size(weights: Floats) -> float:
    """Return the number of cells of equal weight with the same information (Kish, 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def auc(
    scores: Floats,
    is_other: Bools,
    *,
    rng: np.random.Generator,
    donors: Texts | None = None,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the area under the ROC curve of scores that predict one of two data sets.

    The interval resamples the placements of the cells of each data set: the share of the other data
    set's cells with a lower score (DeLong et al., 1988).
    """
    counts = {side: int((is_other == side).sum()) for side in (True, False)}
    if not all(counts.values()):
        raise ValueError("cells of both data sets are needed")
    everyone = rankdata(scores)
    beaten = np.empty(len(scores))
    for side, others in ((True, counts[False]), (False, counts[True])):
        own = is_other == side
        beaten[own] = (everyone[own] - rankdata(scores[own])) / others
    # The placement of a cell of the first data set: the share of the others with a higher score.
    placements = np.where(is_other, beaten, 1.0 - beaten)
    shares = placements / np.where(is_other, counts[True], counts[False])
    value = float(shares[is_other].sum())
    drawn = resampled_sums(
        shares[:, None], is_other.astype(int), rng, resamples=resamples, donors=donors
    )[:, 0]
    # The sum over both data sets contains the value twice, once from the placements of each: their
    # deviations add up, and one value is subtracted.
    return interval_of(value, np.clip(drawn - value, 0.0, 1.0))


def with_shares(probabilities: Floats, shares: Floats, wanted: Floats) -> Floats:
    """Return the probabilities of cells whose classes have the frequencies `wanted`.

    Parameters
    ----------
    probabilities
        (cells, classes), of a classifier fitted where classes have `shares`.
    """
    odds = probabilities * (wanted / np.where(shares > 0, shares, np.inf))
    total = odds.sum(axis=1, keepdims=True)
    # If only classes with a share of 0 in `wanted` were possible, only these shares are known.
    changed: Floats = np.where(total > 0, odds / np.where(total > 0, total, 1.0), wanted)
    return changed


def with_own_shares(probabilities: Floats, shares: Floats) -> Floats:
    """Return the probabilities of cells of one laboratory for their own class frequencies.

    Their mean estimates the frequencies. The most likely frequencies would lose rare classes where
    the classifier is unsure.

    Parameters
    ----------
    probabilities
        (cells, classes), of a classifier fitted where classes have `shares`.
    """
    return with_shares(probabilities, shares, probabilities.mean(axis=0))


def estimate_shares(probabilities: Floats, shares: Floats) -> Floats:
    """Return the class shares with the largest likelihood of the cells (Saerens et al., 2002).

    Parameters
    ----------
    probabilities
        (cells, classes), of a classifier fitted where classes have `shares`.
    """
    estimate = shares
    for _ in range(SHARE_ROUNDS):
        before, estimate = estimate, with_shares(probabilities, shares, estimate).mean(axis=0)
        if np.abs(estimate - before).max() <= SETTLED:
            break
    floored = np.maximum(estimate, SMALLEST_CLASS_SHARE)
    estimated: Floats = floored / floored.sum()
    return estimated
