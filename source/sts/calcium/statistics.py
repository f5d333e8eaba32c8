"""Rates and covariances of a population: given, drawn or measured, and those of two Gaussians."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from scipy.special import ndtri

from sts.base.errors import StsError
from sts.base.files import read_json
from sts.base.types import Bools, Floats, Ints

# Rates of cortical neurons spread over a decade: deviation of their natural logarithm.
RATE_SPREAD: Final = 0.6
# The most of the frames that a neuron may fill with spikes.
MOST: Final = 0.9
# What rounding alone may put a covariance beyond its bound.
ROUNDING: Final = 1e-9
# Gauss-Legendre points on the way from no correlation to the one asked. The integrand is smooth
# up to a correlation of one; near it 96 points keep 1e-9 of a probability.
NODES: Final = 96
# Halving alone would reach the last bit of an angle after so many steps; Newton takes about eight.
STEPS: Final = 60
# Of an angle.
CLOSE: Final = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class SpikeStatistics:
    """Rates of n neurons and covariances of their frames, each of which has a spike or none."""

    rates_hz: Floats
    covariances: Floats
    """(n, n), of zeros and ones; the diagonal follows from the rates and is not read."""
    rate_hz: float
    """Frames a second."""

    def __post_init__(self) -> None:
        """Refuse what no trains of zeros and ones can have."""
        n = len(self.rates_hz)
        if n < 2:
            raise StsError(f"a population of at least 2 neurons is wanted, {n} came")
        if self.covariances.shape != (n, n):
            raise StsError(
                f"covariances of {n} neurons are {n} x {n} numbers, "
                f"{' x '.join(map(str, self.covariances.shape))} came"
            )
        if not (np.isfinite(self.rates_hz).all() and np.isfinite(self.covariances).all()):
            raise StsError("rates and covariances must be finite: some are NaN or infinite")
        if not np.allclose(self.covariances, self.covariances.T, atol=1e-12):
            raise StsError("covariances must be symmetric: i with j as j with i")
        if strange := np.flatnonzero((self.chances <= 0) | (self.chances >= 1)).tolist():
            raise StsError(
                f"a rate must be above 0 and below the {self.rate_hz:g} frames a second: neuron "
                f"{strange[0]} has {self.rates_hz[strange[0]]:g} Hz"
            )

    @property
    def chances(self) -> Floats:
        """Return the chance of a spike in a frame, (n,)."""
        return np.asarray(self.rates_hz / self.rate_hz)

    def bounds(self) -> tuple[Floats, Floats]:
        """Return the least and the largest covariance of each pair (Frechet), (n, n)."""
        p = self.chances
        product = np.outer(p, p)
        low = np.maximum(0.0, p[:, None] + p - 1) - product
        return low, np.minimum(p[:, None], p) - product

    def beyond(self) -> Bools:
        """Return which pairs ask for a covariance that no two trains can have, (n, n)."""
        low, high = self.bounds()
        beyond = (self.covariances < low - ROUNDING) | (self.covariances > high + ROUNDING)
        return np.asarray(beyond & ~np.eye(len(self.rates_hz), dtype=bool))


def draw_statistics(
    neurons: int,
    rng: np.random.Generator,
    *,
    rate_hz: float,
    mean_hz: float = 2.0,
    correlation: float = 0.3,
    factors: int = 2,
) -> SpikeStatistics:
    """Return statistics of a made-up population, which are attainable by construction.

    Rates are lognormal. The latent correlations come from `factors` sources that the neurons share
    to different degrees, the first of them pushing most neurons the same way.

    Parameters
    ----------
    correlation
        Part of a neuron's latent variance that it shares with others, on average.
    """
    if not 0 <= correlation < 1:
        raise StsError(f"correlation must be at least 0, below 1, not {correlation}")
    rates = mean_hz * np.exp(RATE_SPREAD * rng.standard_normal(neurons) - RATE_SPREAD**2 / 2)
    rates = np.clip(rates, 0.05 * mean_hz, MOST * rate_hz)
    loadings = rng.standard_normal((neurons, factors))
    loadings[:, 0] = np.abs(loadings[:, 0])
    loadings /= np.linalg.norm(loadings, axis=1, keepdims=True)
    # A beta distribution with this mean, wide, within 0 and 1.
    shared = rng.beta(4 * correlation, 4 * (1 - correlation), neurons) if correlation else 0.0
    loadings *= np.sqrt(np.broadcast_to(shared, neurons))[:, None]
    latent = loadings @ loadings.T
    return SpikeStatistics(
        rates_hz=rates, covariances=compute_covariances(rates / rate_hz, latent), rate_hz=rate_hz
    )


def compute_covariances(chances: Floats, latent: Floats) -> Floats:
    """Return the covariances of thresholded Gaussians with these latent correlations."""
    thresholds = ndtri(chances)
    rows, columns = np.triu_indices(len(chances), k=1)
    found = joint_excess(thresholds[rows], thresholds[columns], latent[rows, columns])
    covariances = np.diag(chances * (1 - chances))
    covariances[rows, columns] = covariances[columns, rows] = found
    return covariances


def measure_spike_statistics(spikes: Ints | Floats, *, rate_hz: float) -> SpikeStatistics:
    """Return the statistics of trains (neurons, frames): a frame counts as 1 from one spike on."""
    binary = (np.asarray(spikes) > 0).astype(np.float32)
    frames = binary.shape[1]
    chances = binary.mean(axis=1, dtype=np.float64)
    if silent := np.flatnonzero(chances == 0).tolist():
        raise StsError(
            f"{len(silent)} neurons have no spike, the first is {silent[0]}: leave them out"
        )
    together = (binary @ binary.T).astype(np.float64) / frames
    return SpikeStatistics(
        rates_hz=chances * rate_hz,
        covariances=together - np.outer(chances, chances),
        rate_hz=rate_hz,
    )


def read_statistics(path: Path, *, rate_hz: float) -> SpikeStatistics:
    """Return statistics given as JSON: `rates_hz` and `covariances`, or `correlations` instead."""
    values = read_json(path)
    if not isinstance(values, dict) or "rates_hz" not in values:
        raise StsError(f"{path} has no rates_hz: give rates_hz and covariances or correlations")
    try:
        rates = np.asarray(values["rates_hz"], dtype=np.float64).reshape(-1)
        if "covariances" in values:
            covariances = np.asarray(values["covariances"], dtype=np.float64)
        else:
            p = rates / rate_hz
            deviations = np.sqrt(np.clip(p * (1 - p), 0, None))
            correlations = np.asarray(values["correlations"], dtype=np.float64)
            covariances = correlations * np.outer(deviations, deviations)
    except (KeyError, ValueError, TypeError) as error:
        raise StsError(
            f"{path} does not hold numbers of n neurons and n x n covariances: {error}"
        ) from error
    return SpikeStatistics(rates_hz=rates, covariances=covariances, rate_hz=rate_hz)


def joint_excess(first: Floats, second: Floats, correlation: Floats) -> Floats:
    """Return P(x < first, y < second) - P(x < first) P(y < second) of standard normal pairs.

    The excess is the integral of the density at (first, second) over the correlation, which is
    smooth in the angle whose sine the correlation is (Drezner and Wesolowsky, 1990).
    """
    return _excess(first, second, np.arcsin(correlation))


def solve_correlation(first: Floats, second: Floats, excess: Floats) -> Floats:
    """Return the correlations at which `joint_excess` equals `excess`, by guarded Newton steps.

    An excess that no correlation reaches gives minus one or one.
    """
    first, second, excess = (np.ravel(each) for each in (first, second, excess))
    low, high = (np.full(excess.shape, sign * np.pi / 2) for sign in (-1.0, 1.0))
    angle: Floats = np.zeros(excess.shape)
    left = np.arange(len(excess))
    for _ in range(STEPS):
        here = angle[left]
        error = _excess(first[left], second[left], here) - excess[left]
        above = left[error > 0]
        high[above] = angle[above]
        below = left[error <= 0]
        low[below] = angle[below]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            proposed = here - error / _density(first[left], second[left], here)
        inside = (proposed > low[left]) & (proposed < high[left])
        angle[left] = np.where(inside, proposed, (low[left] + high[left]) / 2)
        # Most pairs are there after a few steps; those at their bound take many.
        left = left[np.abs(angle[left] - here) >= CLOSE]
        if len(left) == 0:
            break
    return np.sin(angle)


def _excess(first: Floats, second: Floats, angle: Floats) -> Floats:
    points, weights = _nodes()
    at = angle[..., None] * (points + 1) / 2
    density = _density(first[..., None], second[..., None], at)
    return np.asarray((density @ weights) * angle / 2)


@cache
def _nodes() -> tuple[Floats, Floats]:
    points, weights = np.polynomial.legendre.leggauss(NODES)
    return points, weights


def _density(first: Floats, second: Floats, angle: Floats) -> Floats:
    """Return the derivative of the excess with respect to the angle."""
    squared = np.maximum(np.cos(angle) ** 2, np.finfo(np.float64).tiny)
    exponent = (first**2 + second**2 - 2 * first * second * np.sin(angle)) / (2 * squared)
    return np.asarray(np.exp(-exponent) / (2 * np.pi))
