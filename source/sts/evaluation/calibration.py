"""Calibration: correct probabilities by a temperature, and prediction sets of a classifier."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from sts.base.errors import StsError
from sts.base.settings import Bounds
from sts.base.types import Bools, Floats, Ints

# Number of bins of confidence.
CONFIDENCE_BINS: Final = 15
# Limits of a fitted temperature; values outside them indicate another error.
TEMPERATURES: Final = (0.05, 20.0)
# A temperature of a stored model.
Temperature = Annotated[float, Bounds(0.01, 100.0)]
# What prediction sets need of a stored model: for each class, the probability of this class for its
# calibration cells.
OwnProbabilities = tuple[tuple[Annotated[float, Bounds(0, 1)], ...], ...]
# Smallest logarithm of a probability, for probabilities that were rounded to 0.
SMALLEST_LOG: Final = float(np.log(np.finfo(np.float64).eps))
# Number of draws of labels for the error of perfect calibration.
LABEL_DRAWS: Final = 1000
# Number of values in one block of draws: 16 MB.
DRAW_BLOCK: Final = 2**21
# Number of parts of the cells; a temperature is tested on each part after a fit on the others.
TESTED_PARTS: Final = 10
# Share of new cells whose prediction set contains the true class.
SET_COVERAGE: Final = 0.9
# Decimals of stored probabilities.
_DIGITS: Final = 6
KEPT_ASIDE: Final = "training cells that were kept aside"


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """How often the predicted class is correct, by its probability; (bins,) each."""

    confidence: Floats
    """Mean probability of the predicted class in the bin, NaN if no cell is in it."""
    accuracy: Floats
    """Share of these cells whose predicted class is correct."""
    cells: Ints
    ece: float
    """Expected calibration error: the mean difference of both, weighted by cells."""
    confidences: Floats
    """The probability of the predicted class of each cell, (cells,)."""

    def error(self, rng: np.random.Generator) -> "CalibrationError":
        """Return the calibration error with that of perfect calibration for comparison."""
        return _beside_perfect(
            self.ece, self.confidences, rng, draws=LABEL_DRAWS, bins=len(self.cells)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """A temperature, and its effect on cells outside the fit of the classifier."""

    fitted: float
    """The temperature at which these cells are most likely."""
    log_losses: tuple[float, float]
    """Of these cells without a temperature, and each at the temperature of the other cells."""
    before: Reliability
    after: Reliability
    """Each cell at the temperature of the other cells."""
    where: str
    """Description of these cells."""
    logits: Floats
    """(cells, classes)."""
    truth: Ints

    @property
    def own_probabilities(self) -> OwnProbabilities:
        """Return, for each class, the sorted probabilities of this class for its cells."""
        probabilities = apply_temperature(self.logits, self.temperature)
        return tuple(
            tuple(np.sort(own[self.truth == label]).round(_DIGITS).tolist())
            for label, own in enumerate(probabilities.T)
        )

    @property
    def is_applied(self) -> bool:
        """Tell whether these cells are more likely at the temperature of the others.

        The calibration error of few cells is mostly chance: it is reported, but not used here.
        """
        as_trained, calibrated = self.log_losses
        return calibrated < as_trained

    @property
    def temperature(self) -> float:
        """Return the temperature to apply; 1 if the fitted one makes probabilities worse."""
        return self.fitted if self.is_applied else 1.0

    @property
    def cells(self) -> int:
        """Return the number of cells in the fit."""
        return int(self.before.cells.sum())

    def in_words(self) -> str:
        """Return in words what was applied and why."""
        fitted = f"{self.fitted:.2f}, fitted on {self.cells} {self.where}"
        verb, result = "goes", f"The temperature is {fitted}."
        if not self.is_applied:
            verb = "would go"
            result = f"No temperature is applied: {fitted}, makes others of them less likely."
        return (
            f"{result} Each at the temperature of the others, their log loss {verb} from "
            f"{self.log_losses[0]:.3f} to {self.log_losses[1]:.3f} and their calibration error "
            f"from {self.before.ece:.3f} to {self.after.ece:.3f}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a report."""
        return {
            "cells": self.cells,
            "temperature": self.temperature,
            "fitted_temperature": self.fitted,
            "log_loss": list(self.log_losses),
            "calibration_error": [self.before.ece, self.after.ece],
        }


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
    # Without a wrong prediction, a lower temperature always increases the likelihood.
    if (logits.argmax(axis=1) == truth).all():
        return 1.0
    floored = np.maximum(log_softmax(logits.astype(np.float64), axis=1), SMALLEST_LOG)
    each = np.arange(len(truth))

    def log_loss(log_temperature: float) -> float:
        scaled = log_softmax(floored / np.exp(log_temperature), axis=1)
        return float(-scaled[each, truth].mean())

    coldest, hottest = TEMPERATURES
    # The loss is convex in the inverse of the temperature: there is only one minimum.
    minimum = minimize_scalar(
        log_loss,
        bounds=(np.log(coldest), np.log(hottest)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(minimum.x))


def calibrate(logits: Floats, truth: Ints, *, where: str = KEPT_ASIDE) -> Calibration:
    """Fit a temperature, and test it on cells outside its fit.

    Parameters
    ----------
    logits
        (n, classes), or log probabilities, of cells the classifier was not fitted on.
    truth
        (n,), cells of class -1 are left out.
    where
        Description of these cells, for texts.
    """
    logits, truth = logits[truth >= 0], truth[truth >= 0]
    as_trained, calibrated = (
        apply_temperature(logits, each) for each in (1.0, _temperatures_of_others(logits, truth))
    )
    return Calibration(
        fitted=fit_temperature(logits, truth),
        log_losses=(_log_loss(as_trained, truth), _log_loss(calibrated, truth)),
        before=reliability(as_trained, truth),
        after=reliability(calibrated, truth),
        where=where,
        logits=logits,
        truth=truth,
    )


def find_class_sets(
    probabilities: Floats, known: Sequence[Sequence[float]], coverage: float = SET_COVERAGE
) -> Bools:
    """Return the possible classes of each cell, (cells, classes); a set may be empty.

    A class is possible unless its probability is lower than for nearly all calibration cells of
    that class. The sets thus contain the true class of a share of `coverage` of the new cells of
    every class, if these come from the same distribution as the calibration cells (conformal
    prediction; Vovk et al., 2005). A class of few calibration cells is never excluded.

    Parameters
    ----------
    known
        `own_probabilities` of a calibration.
    """
    if len(known) != probabilities.shape[1]:
        raise StsError(f"prediction sets need {probabilities.shape[1]} classes, not {len(known)}")
    p_values = [
        rank_among(probabilities[:, label].round(_DIGITS), np.asarray(own))
        for label, own in enumerate(known)
    ]
    return form_sets(np.stack(p_values, axis=1), coverage)


def form_sets(p_values: Floats, coverage: float = SET_COVERAGE) -> Bools:
    """Return the possible classes of each cell, (cells, classes).

    A set may be empty: the cell is unusual in every class.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, not {coverage}")
    # Rounded, since 1 - 0.9 is a little less than 0.1.
    return np.asarray(p_values > round(1 - coverage, 9))


def rank_among(values: Floats, known: Floats) -> Floats:
    """Return the share of known values, with the new one, that are not larger than each value."""
    lower = np.searchsorted(np.sort(known), values, side="right")
    return np.asarray((lower + 1) / (len(known) + 1))


def calibrate_each(logits: Floats, truth: Ints) -> Floats:
    """Return probabilities of cells, each with a temperature fitted on the others.

    If the temperatures make the cells less likely, none is applied.
    """
    temperatures = _temperatures_of_others(logits, truth)
    applied = calibrate(logits, truth).is_applied
    return apply_temperature(logits, temperatures if applied else 1.0)


def _temperatures_of_others(logits: Floats, truth: Ints) -> Floats:
    """Return the temperature of each cell (n, 1), fitted on the cells of other parts."""
    parts = np.arange(len(truth)) % TESTED_PARTS
    temperatures = np.ones((len(truth), 1))
    for part in np.unique(parts) if len(truth) > 1 else ():
        temperatures[parts == part] = fit_temperature(logits[parts != part], truth[parts != part])
    return temperatures


def _log_loss(probabilities: Floats, truth: Ints) -> float:
    if not len(truth):
        return float("nan")
    of_truth = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(of_truth, np.exp(SMALLEST_LOG))).mean())


def apply_temperature(logits: Floats, temperature: float | Floats) -> Floats:
    """Return the probabilities from logits (or log probabilities) and one temperature or (n, 1)."""
    probabilities: Floats = softmax(logits.astype(np.float64) / temperature, axis=1)
    if not np.isfinite(probabilities).all():
        raise StsError("the model gives no number for some cells: its weights are not sound")
    return probabilities


def bins_of(confidence: Floats, bins: int) -> Ints:
    """Return the bin of each confidence; bins have equal width and include their upper limit."""
    where: Ints = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return where


def reliability(probabilities: Floats, truth: Ints, *, bins: int = CONFIDENCE_BINS) -> Reliability:
    """Return the reliability diagram of cells of known class (error: Naeini et al., 2015)."""
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
        confidences=confidence,
    )


@dataclass(frozen=True, kw_only=True)
class CalibrationError:
    """The calibration error, and its expected value if the probabilities were correct.

    The error is a mean of absolute values: even then it is above 0, and larger for fewer cells.
    Resampling would only increase it, so there is no percentile interval.
    """

    value: float
    perfect_mean: float
    """Mean error of perfect calibration with the same number of cells."""
    perfect_high: float
    """95 % of the errors of perfect calibration are below this."""

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
        """Return in words the error of perfect calibration."""
        mean, high = (f"{each:.{digits}f}" for each in (self.perfect_mean, self.perfect_high))
        return f"perfect calibration at this n: mean {mean}, 95 % below {high}"


def calibration_error(
    probabilities: Floats,
    truth: Ints,
    *,
    rng: np.random.Generator,
    draws: int = LABEL_DRAWS,
    bins: int = CONFIDENCE_BINS,
) -> CalibrationError:
    """Return the calibration error of cells with known class, and that of perfect calibration.

    Labels are drawn from the predicted probabilities, so that these are correct, and the error is
    computed with the same bins.
    """
    diagram = reliability(probabilities, truth, bins=bins)
    return _beside_perfect(diagram.ece, diagram.confidences, rng, draws=draws, bins=bins)


def _beside_perfect(
    value: float, confidence: Floats, rng: np.random.Generator, *, draws: int, bins: int
) -> CalibrationError:
    if not len(confidence):
        return CalibrationError(value=value, perfect_mean=value, perfect_high=value)
    errors = _perfect_errors(confidence, rng, draws=draws, bins=bins)
    return CalibrationError(
        value=value,
        perfect_mean=float(errors.mean()),
        perfect_high=float(np.quantile(errors, 0.95)),
    )


def _perfect_errors(
    confidence: Floats, rng: np.random.Generator, *, draws: int, bins: int
) -> Floats:
    """Return the error of each draw, (draws,); cells are correct with their probability."""
    n = len(confidence)
    in_bin = np.eye(bins)[bins_of(confidence, bins)]
    rows = max(1, DRAW_BLOCK // n)
    return np.concatenate(
        [
            np.abs((confidence - (rng.random((count, n)) < confidence)) @ in_bin).sum(axis=1) / n
            for count in (min(rows, draws - start) for start in range(0, draws, rows))
        ]
    )
