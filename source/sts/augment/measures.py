"""Measures of synthetic rows: how similar they are to real rows, and what they tell of them.

Every measure compares synthetic with real rows; `(rows, labels)` stands for rows with their
classes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from sts.base.types import Floats, Ints
from sts.evaluation.predictions import scores_of
from sts.tabular.classifiers import BenchmarkClassifier, predict_probabilities
from sts.tabular.trees import BoostedTrees

# The region of a cell extends to this neighbour (Naeem et al., 2020).
REGION_NEIGHBOURS: Final = 5
# Share of held-out cells that are closer to a training cell than the distance called near.
NEAR_SHARE: Final = 0.05
# Smallest share of near rows, largest distance of the median row to training cells (relative to
# held-out cells), and the verdict if one of these limits is reached.
COPYING: Final = (
    (np.inf, 0.05, "copies: its rows are training cells"),
    (0.5, 0.5, "close to copies: most rows lie nearer to a training cell than real cells do"),
    (0.15, 0.8, "near: more of its rows lie near training cells than real cells do"),
)
NEW: Final = "new: no nearer to training cells than real cells are"
# Number of trees and folds of the classifiers in the measures.
MEASURE_TREES: Final = 100
MEASURE_FOLDS: Final = 3
# Smallest probability of a class without a training row.
LEAST_SHARE: Final = 1e-4
# Boosted trees that separate synthetic from real rows; few, because there are few rows.
SEPARATING_TREES: Final[dict[str, Any]] = {
    "n_estimators": 60,
    "num_leaves": 8,
    "learning_rate": 0.1,
}
# Settings of learners from synthetic rows that differ from those of the benchmark, to save time.
LEARNER_SETTINGS: Final[dict[str, dict[str, Any]]] = {"lightgbm": {"n_estimators": 80}}
# Parts of the held-out cells in an attack. In turn, one is attacked, and the others are known.
ATTACK_PARTS: Final = 3
# Nearest rows from which the density at a cell is estimated.
DENSITY_NEIGHBOURS: Final = 5
# The smallest distance, so that an equal row has a logarithm.
LEAST_DISTANCE: Final = 1e-12
# Share of held-out cells that an attack may take for training cells.
FALSE_ALARMS: Final = 0.01

LabelledRows = tuple[Floats, Ints]


def kolmogorov_smirnov(synthetic: Floats, real: Floats) -> Floats:
    """Return the largest difference of the distributions of each feature, (features,)."""
    values, steps = _merge(synthetic, real)
    # The distributions are only complete after the last of several equal values.
    last = np.vstack([values[1:] > values[:-1], np.ones((1, values.shape[1]), dtype=bool)])
    gaps = np.abs(np.cumsum(steps, axis=0))
    return np.asarray(np.where(last, gaps, 0.0).max(axis=0))


def kolmogorov_smirnov_p(synthetic: Floats, real: Floats) -> Floats:
    """Return the asymptotic p value of the largest difference of each feature."""
    m, n = len(synthetic), len(real)
    gaps = kolmogorov_smirnov(synthetic, real)
    return np.asarray(stats.kstwo.sf(gaps, max(1, round(m * n / (m + n)))))


def wasserstein(synthetic: Floats, real: Floats) -> Floats:
    """Return the earth mover's distance of each feature, (features,)."""
    values, steps = _merge(synthetic, real)
    return np.asarray((np.abs(np.cumsum(steps, axis=0))[:-1] * np.diff(values, axis=0)).sum(axis=0))


def _merge(synthetic: Floats, real: Floats) -> tuple[Floats, Floats]:
    """Return the values of both samples in order, and the step of the difference at each."""
    values = np.concatenate([synthetic, real])
    sizes = len(synthetic), len(real)
    steps = np.concatenate([np.full(sizes[0], 1 / sizes[0]), np.full(sizes[1], -1 / sizes[1])])
    order = np.argsort(values, axis=0, kind="stable")
    return np.take_along_axis(values, order, axis=0), steps[order]


