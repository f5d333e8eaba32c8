"""Features as normal scores of ranks, with missing values from those that the cell has.

In normal scores the features of cells are nearly jointly normal, and a missing value has a mean
given the others: that of the conditional distribution. Mean and covariance are estimated with
missing values by expectation and maximisation (Dempster et al., 1977). A cell of a protocol without
a stimulus so stays where it is in the features that it has. A median would move it towards cells
that are typical in all features.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from scipy.special import ndtri
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sts.base.types import Bools, Floats
from sts.tabular.estimators import OUTERMOST

# Number of quantiles from which ranks are interpolated; they are stored with a model.
_QUANTILES: Final = 64
# Rounds of the estimate of mean and covariance. It begins with independent features and stops
# before it converges, so that features which few cells have together stay nearly independent.
ROUNDS: Final = 4
# Variance added to each feature, in units of its own: many features are sums of others.
NUGGET: Final = 0.05
# A feature that fewer cells have is left out: its score is 0.
_FEWEST: Final = 3


class GaussianScores(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Normal scores of the ranks in each column; NaN gets its mean given the rest of the row."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit ranks, means and covariance on cells X (cells, features)."""
        X = validate_data(self, X, ensure_all_finite="allow-nan", dtype=np.float64)
        levels = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        self.is_used_ = np.isfinite(X).sum(axis=0) >= _FEWEST
        self.quantiles_ = np.zeros((_QUANTILES, X.shape[1]))
        self.quantiles_[:, self.is_used_] = np.nanquantile(X[:, self.is_used_], levels, axis=0)
        self.scores_ = np.clip(ndtri(levels), -OUTERMOST, OUTERMOST)
        count = X.shape[1]
        self.mean_, self.covariance_ = np.zeros(count), np.eye(count)
        points = self._score(X)
        for _ in range(ROUNDS):
            filled = self._fill(points)
            self.mean_ = filled.points.mean(axis=0)
            gaps = filled.points - self.mean_
            self.covariance_ = (gaps.T @ gaps + filled.uncertainty) / len(points)
        return self

    def _score(self, X: Floats) -> Floats:
        """Return normal scores, NaN where a value is missing and 0 for features without use."""
        columns = [
            _interpolate(X[:, at], self.quantiles_[:, at], self.scores_)
            if used
            else np.zeros(len(X))
            for at, used in enumerate(self.is_used_.tolist())
        ]
        return np.column_stack(columns)

    def transform(self, X: Any) -> Floats:
        """Return the scores (cells, features), none of them missing."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan", dtype=np.float64)
        return self._fill(self._score(X)).points

    def _fill(self, points: Floats) -> "_Filled":
        filled, uncertainty = points.copy(), np.zeros_like(self.covariance_)
        patterns, which = np.unique(np.isnan(points), axis=0, return_inverse=True)
        for at, missing in enumerate(patterns):
            if not missing.any():
                continue
            cells = np.flatnonzero(which.ravel() == at)
            slopes, rest = self._regress(missing)
            gaps = points[np.ix_(cells, ~missing)] - self.mean_[~missing]
            filled[np.ix_(cells, missing)] = self.mean_[missing] + gaps @ slopes
            uncertainty[np.ix_(missing, missing)] += len(cells) * rest
        return _Filled(points=filled, uncertainty=uncertainty)

    def _regress(self, missing: Bools) -> tuple[Floats, Floats]:
        """Return the slopes of missing features over the others, and the covariance of the rest."""
        known = ~missing
        both = self.covariance_[np.ix_(known, missing)]
        own = self.covariance_[np.ix_(known, known)] + NUGGET * np.eye(int(known.sum()))
        slopes = np.linalg.solve(own, both)
        return slopes, self.covariance_[np.ix_(missing, missing)] - both.T @ slopes

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


@dataclass(frozen=True, kw_only=True, eq=False)
class _Filled:
    points: Floats
    uncertainty: Floats
    """(features, features), the sum of the covariances of the missing values of all cells."""


def _interpolate(values: Floats, quantiles: Floats, scores: Floats) -> Floats:
    """Return the normal score of each value, and NaN for NaN; ties get the middle one."""
    upper = np.interp(values, quantiles, scores)
    lower = -np.interp(-values, -quantiles[::-1], -scores[::-1])
    return np.asarray((upper + lower) / 2)
