"""Spike trains with given rates and covariances: Gaussians, thresholded (Macke et al., 2009)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtri

from sts.base.errors import StsError
from sts.base.files import read_json
from sts.base.types import Bools, Floats, Ints

# Deviation of the natural logarithm of rates: rates of cortical neurons vary by a factor of 10.
RATE_SPREAD: Final = 0.6
# Largest fraction of frames with a spike, for rates that are drawn.
MOST_SPIKING: Final = 0.9
# Largest rounding error by which a covariance can exceed its limit.
COVARIANCE_ROUNDING: Final = 1e-9
# Gauss-Legendre points of the integral over the correlation. The integrand is smooth up to a
# correlation of one; near it 96 points are exact to 1e-9 of a probability.
NODES: Final = 96
# Steps after which halving alone is exact to the last bit of an angle; Newton takes about eight.
SOLVER_STEPS: Final = 60
# Change of an angle below which the solution is final.
CLOSE_ANGLE: Final = 1e-12
# Frames that are drawn at once: a hundred neurons take 13 MB.
FRAMES_AT_ONCE: Final = 2**15
# Number of pairs that a message names.
NAMED_PAIRS: Final = 3
# Smallest eigenvalue that is allowed: the matrix must have a Cholesky root.
_SMALLEST: Final = 1e-8
# Largest number of steps, and smallest change, in the search for the nearest correlation matrix.
ITERATIONS: Final = 500
CLOSE: Final = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class SpikeStatistics:
    """Rates of n neurons and covariances of their frames; a frame has one spike or none."""

    rates_hz: Floats
    covariances: Floats
    """(n, n), of zeros and ones; the diagonal follows from the rates and is not used."""
    rate_hz: float
    """Frames per second."""

    def __post_init__(self) -> None:
        """Raise an error for statistics that trains of zeros and ones cannot have."""
        n = len(self.rates_hz)
        if n < 2:
            raise StsError(f"a population needs at least 2 neurons, not {n}")
        if self.covariances.shape != (n, n):
            raise StsError(
                f"covariances of {n} neurons are {n} x {n} numbers, not "
                f"{' x '.join(map(str, self.covariances.shape))}"
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
        """Return the probability of a spike in a frame, (n,)."""
        return np.asarray(self.rates_hz / self.rate_hz)

    def bounds(self) -> tuple[Floats, Floats]:
        """Return the smallest and largest possible covariance of each pair (Frechet), (n, n)."""
        p = self.chances
        product = np.outer(p, p)
        low = np.maximum(0.0, p[:, None] + p - 1) - product
        return low, np.minimum(p[:, None], p) - product

    def beyond(self) -> Bools:
        """Tell which pairs have a covariance that no two trains can have, (n, n)."""
        low, high = self.bounds()
        beyond = (self.covariances < low - COVARIANCE_ROUNDING) | (
            self.covariances > high + COVARIANCE_ROUNDING
        )
        return np.asarray(beyond & ~np.eye(len(self.rates_hz), dtype=bool))


def draw_statistics(
    neurons: int,
    rng: np.random.Generator,
    *,
    rate_hz: float,
    mean_hz: float = 2.0,
    correlation: float = 0.3,
) -> SpikeStatistics:
    """Return statistics of a simulated population, which are attainable by construction.

    Rates are lognormal. The latent correlations come from two sources that the neurons share to
    different degrees; the first source acts on all neurons in the same direction.

    Parameters
    ----------
    correlation
        Mean fraction of a neuron's latent variance that it shares with others.
    """
    if not 0 <= correlation < 1:
        raise StsError(f"correlation must be at least 0, below 1, not {correlation}")
    rates = mean_hz * np.exp(RATE_SPREAD * rng.standard_normal(neurons) - RATE_SPREAD**2 / 2)
    rates = np.clip(rates, 0.05 * mean_hz, MOST_SPIKING * rate_hz)
    loadings = rng.standard_normal((neurons, 2))
    loadings[:, 0] = np.abs(loadings[:, 0])
    loadings /= np.linalg.norm(loadings, axis=1, keepdims=True)
    # A wide beta distribution with this mean.
    shared = rng.beta(4 * correlation, 4 * (1 - correlation), neurons) if correlation else 0.0
    loadings *= np.sqrt(np.broadcast_to(shared, neurons))[:, None]
    latent = loadings @ loadings.T
    chances = rates / rate_hz
    thresholds = ndtri(chances)
    rows, columns = np.triu_indices(neurons, k=1)
    covariances = np.diag(chances * (1 - chances))
    covariances[rows, columns] = covariances[columns, rows] = compute_excess(
        thresholds[rows], thresholds[columns], latent[rows, columns]
    )
    return SpikeStatistics(rates_hz=rates, covariances=covariances, rate_hz=rate_hz)


def measure_spike_statistics(spikes: Ints | Floats, *, rate_hz: float) -> SpikeStatistics:
    """Return the statistics of trains (neurons, frames); several spikes in a frame count once."""
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


def estimate_chances(binary: Bools) -> Floats:
    """Return the probability of a spike in a frame, from trains (neurons, frames).

    A neuron without a spike, or with one in every frame, counts as one with half of one: a
    threshold needs a probability between 0 and 1.
    """
    half = 0.5 / binary.shape[1]
    return np.asarray(np.clip(binary.mean(axis=1), half, 1 - half))


def read_statistics(path: Path, *, rate_hz: float) -> SpikeStatistics:
    """Return statistics from JSON with `rates_hz`, and `covariances` or `correlations`."""
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
            f"{path} does not contain numbers of n neurons and n x n covariances: {error}"
        ) from error
    return SpikeStatistics(rates_hz=rates, covariances=covariances, rate_hz=rate_hz)


def compute_excess(first: Floats, second: Floats, correlation: Floats) -> Floats:
    """Return P(x < first, y < second) - P(x < first) P(y < second) of standard normal pairs.

    The excess is the integral of the density at (first, second) over the correlation. As a function
    of the arcsine of the correlation the integrand is smooth (Drezner and Wesolowsky, 1990).
    """
    return _integrate(first, second, np.arcsin(correlation))


def solve_correlation(first: Floats, second: Floats, excess: Floats) -> Floats:
    """Return the correlations at which `compute_excess` equals `excess`, by guarded Newton steps.

    An excess that no correlation reaches gives minus one or one.
    """
    first, second, excess = (np.ravel(each) for each in (first, second, excess))
    low, high = (np.full(excess.shape, sign * np.pi / 2) for sign in (-1.0, 1.0))
    angle: Floats = np.zeros(excess.shape)
    left = np.arange(len(excess))
    for _ in range(SOLVER_STEPS):
        here = angle[left]
        error = _integrate(first[left], second[left], here) - excess[left]
        above = left[error > 0]
        high[above] = angle[above]
        below = left[error <= 0]
        low[below] = angle[below]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            proposed = here - error / _density(first[left], second[left], here)
        inside = (proposed > low[left]) & (proposed < high[left])
        angle[left] = np.where(inside, proposed, (low[left] + high[left]) / 2)
        # Most pairs are solved after a few steps; pairs at their bound need many.
        left = left[np.abs(angle[left] - here) >= CLOSE_ANGLE]
        if len(left) == 0:
            break
    return np.sin(angle)


def _integrate(first: Floats, second: Floats, angle: Floats) -> Floats:
    points, weights = _find_nodes()
    at = angle[..., None] * (points + 1) / 2
    density = _density(first[..., None], second[..., None], at)
    return np.asarray((density @ weights) * angle / 2)


@cache
def _find_nodes() -> tuple[Floats, Floats]:
    points, weights = np.polynomial.legendre.leggauss(NODES)
    return points, weights


def _density(first: Floats, second: Floats, angle: Floats) -> Floats:
    """Return the derivative of the excess by the angle."""
    squared = np.maximum(np.cos(angle) ** 2, np.finfo(np.float64).tiny)
    exponent = (first**2 + second**2 - 2 * first * second * np.sin(angle)) / (2 * squared)
    return np.asarray(np.exp(-exponent) / (2 * np.pi))


@dataclass(frozen=True)
class BoundedPair:
    """A pair with an impossible covariance, and the nearest possible one."""

    first: int
    second: int
    asked: float
    attainable: float


@dataclass(frozen=True, kw_only=True, eq=False)
class NearestCorrelation:
    """A correlation matrix without negative eigenvalues."""

    matrix: Floats
    distance: float
    """Frobenius norm of the change; 0 if there was none."""
    largest_change: float
    """Largest change of a single correlation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DichotomisedGaussian:
    """A population from which spike trains can be sampled."""

    statistics: SpikeStatistics
    thresholds: Floats
    """(n,): a neuron spikes when its latent Gaussian is below."""
    latent: NearestCorrelation
    """The latent correlations, with their distance to the solution."""
    beyond: tuple[BoundedPair, ...] = ()
    """Pairs whose covariance was moved to the bound."""
    memory_s: float = 0.0
    """Time constant of the latent Gaussians; 0: all frames are independent."""

    def blocks(self, frames: int, rng: np.random.Generator) -> Iterator[Ints]:
        """Yield trains in blocks of frames, (n, at most FRAMES_AT_ONCE) of 0 and 1."""
        root = np.linalg.cholesky(self.latent.matrix).astype(np.float32)
        limit = self.thresholds.astype(np.float32)[:, None]
        keep = 0.0
        if self.memory_s > 0:
            keep = float(np.exp(-1 / (self.memory_s * self.statistics.rate_hz)))
        state = rng.standard_normal((len(limit), 1), dtype=np.float32)
        for begin in range(0, frames, FRAMES_AT_ONCE):
            shape = (len(limit), min(FRAMES_AT_ONCE, frames - begin))
            noise = rng.standard_normal(shape, dtype=np.float32)
            if keep:
                # Mixing neurons and filtering over time commute: the filter comes first.
                scaled = np.float32(np.sqrt(1 - keep**2)) * noise
                coefficients = ([1.0], [1.0, -keep], scaled)
                noise, _ = lfilter(*coefficients, axis=1, zi=keep * state)
                state = noise[:, -1:]
            yield (root @ noise.astype(np.float32) < limit).astype(np.uint8)

    def sample(self, frames: int, rng: np.random.Generator) -> Ints:
        """Return trains (n, frames) of 0 and 1."""
        return np.concatenate(list(self.blocks(frames, rng)), axis=1)


