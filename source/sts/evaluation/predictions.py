"""Predictions of cells with their true classes, and all scores as functions of sums."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.types import CLASSES, Bools, Floats, Ints, Texts
from sts.evaluation.calibration import CONFIDENCE_BINS, bins_of

UNKNOWN: Final = -1
# Largest difference of a sum of probabilities from 1; a softmax in float32 differs by 1e-6.
SUM_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The class probabilities of n cells; row i of every array belongs to cell i."""

    specimen_id: Texts
    dataset: Texts
    """The data set of each cell, "" if unknown."""
    truth: Ints
    """Index into `classes`, -1 if unknown."""
    probabilities: Floats
    """(n, classes), float64."""
    classes: tuple[str, ...] = CLASSES
    donor_id: Texts | None = None
    """The animal or person of each cell, "" if unknown; None if no donor is known."""

    def __post_init__(self) -> None:
        n, count = len(self.specimen_id), len(self.classes)
        shapes = {"dataset": (n,), "truth": (n,), "probabilities": (n, count)}
        shapes |= {"donor_id": (n,)} if self.donor_id is not None else {}
        for name, shape in shapes.items():
            if (actual := getattr(self, name).shape) != shape:
                raise ValueError(f"{name} must have shape {shape}, not {actual}")
        if not ((self.truth >= UNKNOWN) & (self.truth < count)).all():
            raise ValueError(f"truth must lie between {UNKNOWN} and {count - 1}")
        self._check_cells()

    def _check_cells(self) -> None:
        ids, times = np.unique(self.specimen_id, return_counts=True)
        if (times > 1).any():
            raise StsError(
                f"specimen {ids[times > 1][0]} is predicted {times.max()} times: keep one of them"
            )
        with np.errstate(invalid="ignore"):
            gaps = np.abs(self.probabilities.sum(axis=1) - 1.0)
            fair = (self.probabilities >= 0.0).all(axis=1) & (gaps <= SUM_TOLERANCE)
        if not fair.all():
            row = int(np.argmin(fair))
            values = ", ".join(f"{value:.4g}" for value in self.probabilities[row])
            raise StsError(
                f"the probabilities of specimen {self.specimen_id[row]} are {values}: "
                "numbers from 0 to 1 with a sum of 1 are needed; did the training diverge?"
            )

    def __len__(self) -> int:
        return len(self.specimen_id)

    @property
    def prediction(self) -> Ints:
        """Return the most probable class of each cell; of equally probable classes the first."""
        most_probable: Ints = self.probabilities.argmax(axis=1)
        return most_probable

    @property
    def labelled(self) -> Bools:
        """Tell which cells have a known class."""
        known: Bools = self.truth != UNKNOWN
        return known

    def rows(self, which: Bools | Ints) -> "Predictions":
        """Return the cells selected by a mask or indices, in that order."""
        return Predictions(
            specimen_id=self.specimen_id[which],
            dataset=self.dataset[which],
            truth=self.truth[which],
            probabilities=self.probabilities[which],
            classes=self.classes,
            donor_id=None if self.donor_id is None else self.donor_id[which],
        )

    @property
    def donors(self) -> Texts:
        """Return the donor of each cell, "" if unknown."""
        none: Texts = np.full(len(self), "", dtype=np.str_)
        return none if self.donor_id is None else self.donor_id

    def fingerprint(self) -> str:
        """Return a digest of the ids of the cells, in any order."""
        ids = "\n".join(sorted(self.specimen_id.tolist()))
        return hashlib.sha256(ids.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def scorable(self) -> "Predictions":
        """Return the cells with known class, sorted by id, so that their order changes no score."""
        order = np.argsort(self.specimen_id)
        return self.rows(order[self.labelled[order]])


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
# Scores with an interval by bootstrap; the calibration error has none.
RESAMPLED: Final = tuple(name for name in SCORES if name != "ece")
LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece"})
# Scores of a benchmark.
PLAIN_SCORES: Final = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
# Prefix of a class name in the column of its recall.
RECALL: Final = "recall_"


def contributions(predictions: Predictions) -> Floats:
    """Return the terms that each cell adds to the sums of `metrics_of`, (cells, terms).

    The terms are the entries of the confusion matrix, log loss, Brier score and, for each bin of
    confidence, confidence less correctness.
    """
    return _terms(predictions.truth, predictions.probabilities)


def _terms(truth: Ints, probabilities: Floats) -> Floats:
    predicted = probabilities.argmax(axis=1)
    n, count = probabilities.shape
    each = np.arange(n)
    confused = np.zeros((n, count * count))
    confused[each, truth * count + predicted] = 1.0
    # Limited as in scikit-learn: a class with probability 0 has a large but finite loss.
    log_loss = -np.log(np.maximum(probabilities[each, truth], np.finfo(np.float64).eps))
    brier = ((probabilities - np.eye(count)[truth]) ** 2).sum(axis=1)
    confidence = probabilities.max(axis=1)
    gaps = np.zeros((n, CONFIDENCE_BINS))
    gaps[each, bins_of(confidence, CONFIDENCE_BINS)] = confidence - (predicted == truth)
    return np.column_stack([confused, log_loss, brier, gaps])


def confusion_of(sums: Floats, classes: int) -> Floats:
    """Return the confusion matrices in sums of contributions, (..., true class, predicted)."""
    return sums[..., : classes**2].reshape(*sums.shape[:-1], classes, classes)


def metrics_of(sums: Floats, classes: int) -> dict[str, Floats]:
    """Return every score of `SCORES`, (...), and precision, recall and F1, (..., classes).

    Averages are over the classes that have cells; the scores of the others are NaN. A class that is
    never predicted has precision 0.

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
        "ece": np.abs(sums[..., -CONFIDENCE_BINS:]).sum(axis=-1) / cells,
        "precision": np.where(present, _ratio(hits, predicted), np.nan),
        "recall": np.where(present, recall, np.nan),
        "f1": np.where(present, f1, np.nan),
    }


def _ratio(above: Floats, below: Floats) -> Floats:
    """Return the quotient, 0 if the divisor is 0."""
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
    """Return the number of cells of each class."""
    return np.bincount(predictions.truth, minlength=len(predictions.classes))
