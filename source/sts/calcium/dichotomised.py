"""Spike trains with given rates and covariances: Gaussians, thresholded (Macke et al., 2009)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtri

from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.calcium.statistics import SpikeStatistics, solve_correlation

# Frames made at once: a hundred neurons take 13 MB.
BLOCK: Final = 2**15
NAMED: Final = 3
# A smallest eigenvalue above nothing, so that a root of the matrix can be taken.
SMALLEST: Final = 1e-8
ITERATIONS: Final = 500
# Of the largest entry.
CLOSE: Final = 1e-9


@dataclass(frozen=True)
class BoundedPair:
    """A pair that was asked for a covariance it cannot have, and the nearest one it can."""

    first: int
    second: int
    asked: float
    attainable: float


@dataclass(frozen=True, kw_only=True, eq=False)
class NearestCorrelation:
    """A correlation matrix without negative eigenvalues."""

    matrix: Floats
    distance: float
    """Frobenius norm of what was changed; 0 where nothing had to be."""
    largest_change: float
    """Of a single correlation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DichotomisedGaussian:
    """A population ready to be sampled."""

    statistics: SpikeStatistics
    thresholds: Floats
    """(n,): a neuron spikes where its latent Gaussian is below."""
    latent: NearestCorrelation
    """The latent correlations, with the distance to what was solved for."""
    beyond: tuple[BoundedPair, ...] = ()
    """Pairs whose covariance was moved to the bound."""
    memory_s: float = 0.0
    """Time constant of the latent Gaussians; 0: every frame is drawn anew."""

    def blocks(self, frames: int, rng: np.random.Generator) -> Iterator[Ints]:
        """Yield trains in blocks of frames, (n, at most BLOCK) of 0 and 1."""
        root = np.linalg.cholesky(self.latent.matrix).astype(np.float32)
        limit = self.thresholds.astype(np.float32)[:, None]
        keep = 0.0
        if self.memory_s > 0:
            keep = float(np.exp(-1 / (self.memory_s * self.statistics.rate_hz)))
        state = rng.standard_normal((len(limit), 1), dtype=np.float32)
        for begin in range(0, frames, BLOCK):
            shape = (len(limit), min(BLOCK, frames - begin))
            noise = rng.standard_normal(shape, dtype=np.float32)
            if keep:
                # Mixing neurons and mixing frames commute: the memory comes first.
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
        Move covariances that are beyond their Frechet bound to it, instead of refusing them.
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
        raise StsError(_explain(beyond))
    thresholds = ndtri(statistics.chances)
    rows, columns = np.triu_indices(n, k=1)
    matrix = np.eye(n)
    matrix[rows, columns] = matrix[columns, rows] = solve_correlation(
        thresholds[rows], thresholds[columns], within[rows, columns]
    )
    return DichotomisedGaussian(
        statistics=statistics,
        thresholds=thresholds,
        latent=nearest_correlation(matrix),
        beyond=beyond,
        memory_s=memory_s,
    )


def _explain(beyond: tuple[BoundedPair, ...]) -> str:
    named = "; ".join(
        f"neurons {each.first} and {each.second} ask for {each.asked:.3g}, "
        f"attainable is {each.attainable:.3g}"
        for each in beyond[:NAMED]
    )
    more = f" and {len(beyond) - NAMED} more" if len(beyond) > NAMED else ""
    return (
        f"{len(beyond)} pairs ask for a covariance beyond their Frechet bound ({named}{more}): "
        "give others, or move them to the bound with --clip"
    )


def nearest_correlation(matrix: Floats) -> NearestCorrelation:
    """Return the nearest correlation matrix by alternating projections (Higham, 2002)."""
    values = np.linalg.eigvalsh(matrix)
    if values[0] >= SMALLEST:
        return NearestCorrelation(matrix=matrix, distance=0.0, largest_change=0.0)
    found = _definite(_projected(matrix))
    change = found - matrix
    return NearestCorrelation(
        matrix=found,
        distance=float(np.linalg.norm(change)),
        largest_change=float(np.abs(change).max()),
    )


def _projected(matrix: Floats) -> Floats:
    current, correction = matrix, np.zeros_like(matrix)
    for _ in range(ITERATIONS):
        corrected = current - correction
        positive = _without_negative(corrected)
        correction = positive - corrected
        unit = positive.copy()
        np.fill_diagonal(unit, 1.0)
        moved = np.abs(unit - current).max()
        current = unit
        if moved < CLOSE:
            break
    return current


def _without_negative(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _definite(matrix: Floats) -> Floats:
    """Lift the eigenvalues just above nothing and set the diagonal back to one."""
    values, vectors = np.linalg.eigh(matrix)
    lifted = (vectors * np.maximum(values, 2 * SMALLEST)) @ vectors.T
    scale = 1 / np.sqrt(np.diag(lifted))
    return np.asarray(lifted * np.outer(scale, scale))
