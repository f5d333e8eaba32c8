"""Whether probabilities can be believed, and the temperature that makes them so."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from sts.base.types import Floats, Ints

BINS: Final = 15
# Beyond these a temperature says that something else is wrong.
TEMPERATURES: Final = (0.05, 20.0)
# For probabilities that were rounded to 0; the log loss takes them for no less either.
LEAST_LOG: Final = float(np.log(np.finfo(np.float64).eps))
# How often labels are drawn to see the error of perfect calibration.
DRAWS: Final = 1000
# Numbers in one block of draws: 16 MB.
BLOCK: Final = 2**21


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """How often the predicted class is right, by how probable it was said to be; (bins,) each."""

    confidence: Floats
    """Mean probability of the predicted class in the bin, NaN if no cell is in it."""
    accuracy: Floats
    """Share of these cells that are of the predicted class."""
    cells: Ints
    ece: float
    """Expected calibration error: the mean gap between both, weighted by cells."""


def fit_temperature(logits: Floats, truth: Ints) -> float:
    """Return the temperature at which these cells are most likely (Guo et al., 2017).

    Parameters
    ----------
    logits
        (n, classes), or log probabilities, of cells the classifier was not fitted on.
    truth
        (n,), cells of class -1 are left out.
    """
    logits, truth = logits[truth >= 0], truth[truth >= 0]
    # Without an error the likelihood grows for ever as the temperature falls: nothing is learnt.
    if (logits.argmax(axis=1) == truth).all():
        return 1.0
    floored = np.maximum(log_softmax(logits.astype(np.float64), axis=1), LEAST_LOG)
    each = np.arange(len(truth))

    def surprise(log_temperature: float) -> float:
        scaled = log_softmax(floored / np.exp(log_temperature), axis=1)
        return float(-scaled[each, truth].mean())

    coldest, hottest = TEMPERATURES
    # Convex in the inverse of the temperature, so that the one minimum is found.
    found = minimize_scalar(
        surprise,
        bounds=(np.log(coldest), np.log(hottest)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def apply_temperature(logits: Floats, temperature: float) -> Floats:
    """Return the probabilities of logits, or log probabilities, at a temperature."""
    probabilities: Floats = softmax(logits.astype(np.float64) / temperature, axis=1)
    return probabilities


def bins_of(confidence: Floats, bins: int) -> Ints:
    """Return the bin of each confidence; of equal width, each open below and closed above."""
    where: Ints = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return where


def reliability(probabilities: Floats, truth: Ints, *, bins: int = BINS) -> Reliability:
    """Return the reliability diagram of cells of known class; others are left out."""
    probabilities, truth = probabilities[truth >= 0], truth[truth >= 0]
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    where = bins_of(confidence, bins)
    cells = np.bincount(where, minlength=bins)
    claimed, met = (np.bincount(where, weights=w, minlength=bins) for w in (confidence, right))
    with np.errstate(invalid="ignore"):
        means = claimed / cells, met / cells
    return Reliability(
        confidence=means[0],
        accuracy=means[1],
        cells=cells,
        ece=float(np.abs(claimed - met).sum() / len(truth)) if len(truth) else float("nan"),
    )


def ece(probabilities: Floats, truth: Ints, *, bins: int = BINS) -> float:
    """Return the expected calibration error (Naeini et al., 2015)."""
    return reliability(probabilities, truth, bins=bins).ece


@dataclass(frozen=True, kw_only=True)
class CalibrationError:
    """The calibration error, and what it would be if the probabilities were true.

    The error is a mean of absolute values: it is above 0 even then, the more the fewer cells there
    are. Resampling would only add to it, so there is no percentile interval.
    """

    value: float
    perfect_mean: float
    """Mean error of perfect calibration with as many cells."""
    perfect_high: float
    """In 95 % of such cases the error is below this."""

    def in_words(self, digits: int = 3) -> str:
        """Return "0.031 (perfect calibration at this n: mean 0.024, 95 % below 0.036)"."""
        if math.isnan(self.value):
            return "–"
        return f"{self.value:.{digits}f} ({self.perfect_in_words(digits)})"

    def in_brief(self, digits: int = 3) -> str:
        """Return "0.031 (perfect: 0.024, 95 % below 0.036)", for a table."""
        if math.isnan(self.value):
            return "–"
        value, mean, high = (
            f"{each:.{digits}f}" for each in (self.value, self.perfect_mean, self.perfect_high)
        )
        return f"{value} (perfect: {mean}, 95 % below {high})"

    def perfect_in_words(self, digits: int = 3) -> str:
        """Return what perfect calibration would show."""
        mean, high = (f"{each:.{digits}f}" for each in (self.perfect_mean, self.perfect_high))
        return f"perfect calibration at this n: mean {mean}, 95 % below {high}"


def calibration_error(
    probabilities: Floats,
    truth: Ints,
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    bins: int = BINS,
) -> CalibrationError:
    """Return the calibration error of cells of known class beside that of perfect calibration.

    Labels are drawn from the predicted probabilities, so that these are true, and the error is
    computed with the same bins.
    """
    known = probabilities[truth >= 0]
    value = ece(probabilities, truth, bins=bins)
    if not len(known):
        return CalibrationError(value=value, perfect_mean=value, perfect_high=value)
    errors = _perfect_errors(known.max(axis=1), rng, draws=draws, bins=bins)
    return CalibrationError(
        value=value,
        perfect_mean=float(errors.mean()),
        perfect_high=float(np.quantile(errors, 0.95)),
    )


def _perfect_errors(
    confidence: Floats, rng: np.random.Generator, *, draws: int, bins: int
) -> Floats:
    """Return the error of each draw, (draws,): a cell is right as often as it is said to be."""
    n = len(confidence)
    in_bin = np.eye(bins)[bins_of(confidence, bins)]
    rows = max(1, BLOCK // n)
    return np.concatenate(
        [
            np.abs((confidence - (rng.random((count, n)) < confidence)) @ in_bin).sum(axis=1) / n
            for count in (min(rows, draws - start) for start in range(0, draws, rows))
        ]
    )