def dichotomised_gaussian(
    statistics: SpikeStatistics, *, clip: bool = False, memory_s: float = 0.0
) -> DichotomisedGaussian:
    """Solve for the latent correlations of a population.

    Parameters
    ----------
    clip
        Move covariances beyond their Frechet bound to the bound, instead of refusing them.
    """
    if memory_s < 0:
        raise StsError(f"memory must be 0 s or more, not {memory_s:g} s")
    n = len(statistics.rates_hz)
    low, high = statistics.bounds()
    within = np.clip(statistics.covariances, low, high)
    pairs = np.argwhere(np.triu(statistics.beyond(), k=1)).tolist()
    beyond = tuple(
        BoundedPair(i, j, float(statistics.covariances[i, j]), float(within[i, j]))
        for i, j in pairs
    )
    if beyond and not clip:
        named = "; ".join(
            f"neurons {each.first} and {each.second} ask for {each.asked:.3g}, "
            f"attainable is {each.attainable:.3g}"
            for each in beyond[:NAMED_PAIRS]
        )
        more = f" and {len(beyond) - NAMED_PAIRS} more" if len(beyond) > NAMED_PAIRS else ""
        raise StsError(
            f"{len(beyond)} pairs ask for a covariance beyond their Frechet bound ({named}{more}): "
            "give others, or move them to the bound with --clip"
        )
    thresholds = ndtri(statistics.chances)
    rows, columns = np.triu_indices(n, k=1)
    matrix = np.eye(n)
    matrix[rows, columns] = matrix[columns, rows] = solve_correlation(
        thresholds[rows], thresholds[columns], within[rows, columns]
    )
    return DichotomisedGaussian(
        statistics=statistics,
        thresholds=thresholds,
        latent=find_nearest_correlation(matrix),
        beyond=beyond,
        memory_s=memory_s,
    )


