"""Features of several data sets on one scale, even if their class proportions differ.

Data sets that were measured differently (temperature, solution, definition of a trough) differ by a
constant in each feature. A simple difference of medians would also remove differences of class
proportions, such as more excitatory cells in one set. Therefore medians are compared class by
class, and the differences are averaged with weights from the numbers of cells (a two-way model of
class and set without interaction).

For a batch of cells without labels the classes are estimated: ranks give a first estimate, then
shift and classes are estimated alternately. A single cell, or cells of a set with the protocol of
the reference, are not shifted.
"""

from collections.abc import Callable
from typing import Any, Final, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sts.base.types import Floats

# A class with fewer cells in a set has too few for a reliable median.
FEWEST_OF_CLASS: Final = 5
# A feature with fewer distinct values is an indicator and is not shifted.
FEWEST_VALUES: Final = 10
# Quantiles at which the distributions of features are compared.
SHIFT_QUANTILES: Final = np.linspace(0.02, 0.98, 25)
# Rounds of estimates of shift and classes; later rounds hardly change them.
SHIFT_ROUNDS: Final = 4


class SetShift(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Shift of each feature of each data set relative to a reference set.

    Parameters
    ----------
    reference
        Name of the data set that defines the scale; None: the set with most cells.
    """

    def __init__(self, *, reference: str | None = None) -> None:
        self.reference = reference

    def fit(self, X: Any, y: Any, dataset: Any = None) -> Self:
        """Estimate the shift of each set from cells X (cells, features) with classes y."""
        X = validate_data(self, X, ensure_all_finite="allow-nan", dtype=np.float64)
        self.classes_, place = np.unique(y, return_inverse=True)
        membership = np.eye(len(self.classes_))[place]
        sets = np.full(len(X), "") if dataset is None else np.asarray(dataset).astype(str)
        names, counts = np.unique(sets, return_counts=True)
        self.reference_ = self.reference or str(names[counts.argmax()])
        if self.reference_ not in names:
            raise ValueError(f"no cell is of the reference set {self.reference_!r}")
        own = sets == self.reference_
        self._store_medians(X[own], membership[own])
        self.shifts_ = {
            str(name): self.find_shift(X[sets == name], membership[sets == name]) for name in names
        }
        shifted = self.transform(X, sets)
        # Classes that are missing in the reference set are learned from the other shifted sets.
        self._store_medians(shifted, membership)
        self.quantiles_ = _quantiles(shifted)
        return self

    def _store_medians(self, X: Floats, membership: Floats) -> None:
        self.medians_ = _class_medians(X, membership)
        self.counts_ = membership.sum(axis=0)

    def find_shift(self, X: Floats, membership: Floats) -> Floats:
        """Return the difference of the features, set minus reference, (features,).

        Parameters
        ----------
        membership
            (cells, classes), probability of each class; 1 and 0 if the class is known.
        """
        gaps = _class_medians(X, membership) - self.medians_
        cells = membership.sum(axis=0)
        is_reliable = (np.minimum(cells, self.counts_) >= FEWEST_OF_CLASS)[:, None] & np.isfinite(
            gaps
        )
        # The variance of a difference of medians is proportional to the sum of inverse counts.
        precision = 1.0 / (1.0 / np.maximum(cells, 1e-9) + 1.0 / np.maximum(self.counts_, 1e-9))
        weights = np.where(is_reliable, precision[:, None], 0.0)
        total = weights.sum(axis=0)
        shift = np.where(is_reliable, gaps, 0.0) * weights
        mean_shift = shift.sum(axis=0) / np.where(total > 0, total, 1.0)
        is_indicator = np.array([len(np.unique(column)) < FEWEST_VALUES for column in X.T])
        return np.asarray(np.where(is_indicator, 0.0, mean_shift))

    def transform(self, X: Any, dataset: Any = None) -> Floats:
        """Return cells on the scale of the reference; cells of sets without a fit are unchanged."""
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
            Returns the probabilities (cells, classes) of cells on this scale, for equally frequent
            classes, since the class frequencies of this set are unknown.
        """
        membership = predict(self._by_ranks(X))
        shifted = X
        for _ in range(SHIFT_ROUNDS):
            shifted = X - self.find_shift(X, membership)
            membership = predict(shifted)
        return shifted

    def _by_ranks(self, X: Floats) -> Floats:
        """Return features with the same distributions as those of the fitted cells."""
        quantiles = _quantiles(X)
        columns = [
            np.interp(X[:, at], quantiles[:, at], self.quantiles_[:, at])
            for at in range(X.shape[1])
        ]
        return np.column_stack(columns)


def _class_medians(X: Floats, membership: Floats) -> Floats:
    """Return the median of each feature in each class, (classes, features), NaN without cells."""
    return np.array(
        [[_median(column, weights) for column in X.T] for weights in membership.T]
    ).reshape(membership.shape[1], X.shape[1])


def _median(values: Floats, weights: Floats) -> float:
    known = np.isfinite(values) & (weights > 0)
    if not known.any():
        return float("nan")
    order = np.argsort(values[known], kind="stable")
    sums = np.cumsum(weights[known][order])
    # Half of the weight on each side; for an even number, the mean of both middle values.
    low, high = np.searchsorted(sums, sums[-1] / 2 * np.array([1 - 1e-9, 1 + 1e-9]))
    ordered = values[known][order]
    return float((ordered[low] + ordered[min(high, len(ordered) - 1)]) / 2)


def _quantiles(X: Floats) -> Floats:
    """Return quantiles of each feature, (levels, features), 0 if no cell has the feature."""
    known = np.where(np.isfinite(X).any(axis=0), X, 0.0)
    return np.asarray(np.nanquantile(known, SHIFT_QUANTILES, axis=0))
