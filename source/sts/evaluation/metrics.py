"""All scores as functions of sums over cells, so that a resample is one matrix product."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from sts.base.types import Floats, Ints
from sts.evaluation.calibration import BINS, bins_of
from sts.evaluation.predictions import Predictions

# The name of a score in code and files, and in text.
SCORES: Final = {
    "balanced_accuracy": "balanced accuracy",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}
# Those that a bootstrap tells the interval of; that of the calibration error it does not.
RESAMPLED: Final = tuple(name for name in SCORES if name != "ece")
CLASS_SCORES: Final = ("precision", "recall", "f1")
LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece"})
# Those of the cells of a benchmark.
PLAIN_SCORES: Final = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
# In front of the name of a class: the column of its recall.
RECALL: Final = "recall_"


def contributions(predictions: Predictions) -> Floats:
    """Return what each cell adds to the sums that `metrics_of` takes, (cells, terms).

    The terms are the cell of the confusion matrix, log loss, Brier score and, for each bin of
    confidence, confidence less correctness.
    """
    return _terms(predictions.truth, predictions.probabilities)


def _terms(truth: Ints, probabilities: Floats) -> Floats:
    predicted = probabilities.argmax(axis=1)
    n, count = probabilities.shape
    each = np.arange(n)
    confused = np.zeros((n, count * count))
    confused[each, truth * count + predicted] = 1.0
    # What is held impossible and happens costs as much as scikit-learn makes it cost: not infinity.
    log_loss = -np.log(np.maximum(probabilities[each, truth], np.finfo(np.float64).eps))
    brier = ((probabilities - np.eye(count)[truth]) ** 2).sum(axis=1)
    confidence = probabilities.max(axis=1)
    gaps = np.zeros((n, BINS))
    gaps[each, bins_of(confidence, BINS)] = confidence - (predicted == truth)
    return np.column_stack([confused, log_loss, brier, gaps])


def confusion_of(sums: Floats, classes: int) -> Floats:
    """Return the confusion matrices in sums of contributions, (..., true class, predicted)."""
    return sums[..., : classes**2].reshape(*sums.shape[:-1], classes, classes)


def metrics_of(sums: Floats, classes: int) -> dict[str, Floats]:
    """Return every score of `SCORES`, (...), and of `CLASS_SCORES`, (..., classes).

    Averages run over the classes that cells truly are of; the scores of the others are NaN. A class
    that is never predicted has precision 0.

    Parameters
    ----------
    sums
        (..., terms), contributions summed over cells, with any weights.
    """
    confusion = confusion_of(sums, classes)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    cells = support.sum(axis=-1)
    present = support > 0
    recall = _ratio(hits, support)
    f1 = _ratio(2 * hits, support + predicted)
    log_loss, brier = (sums[..., classes**2 + term] / cells for term in range(2))
    return {
        "balanced_accuracy": recall.sum(axis=-1) / present.sum(axis=-1),
        "weighted_f1": (f1 * support).sum(axis=-1) / cells,
        "macro_f1": (f1 * present).sum(axis=-1) / present.sum(axis=-1),
        "accuracy": hits.sum(axis=-1) / cells,
        "log_loss": log_loss,
        "brier": brier,
        "ece": np.abs(sums[..., -BINS:]).sum(axis=-1) / cells,
        "precision": np.where(present, _ratio(hits, predicted), np.nan),
        "recall": np.where(present, recall, np.nan),
        "f1": np.where(present, f1, np.nan),
    }


def _ratio(above: Floats, below: Floats) -> Floats:
    """Return the quotient, 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)


def scores_of(probabilities: Floats, truth: Ints, classes: Sequence[str]) -> dict[str, float]:
    """Return the scores of a benchmark and the recall of every class, NaN for one without a cell.

    Parameters
    ----------
    probabilities
        (cells, classes)
    truth
        (cells,), index into `classes`.
    """
    values = metrics_of(_terms(truth, probabilities).sum(axis=0), len(classes))
    recalls = zip(classes, values["recall"].tolist(), strict=True)
    return {
        **{name: float(values[name]) for name in PLAIN_SCORES},
        **{RECALL + name: recall for name, recall in recalls},
    }


def supports_of(predictions: Predictions) -> Ints:
    """Return how many cells are of each class."""
    return np.bincount(predictions.truth, minlength=len(predictions.classes))