def mean_gaps(synthetic: Floats, real: Floats) -> Floats:
    """Return the distance between the means of each feature, (features,)."""
    return np.asarray(np.abs(synthetic.mean(axis=0) - real.mean(axis=0)))


def measure_classes(
    measure: Callable[[Floats, Floats], Floats], synthetic: LabelledRows, real: LabelledRows
) -> dict[int, Floats]:
    """Return a measure (features,) of every class; NaN with fewer than two rows on a side."""
    values = {}
    for label in np.intersect1d(synthetic[1], real[1]).tolist():
        one, other = synthetic[0][synthetic[1] == label], real[0][real[1] == label]
        enough = min(len(one), len(other)) >= 2
        values[label] = measure(one, other) if enough else np.full(one.shape[1], np.nan)
    return values


def class_distances(rows: Floats, y: Ints) -> Floats:
    """Return the distances between the means of all pairs of classes, (pairs, features)."""
    means = np.stack([rows[y == label].mean(axis=0) for label in np.unique(y)])
    first, second = np.triu_indices(len(means), k=1)
    return np.asarray(np.abs(means[first] - means[second]))


def compare_with_class_distances(gaps: Floats, distances: Floats) -> tuple[float, float]:
    """Return how often an error is smaller than a distance of classes, and the Mann-Whitney p.

    Parameters
    ----------
    gaps
        Distances between means of synthetic and real rows, one per class and feature.
    distances
        Distances between means of real classes, one per pair and feature.
    """
    errors, others = gaps[np.isfinite(gaps)], distances[np.isfinite(distances)]
    if not len(errors) or not len(others):
        return np.nan, np.nan
    test = stats.mannwhitneyu(errors, others, alternative="less")
    smaller = 1.0 - float(test.statistic) / (len(errors) * len(others))
    return smaller, float(test.pvalue)


def correlation_error(synthetic: Floats, real: Floats) -> float:
    """Return the mean distance between both correlation matrices, off the diagonal."""
    if synthetic.shape[1] < 2 or min(len(synthetic), len(real)) < 2:
        return float("nan")
    return float(np.abs(_correlate_pairs(synthetic) - _correlate_pairs(real)).mean())


def _correlate_pairs(rows: Floats) -> Floats:
    """Return the correlations of all pairs of features, 0 where one is constant."""
    centred = rows - rows.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 1e-12)
    above = np.triu_indices(rows.shape[1], k=1)
    return np.asarray((unit.T @ unit)[above])


def variance_ratio(synthetic: LabelledRows, real: LabelledRows) -> float:
    """Return the variance within classes of synthetic rows over that of real ones, feature mean.

    On both sides, classes are weighted by their frequency among the synthetic rows.
    """
    ours, theirs = np.zeros(synthetic[0].shape[1]), np.zeros(synthetic[0].shape[1])
    for label in np.intersect1d(synthetic[1], real[1]):
        one, other = synthetic[0][synthetic[1] == label], real[0][real[1] == label]
        if min(len(one), len(other)) >= 2:
            ours += len(one) * one.var(axis=0, ddof=1)
            theirs += len(one) * other.var(axis=0, ddof=1)
    varies = theirs > 1e-12
    return float((ours[varies] / theirs[varies]).mean()) if varies.any() else float("nan")


def nearest_distances(rows: Floats, real: Floats) -> Floats:
    """Return the distance of each row to the nearest real row, (rows,)."""
    distances, _ = cKDTree(real).query(rows, k=1)
    return np.asarray(distances)


def near_share(rows: Floats, held_out: Floats, training: Floats) -> float:
    """Return the share of rows closer to a training cell than almost all held-out cells are."""
    if not len(rows):
        return float("nan")
    limit = np.quantile(nearest_distances(held_out, training), NEAR_SHARE)
    return float((nearest_distances(rows, training) < limit).mean())


