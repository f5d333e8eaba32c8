"""The nearest correlation matrix that a Gaussian can have."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Floats

# A smallest eigenvalue above nothing, so that a root of the matrix can be taken.
SMALLEST: Final = 1e-8
ITERATIONS: Final = 500
# Of the largest entry.
CLOSE: Final = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearest:
    """A correlation matrix without negative eigenvalues."""

    matrix: Floats
    distance: float
    """Frobenius norm of what was changed; 0 where nothing had to be."""
    largest_change: float
    """Of a single correlation."""


def nearest_correlation(matrix: Floats) -> Nearest:
    """Return the nearest correlation matrix by alternating projections (Higham, 2002)."""
    values = np.linalg.eigvalsh(matrix)
    if values[0] >= SMALLEST:
        return Nearest(matrix=matrix, distance=0.0, largest_change=0.0)
    found = _definite(_projected(matrix))
    change = found - matrix
    return Nearest(
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
