"""Two correlated Gaussians at once: the chance that both lie below a threshold, and its inverse."""

from functools import cache
from typing import Final

import numpy as np

from sts.base.types import Floats

# Gauss-Legendre points on the way from no correlation to the one asked. The integrand is smooth
# up to a correlation of one; near it 96 points keep 1e-9 of a probability.
NODES: Final = 96
# Halving alone would reach the last bit of an angle after so many steps; Newton takes about eight.
STEPS: Final = 60
# Of an angle.
CLOSE: Final = 1e-12


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
