"""How two data sets differ in what is measured, whatever their cells are."""

from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedKFold

from sts.base.types import Bools, Floats
from sts.tabular.estimators import logits_of
from sts.tabular.models import kind_of
from sts.tabular.trees import TreeSettings

FOLDS: Final = 3
# Enough to tell data sets apart; more only take longer.
TREES: Final = TreeSettings(n_estimators=100, num_leaves=15)
# No cell counts ten times as much as it would, or less than a tenth.
MOST: Final = 10.0
# Of the features, the share that differs least.
KEPT: Final = 2 / 3


def tell_apart(X: Floats, is_other: Bools, *, seed: int) -> Floats:
    """Return the log odds that each cell is of the other data set, by trees that never saw it."""
    said = np.zeros(len(X))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fitted, scored in folds.split(X, is_other):
        other = is_other[fitted].astype(np.int64)
        trees = kind_of("lightgbm").fit(X[fitted], other, TREES, seed=seed)
        logits = logits_of(trees, X[scored])
        said[scored] = logits[:, 1] - logits[:, 0]
    return said


def importance(X: Floats, others: Floats, *, seed: int) -> Floats:
    """Return how much more often cells like each of X come in the other data set; mean 1."""
    is_other = np.repeat([False, True], [len(X), len(others)])
    odds = np.exp(tell_apart(np.concatenate([X, others]), is_other, seed=seed)[: len(X)])
    weights = np.clip(odds * len(X) / len(others), 1.0 / MOST, MOST)
    scaled: Floats = weights / weights.mean()
    return scaled


def steady(X: Floats, others: Floats, *, weights: Floats, other_weights: Floats) -> Bools:
    """Tell which features differ least between two data sets, by weighted distributions."""
    gaps = [distance(X[:, at], others[:, at], weights, other_weights) for at in range(X.shape[1])]
    ranked = np.argsort(gaps, kind="stable")
    kept = np.zeros(X.shape[1], dtype=bool)
    kept[ranked[: max(1, round(KEPT * len(ranked)))]] = True
    return kept


def distance(x: Floats, other: Floats, weights: Floats, other_weights: Floats) -> float:
    """Return the largest gap between two weighted distributions (Kolmogorov and Smirnov).

    A missing value is one above all others, so that a feature which is missing more often differs.
    """
    values = np.nan_to_num(np.concatenate([x, other]), nan=np.inf)
    steps = np.concatenate([weights / weights.sum(), -other_weights / other_weights.sum()])
    places, at = np.unique(values, return_inverse=True)
    return float(np.abs(np.cumsum(np.bincount(at, steps, minlength=len(places)))).max())