def describe_copying(near: float, distance: float) -> str:
    """Return whether synthetic rows are copies.

    Parameters
    ----------
    near
        The part of rows that are nearer to a training cell than nearly all held-out cells.
    distance
        The median distance to the nearest training cell; that of held-out cells is 1.
    """
    if np.isnan(near) or np.isnan(distance):
        return "not known"
    return next((words for many, far, words in COPYING if near >= many or distance < far), NEW)


def coverage(synthetic: Floats, real: Floats) -> float:
    """Return the share of real cells with a synthetic row in their region.

    The region of a cell extends to its fifth nearest real neighbour.
    """
    count = min(REGION_NEIGHBOURS, len(real) - 1)
    if count < 1 or not len(synthetic):
        return float("nan")
    distances, _ = cKDTree(real).query(real, k=[count + 1])
    return float((nearest_distances(real, synthetic) <= np.ravel(distances)).mean())


def density(synthetic: Floats, real: Floats) -> float:
    """Return in how many regions of real cells a synthetic row is, over the number expected.

    Below 1 rows are where cells are rare; above 1 they are concentrated (Naeem et al., 2020).
    """
    count = min(REGION_NEIGHBOURS, len(real) - 1)
    if count < 1 or not len(synthetic):
        return float("nan")
    distances, _ = cKDTree(real).query(real, k=[count + 1])
    return float((cdist(synthetic, real) <= np.ravel(distances)).sum(axis=1).mean() / count)


def attack_membership(
    rows: Floats | None, training: Floats, held_out: Floats, rng: np.random.Generator
) -> dict[str, float]:
    """Return how well two attacks recognise training cells among real cells, by their names.

    `distance`: a cell is taken for a training cell if a row is near it. `density`: if rows are
    denser at it than other real cells are (van Breugel et al., 2023). `auc` is 0.5 if an attack
    learns nothing; `found` is the share of training cells that it recognises when it takes one in
    a hundred held-out cells for a training cell.

    Parameters
    ----------
    rows
        Synthetic rows; None: real cells that are neither training cells nor attacked, which is the
        result of a generator that has no training cells in memory.
    """
    parts = np.array_split(rng.permutation(len(held_out)), ATTACK_PARTS)
    if not len(training) or not all(map(len, parts)):
        return {}
    cells = np.concatenate([training, held_out])
    # Each search for neighbours serves both attacks in all turns.
    by_part = [_neighbour_distances(cells, held_out[part]) for part in parts]
    by_rows = None if rows is None else _neighbour_distances(cells, rows)
    values: dict[str, list[float]] = {}
    for turn in range(ATTACK_PARTS):
        attacked, known, unused = ((turn + n) % ATTACK_PARTS for n in range(3))
        chosen = np.append(np.arange(len(training)), len(training) + parts[attacked])
        inside = chosen < len(training)
        seen = (by_part[unused] if by_rows is None else by_rows)[chosen]
        signs = {
            "distance": -seen[:, 0],
            "density": _log_density(seen) - _log_density(by_part[known][chosen]),
        }
        for name, sign in signs.items():
            limit = np.quantile(sign[~inside], 1 - FALSE_ALARMS, method="higher")
            values.setdefault(f"{name}_auc", []).append(float(roc_auc_score(inside, sign)))
            values.setdefault(f"{name}_found", []).append(float((sign[inside] > limit).mean()))
    return {name: float(np.mean(several)) for name, several in values.items()}


def _neighbour_distances(cells: Floats, rows: Floats) -> Floats:
    """Return the distances of each cell to the nearest rows, (cells, neighbours)."""
    distances, _ = cKDTree(rows).query(cells, k=range(1, min(DENSITY_NEIGHBOURS, len(rows)) + 1))
    return np.asarray(distances)


def _log_density(distances: Floats) -> Floats:
    """Return the log density of rows but for the same constant and factor everywhere."""
    return np.asarray(-np.log(np.maximum(distances, LEAST_DISTANCE)).mean(axis=1))


