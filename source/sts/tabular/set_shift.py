"""Features of several data sets on one scale, although these hold other classes.

Two sets that were measured in other ways differ by a constant in each feature: the temperature, the
solution, the definition of a trough. A plain difference of medians would also take away that one
set has more excitatory cells. So medians are compared class by class, and the differences averaged,
each by how many cells it rests on (a two-way model of class and set without interaction).

For a batch of cells without labels the classes are estimated: ranks give a first guess, then shift
and classes are found in turn. A single cell, or cells of a set whose protocol is that of the
reference, are taken as they are.
"""

from collections.abc import Callable
from typing import Any, Final, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sts.base.types import Floats

# A class with fewer cells in a set has no median to speak of.
FEWEST_OF_CLASS: Final = 5
# A feature of fewer values is a mark, not a measurement.
FEWEST_VALUES: Final = 10
LEVELS: Final = np.linspace(0.02, 0.98, 25)
# After so many rounds shift and classes hardly move any more.
ROUNDS: Final = 4


class SetShift(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Shift of each feature of each data set against those of a reference set.

    Parameters
    ----------
    reference
        Name of the data set whose scale is kept; None: that of most cells.
    """

    def __init__(self, *, reference: str | None = None) -> None:
        self.reference = reference

    def fit(self, X: Any, y: Any, dataset: Any = None) -> Self:
        """Find the shift of each set from cells X (cells, features) of classes y."""
        X = validate_data(self, X, ensure_all_finite="allow-nan", dtype=np.float64)
        self.classes_, place = np.unique(y, return_inverse=True)
        shares = np.eye(len(self.classes_))[place]
        sets = np.full(len(X), "") if dataset is None else np.asarray(dataset).astype(str)
        names, counts = np.unique(sets, return_counts=True)
        self.reference_ = self.reference or str(names[counts.argmax()])
        if self.reference_ not in names:
            raise ValueError(f"no cell is of the reference set {self.reference_!r}")
        own = sets == self.reference_
        self._keep_classes(X[own], shares[own])
        self.shifts_ = {
            str(name): self.find_shift(X[sets == name], shares[sets == name]) for name in names
        }
        moved = self.transform(X, sets)
        # Classes that the reference set lacks are known from the other sets, once shifted.
        self._keep_classes(moved, shares)
        self.quantiles_ = _quantiles(moved)
        return self

    def _keep_classes(self, X: Floats, shares: Floats) -> None:
        self.medians_ = _class_medians(X, shares)
        self.counts_ = shares.sum(axis=0)

    def find_shift(self, X: Floats, shares: Floats) -> Floats:
        """Return what the features of a set lie above those of the reference, (features,).

        Parameters
        ----------
        shares
            (cells, classes), how much each cell is of each class; of known class 1 and 0.
        """
        gaps = _class_medians(X, shares) - self.medians_
        cells = shares.sum(axis=0)
        there = (np.minimum(cells, self.counts_) >= FEWEST_OF_CLASS)[:, None] & np.isfinite(gaps)
        # The variance of a difference of medians goes with the sum of the inverse counts.
        sure = 1.0 / (1.0 / np.maximum(cells, 1e-9) + 1.0 / np.maximum(self.counts_, 1e-9))
        weights = np.where(there, sure[:, None], 0.0)
        total = weights.sum(axis=0)
        shift = np.where(there, gaps, 0.0) * weights
        found = shift.sum(axis=0) / np.where(total > 0, total, 1.0)
        few = np.array([len(np.unique(column)) < FEWEST_VALUES for column in X.T])
        return np.asarray(np.where(few, 0.0, found))

    def transform(self, X: Any, dataset: Any = None) -> Floats:
        """Return cells on the scale of the reference; those of a set that was not fitted stay."""
        check_is_fitted(self, "shifts_")
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan", dtype=np.float64)
        sets = np.full(len(X), self.reference_) if dataset is None else np.asarray(dataset)
        none = np.zeros(X.shape[1])
        shifts = [self.shifts_.get(str(name), none) for name in sets.tolist()]
        return np.asarray(X - np.array(shifts).reshape(X.shape))

    def transform_batch(self, X: Floats, predict: Callable[[Floats], Floats]) -> Floats:
        """Return cells of a set without labels on the scale of the reference.

        Parameters
        ----------
        predict
            Gives the probabilities (cells, classes) of cells on this scale; those of equally
            frequent classes, since nothing is known of how frequent they are here.
        """
        shares = predict(self._by_ranks(X))
        moved = X
        for _ in range(ROUNDS):
            moved = X - self.find_shift(X, shares)
            shares = predict(moved)
        return moved

    def _by_ranks(self, X: Floats) -> Floats:
        """Return features that are distributed as those of the fitted cells."""
        here = _quantiles(X)
        columns = [
            np.interp(X[:, at], here[:, at], self.quantiles_[:, at]) for at in range(X.shape[1])
        ]
        return np.column_stack(columns)


def _class_medians(X: Floats, shares: Floats) -> Floats:
    """Return the median of each feature in each class, (classes, features), NaN without a cell."""
    return np.array([[_median(column, weights) for column in X.T] for weights in shares.T]).reshape(
        shares.shape[1], X.shape[1]
    )


def _median(values: Floats, weights: Floats) -> float:
    known = np.isfinite(values) & (weights > 0)
    if not known.any():
        return float("nan")
    order = np.argsort(values[known], kind="stable")
    sums = np.cumsum(weights[known][order])
    # Half above and half below; between both middle values of an even number.
    low, high = np.searchsorted(sums, sums[-1] / 2 * np.array([1 - 1e-9, 1 + 1e-9]))
    ordered = values[known][order]
    return float((ordered[low] + ordered[min(high, len(ordered) - 1)]) / 2)


def _quantiles(X: Floats) -> Floats:
    """Return quantiles of each feature, (levels, features), zeros where no cell has it."""
    known = np.where(np.isfinite(X).any(axis=0), X, 0.0)
    return np.asarray(np.nanquantile(known, LEVELS, axis=0))
