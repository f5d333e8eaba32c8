"""How far the distributions of made rows are from real ones: feature by feature, and together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sts.base.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class MeasureTable:
    """(classes, features) of one measure, NaN where a class has too few rows."""

    labels: Ints
    values: Floats


def kolmogorov_smirnov(made: Floats, real: Floats) -> Floats:
    """Return the largest gap between both cumulative distributions of each feature, (features,)."""
    values, steps = _both(made, real)
    # Within a run of equal values neither distribution has arrived yet.
    last = np.vstack([values[1:] > values[:-1], np.ones((1, values.shape[1]), dtype=bool)])
    gaps = np.abs(np.cumsum(steps, axis=0))
    return np.asarray(np.where(last, gaps, 0.0).max(axis=0))


def chance_of(gaps: Floats, made: int, real: int) -> Floats:
    """Return how likely such gaps are between two samples of one distribution (asymptotic)."""
    return np.asarray(stats.kstwo.sf(gaps, max(1, round(made * real / (made + real)))))


def wasserstein(made: Floats, real: Floats) -> Floats:
    """Return the earth mover's distance of each feature, (features,)."""
    values, steps = _both(made, real)
    return np.asarray((np.abs(np.cumsum(steps, axis=0))[:-1] * np.diff(values, axis=0)).sum(axis=0))


def _both(made: Floats, real: Floats) -> tuple[Floats, Floats]:
    """Return the values of both in order, and by how much each parts the distributions."""
    values = np.concatenate([made, real])
    steps = np.concatenate([np.full(len(made), 1 / len(made)), np.full(len(real), -1 / len(real))])
    order = np.argsort(values, axis=0, kind="stable")
    return np.take_along_axis(values, order, axis=0), steps[order]


def profile_gaps(made: Floats, real: Floats) -> Floats:
    """Return the distance between the means of each feature, (features,)."""
    return np.asarray(np.abs(made.mean(axis=0) - real.mean(axis=0)))


def by_class(
    measure: Callable[[Floats, Floats], Floats],
    made: tuple[Floats, Ints],
    real: tuple[Floats, Ints],
    *,
    least: int = 2,
) -> MeasureTable:
    """Return a measure of every class that has at least so many rows on both sides."""
    labels = np.intersect1d(made[1], real[1])
    rows = []
    for label in labels:
        one, other = made[0][made[1] == label], real[0][real[1] == label]
        enough = min(len(one), len(other)) >= least
        rows.append(measure(one, other) if enough else np.full(made[0].shape[1], np.nan))
    return MeasureTable(labels, np.array(rows).reshape(len(labels), made[0].shape[1]))


def means_of(rows: Floats, y: Ints) -> Floats:
    """Return the mean of each class, (classes, features)."""
    return np.stack([rows[y == label].mean(axis=0) for label in np.unique(y)])


def between_classes(rows: Floats, y: Ints) -> Floats:
    """Return the distances between the means of all pairs of classes, (pairs, features)."""
    means = means_of(rows, y)
    first, second = np.triu_indices(len(means), k=1)
    return np.asarray(np.abs(means[first] - means[second]))


def below_class_spread(gaps: Floats, between: Floats) -> tuple[float, float]:
    """Return how often an error is smaller than a distance between classes, and Mann-Whitney's p.

    Parameters
    ----------
    gaps
        Distances between means of made and of real rows, one a class and feature.
    between
        Distances between means of real classes, one a pair and feature.
    """
    errors, distances = gaps[np.isfinite(gaps)], between[np.isfinite(between)]
    if not len(errors) or not len(distances):
        return np.nan, np.nan
    tested = stats.mannwhitneyu(errors, distances, alternative="less")
    smaller = 1.0 - float(tested.statistic) / (len(errors) * len(distances))
    return smaller, float(tested.pvalue)


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