def two_sample_auc(
    synthetic: LabelledRows,
    real: LabelledRows,
    rng: np.random.Generator,
    *,
    make: Callable[[int], Any] | None = None,
) -> float:
    """Return how well a classifier separates synthetic from real rows (Lopez-Paz, 2017).

    0.5 is chance. Both sides have as many rows of each class; the classifier knows their classes
    and is scored on rows it was not fitted on.

    Parameters
    ----------
    make
        Returns the classifier for a seed; None: extra trees.
    """
    make = _make_separating_trees if make is None else make
    sides = (synthetic, real)
    labels = np.intersect1d(synthetic[1], real[1])
    counts = {label: min((side[1] == label).sum() for side in sides) for label in labels}
    count = sum(counts.values())
    if count < 2 * MEASURE_FOLDS:
        return float("nan")
    X = np.concatenate([_draw_rows(side, counts, rng) for side in sides])
    origin = np.repeat([0, 1], count)
    # Both sides are divided in the same way. If a fold left out more rows of one side, training
    # would contain too many rows of the other side, and the score would be below chance.
    fold = np.tile(np.arange(count) % MEASURE_FOLDS, 2)
    probabilities = np.zeros(len(X))
    seed = int(rng.integers(2**31 - 1))
    for number in range(MEASURE_FOLDS):
        fit, scored = fold != number, fold == number
        trees = make(seed).fit(X[fit], origin[fit])
        probabilities[scored] = trees.predict_proba(X[scored])[:, 1]
    return float(roc_auc_score(origin, probabilities))


def _make_separating_trees(seed: int) -> Any:
    return ExtraTreesClassifier(MEASURE_TREES, min_samples_leaf=2, random_state=seed)


def boosted_auc(synthetic: LabelledRows, real: LabelledRows, rng: np.random.Generator) -> float:
    """Return how well boosted trees separate synthetic from real rows; 0.5 is chance."""

    def make(seed: int) -> BoostedTrees:
        return BoostedTrees(**SEPARATING_TREES, random_state=seed)

    return two_sample_auc(synthetic, real, rng, make=make)


def _draw_rows(side: LabelledRows, counts: Mapping[int, int], rng: np.random.Generator) -> Floats:
    """Return rows with the class as last column; `counts` is the number of rows by class."""
    rows, y = side
    drawn = [rng.permutation(np.flatnonzero(y == label))[:n] for label, n in counts.items()]
    chosen = np.concatenate(drawn)
    return np.column_stack([rows[chosen], y[chosen]])


def score_training(
    synthetic: LabelledRows,
    real: LabelledRows,
    *,
    classes: tuple[str, ...],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the scores on real rows of a classifier that is fitted on synthetic rows alone."""
    seed = int(rng.integers(2**31 - 1))
    trees = ExtraTreesClassifier(MEASURE_TREES, max_features=0.3, random_state=seed).fit(*synthetic)
    probabilities = np.full((len(real[0]), len(classes)), LEAST_SHARE)
    probabilities[:, trees.classes_] = np.maximum(trees.predict_proba(real[0]), LEAST_SHARE)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return scores_of(probabilities, real[1], classes)


def score_learner(
    name: str,
    synthetic: LabelledRows,
    real: LabelledRows,
    *,
    classes: tuple[str, ...],
    rng: np.random.Generator,
) -> float:
    """Return the macro F1 on real rows of a classifier that is fitted on synthetic rows alone.

    NaN with rows of one class, from which not every classifier can be fitted.
    """
    if len(np.unique(synthetic[1])) < 2:
        return float("nan")
    seed, settings = int(rng.integers(2**31 - 1)), LEARNER_SETTINGS.get(name, {})
    classifier = BenchmarkClassifier(name=name, settings=settings, random_state=seed)
    fitted = classifier.fit(*synthetic)
    probabilities = predict_probabilities(fitted, real[0], classes=len(classes))
    return scores_of(probabilities, real[1], classes)["macro_f1"]
