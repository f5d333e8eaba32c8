"""What classifiers say of made rows: whether they look made, and whether one learns from them."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from sts.base.types import Floats, Ints
from sts.evaluation.predictions import scores_of

TREES: Final = 100
FOLDS: Final = 3


def two_sample_auc(
    made: tuple[Floats, Ints], real: tuple[Floats, Ints], rng: np.random.Generator
) -> float:
    """Return how well made and real rows are told apart, 0.5 if not at all (Lopez-Paz, 2017).

    As many rows of each class are taken on both sides; the judge knows their classes and is scored
    on others.
    """
    labels = np.intersect1d(made[1], real[1])
    counts = {label: min((side[1] == label).sum() for side in (made, real)) for label in labels}
    count = sum(counts.values())
    if count < 2 * FOLDS:
        return float("nan")
    sides = [_drawn(*side, counts, rng) for side in (made, real)]
    X, origin = np.concatenate(sides), np.repeat([0, 1], count)
    # Classes are dealt out alike on both sides: a fold that took out more of one side's rows would
    # let the judge see too many of the other's, and its word would be worse than chance.
    fold = np.tile(np.arange(count) % FOLDS, 2)
    said = np.zeros(len(X))
    seed = int(rng.integers(2**31 - 1))
    for number in range(FOLDS):
        fit, scored = fold != number, fold == number
        judge = ExtraTreesClassifier(TREES, min_samples_leaf=2, random_state=seed)
        said[scored] = judge.fit(X[fit], origin[fit]).predict_proba(X[scored])[:, 1]
    return float(roc_auc_score(origin, said))


def _drawn(rows: Floats, y: Ints, counts: Mapping[int, int], rng: np.random.Generator) -> Floats:
    """Return so many rows of each class, class by class, each with its class behind it."""
    drawn = [rng.permutation(np.flatnonzero(y == label))[:n] for label, n in counts.items()]
    chosen = np.concatenate(drawn)
    return np.column_stack([rows[chosen], y[chosen]])


def scores_when_trained_on(
    made: tuple[Floats, Ints],
    real: tuple[Floats, Ints],
    *,
    classes: tuple[str, ...],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the scores on real rows of a judge that has seen made rows alone."""
    seed = int(rng.integers(2**31 - 1))
    judge = ExtraTreesClassifier(TREES, max_features=0.3, random_state=seed).fit(*made)
    said = np.full((len(real[0]), len(classes)), 1e-4)
    said[:, judge.classes_] = np.maximum(judge.predict_proba(real[0]), 1e-4)
    return scores_of(said / said.sum(axis=1, keepdims=True), real[1], classes)
