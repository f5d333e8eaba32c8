"""Whether probabilities can be believed, and the temperature that makes them so."""

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
