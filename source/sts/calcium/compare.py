"""Generated windows beside real ones: divergences of histograms, distances of curves, copies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Floats
from sts.calcium.measures import Measures, spectrum

BINS: Final = 30
# Quantity -> what it is called, and its unit.
QUANTITIES: Final = {
    "rates_hz": "firing rate (Hz)",
    "correlations": "pairwise correlation",
    "van_rossum": "van Rossum distance",
    "intervals_s": "inter-spike interval (s)",
}
# What a model is chosen by; intervals between spikes follow from the others.
SCORED: Final = ("rates_hz", "correlations", "van_rossum")
# Power below this part of the largest is taken for it: recordings that were smoothed or resampled
# have bands of nothing, in which rounding would be told from rounding.
SILENT: Final = 1e-4
# A generated window is called a copy where it is nearer to a training window than this part of
# the real windows that were not trained on.
COPY_PART: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How far some windows are from the real ones; 0 is alike."""

    divergences: dict[str, float]
    """Quantity -> KL(real || these), nats."""
    autocorrelation_error: float
    """Root mean square over the lags."""
    spectrum_error_db: float
    """Root mean square over the frequencies."""
    rate_error: float
    """Median over the neurons of |difference| / real rate."""
    covariance_error: float
    """Of the frames' covariances: norm of the difference over the norm of the real ones."""


def score_of(likeness: Likeness) -> float:
    """Return one number for all that is judged, in which none outweighs the others; 0 is alike.

    Divergences of rates move in leaps of a neuron from bin to bin, errors do not: both count.
    """
    errors = (
        likeness.rate_error,
        likeness.covariance_error,
        likeness.autocorrelation_error,
        likeness.spectrum_error_db / 10,
    )
    # Each below 1, or the first that goes wrong would decide alone.
    bounded = sum(error / (1 + error) for error in errors)
    return bounded + sum(likeness.divergences[name] for name in SCORED)


@dataclass(frozen=True, kw_only=True)
class Copying:
    """Distances to the nearest training window, of generated and of real unseen ones.

    Each in units of the window's median distance to all training windows: a smooth window is near
    to all of them, a copy to one.
    """

    generated: float
    """Median."""
    unseen: float
    copies: float
    """Part of the generated windows nearer than all but 1 % of the unseen ones; 0.01 is chance."""


def edges_of(training: Measures) -> dict[str, Floats]:
    """Return the edges of 30 bins of each quantity, from the real training windows."""
    edges = {}
    for name in QUANTITIES:
        values = finite(getattr(training, name))
        low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
        edges[name] = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    return edges


def finite(values: Floats) -> Floats:
    """Return the values that are numbers."""
    return np.asarray(values[np.isfinite(values)])


def histogram(values: Floats, edges: Floats) -> Floats:
    """Return counts in bins; what lies outside counts into the first or last."""
    return np.histogram(np.clip(finite(values), edges[0], edges[-1]), bins=edges)[0].astype(float)


def divergence(real: Floats, other: Floats, edges: Floats) -> float:
    """Return KL(real || other) of histograms with one count added to each bin, nats."""
    p, q = (histogram(values, edges) + 1 for values in (real, other))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def compare(real: Measures, other: Measures, edges: Mapping[str, Floats]) -> Likeness:
    """Return how far some windows are from the real ones."""
    faint = SILENT * float(real.spectrum.max())
    apart = np.log10(np.maximum(other.spectrum, faint) / np.maximum(real.spectrum, faint))
    off = ~np.eye(len(real.rates_hz), dtype=bool)
    norm = max(float(np.linalg.norm(real.covariances[off])), 1e-300)
    rates = np.maximum(real.rates_hz, 1e-300)
    return Likeness(
        divergences={
            name: divergence(getattr(real, name), getattr(other, name), edges[name])
            for name in QUANTITIES
        },
        autocorrelation_error=_rms(other.autocorrelation - real.autocorrelation),
        spectrum_error_db=10 * _rms(apart),
        rate_error=float(np.median(np.abs(other.rates_hz - real.rates_hz) / rates)),
        covariance_error=float(np.linalg.norm((other.covariances - real.covariances)[off])) / norm,
    )


def highest_hz(windows: Floats, rate_hz: float) -> float:
    """Return the highest frequency at which windows (n, neurons, frames) have any power."""
    power = spectrum(windows)
    top = int(np.flatnonzero(power > SILENT * power.max())[-1]) + 1
    return top / len(power) * rate_hz / 2


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def copying(generated: Floats, unseen: Floats, training: Floats) -> Copying:
    """Return how near generated and unseen windows (n, neurons, frames) come to training ones."""
    near, far = (nearest(windows, training) for windows in (generated, unseen))
    return Copying(
        generated=float(np.median(near)),
        unseen=float(np.median(far)),
        copies=float(np.mean(near < np.quantile(far, COPY_PART))),
    )


def nearest(windows: Floats, training: Floats) -> Floats:
    """Return each window's distance to the nearest training window over that to the median one."""
    first, second = (each.reshape(len(each), -1).astype(np.float64) for each in (windows, training))
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    distances = np.sqrt(np.maximum(squares, 0.0))
    return np.asarray(distances.min(axis=1) / np.median(distances, axis=1))
