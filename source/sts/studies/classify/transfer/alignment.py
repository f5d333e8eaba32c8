"""How two data sets differ in what is measured, and features brought to the scale of another."""

from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedKFold

from sts.base.types import Bools, Floats, Ints
from sts.tabular.estimators import predict_logits
from sts.tabular.models import find_kind
from sts.tabular.trees import TreeSettings

# Between the rarest values the map goes on as a shift.
LEVELS: Final = np.linspace(0.02, 0.98, 25)
# Indicators and other features of few values have no scale.
FEWEST_VALUES: Final = 5
# A class weighs as much as any other, but one that hardly a cell seems to be of does not.
FEWEST_CELLS: Final = 1.0
FOLDS: Final = 3
# Enough to tell data sets apart; more only take longer.
TREES: Final = TreeSettings(n_estimators=100, num_leaves=15)
# No cell counts ten times as much as it would, or less than a tenth.
MOST: Final = 10.0
# Of the features, the share that differs least.
KEPT: Final = 2 / 3


def aligned(X: Floats, like: Floats, *, weights: Floats, like_weights: Floats) -> Floats:
    """Return features mapped so that each is distributed as in the other data set.

    Parameters
    ----------
    X
        (cells, features); what is missing stays missing.
    like
        (other cells, features), of the data set whose scale is wanted.
    weights
        (cells,), and `like_weights` of the other cells: what must not be taken for a difference in
        scale, such as other shares of classes, is weighed away.
    """
    columns = [_column(X[:, at], like[:, at], weights, like_weights) for at in range(X.shape[1])]
    return np.column_stack(columns)


def _column(x: Floats, like: Floats, weights: Floats, like_weights: Floats) -> Floats:
    here, there = quantiles_of(x, weights), quantiles_of(like, like_weights)
    if here is None or there is None:
        return x
    # Equal values in a row would have no place of their own on the map.
    here = np.maximum.accumulate(here + np.arange(len(here)) * np.finfo(np.float64).eps)
    inside = np.interp(x, here, there)
    below, above = x - here[0] + there[0], x - here[-1] + there[-1]
    return np.where(x < here[0], below, np.where(x > here[-1], above, inside))


def quantiles_of(x: Floats, weights: Floats) -> Floats | None:
    """Return weighted quantiles of what is there, None for a feature without a scale."""
    there = np.isfinite(x) & (weights > 0)
    values, each = x[there], weights[there]
    order = np.argsort(values, kind="stable")
    values, each = values[order], each[order]
    if np.count_nonzero(np.diff(values)) < FEWEST_VALUES - 1:
        return None
    middle = np.cumsum(each) - each / 2
    return np.interp(LEVELS, middle / each.sum(), values)


def even_weights(y: Ints, classes: int) -> Floats:
    """Return weights of labelled cells under which every class weighs the same."""
    counts = np.bincount(y, minlength=classes)
    weights: Floats = 1.0 / counts[y]
    return weights


def even_weights_of(probabilities: Floats) -> Floats:
    """Return weights of cells without labels under which every class weighs about the same.

    Parameters
    ----------
    probabilities
        (cells, classes), of which each cell is taken to be.
    """
    cells = np.maximum(probabilities.sum(axis=0), FEWEST_CELLS)
    weights: Floats = (probabilities / cells).sum(axis=1)
    return weights


def tell_apart(X: Floats, is_other: Bools, *, seed: int) -> Floats:
    """Return the log odds that each cell is of the other data set, by trees that never saw it."""
    said = np.zeros(len(X))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fitted, scored in folds.split(X, is_other):
        other = is_other[fitted].astype(np.int64)
        trees = find_kind("lightgbm").fit(X[fitted], other, TREES, seed=seed)
        logits = predict_logits(trees, X[scored])
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
