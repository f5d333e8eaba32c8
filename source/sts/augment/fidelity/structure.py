"""How features hang together, and how widely they spread."""

import numpy as np

from sts.base.types import Floats, Ints


def correlation_error(made: Floats, real: Floats) -> float:
    """Return the mean distance between both correlation matrices, off the diagonal."""
    if made.shape[1] < 2 or min(len(made), len(real)) < 2:
        return float("nan")
    return float(np.abs(_correlations(made) - _correlations(real)).mean())


def _correlations(rows: Floats) -> Floats:
    """Return the correlations of all pairs of features, 0 where one is constant."""
    centred = rows - rows.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 1e-12)
    above = np.triu_indices(rows.shape[1], k=1)
    return np.asarray((unit.T @ unit)[above])


def variance_ratio(made: tuple[Floats, Ints], real: tuple[Floats, Ints]) -> float:
    """Return the variance within classes of made rows over that of real ones, mean of features.

    Classes count as they are common among the made rows, on both sides.
    """
    ours, theirs = np.zeros(made[0].shape[1]), np.zeros(made[0].shape[1])
    for label in np.intersect1d(made[1], real[1]):
        one, other = made[0][made[1] == label], real[0][real[1] == label]
        if min(len(one), len(other)) >= 2:
            ours += len(one) * one.var(axis=0, ddof=1)
            theirs += len(one) * other.var(axis=0, ddof=1)
    spread = theirs > 1e-12
    return float((ours[spread] / theirs[spread]).mean()) if spread.any() else float("nan")