def find_nearest_correlation(matrix: Floats) -> NearestCorrelation:
    """Return the nearest correlation matrix by alternating projections (Higham, 2002)."""
    values = np.linalg.eigvalsh(matrix)
    if values[0] >= _SMALLEST:
        return NearestCorrelation(matrix=matrix, distance=0.0, largest_change=0.0)
    # Eigenvalues are lifted above 0, and the diagonal is set back to one.
    lifted = _lift_eigenvalues(_project(matrix), 2 * _SMALLEST)
    scale = 1 / np.sqrt(np.diag(lifted))
    nearest = np.asarray(lifted * np.outer(scale, scale))
    change = nearest - matrix
    return NearestCorrelation(
        matrix=nearest,
        distance=float(np.linalg.norm(change)),
        largest_change=float(np.abs(change).max()),
    )


def _project(matrix: Floats) -> Floats:
    current, correction = matrix, np.zeros_like(matrix)
    for _ in range(ITERATIONS):
        corrected = current - correction
        positive = _lift_eigenvalues(corrected, 0.0)
        correction = positive - corrected
        unit = positive.copy()
        np.fill_diagonal(unit, 1.0)
        moved = np.abs(unit - current).max()
        current = unit
        if moved < CLOSE:
            break
    return current


def _lift_eigenvalues(matrix: Floats, least: float) -> Floats:
    """Return a matrix whose eigenvalues are at least `least`."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, least)) @ vectors.T)
