"""Features of one data set brought to the scale of another, without its labels."""

from typing import Final

import numpy as np

from sts.base.types import Floats, Ints

# Between the rarest values the map goes on as a shift.
LEVELS: Final = np.linspace(0.02, 0.98, 25)
# Indicators and other features of few values have no scale.
FEWEST_VALUES: Final = 5
# A class weighs as much as any other, but one that hardly a cell seems to be of does not.
FEWEST_CELLS: Final = 1.0


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
