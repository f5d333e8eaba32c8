"""How unlike all classes a cell is: its distance to the nearest one, and the doubt between them.

In normal scores of ranks every class is a normal distribution around its own mean, all with one
covariance (Lee et al., 2018). A cell of another laboratory is far from all means; a cell of a class
outside training is between them. Both together detect more than either alone, and more than the
distance to the nearest training cell: in a wide class some training cell is always near.
"""

from typing import Any, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.covariance import LedoitWolf
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from sts.base.types import Floats
from sts.tabular.estimators import RankScores


class ClassDistance(TransformerMixin, BaseEstimator):
    """Squared Mahalanobis distance to the nearest class, and 1 less the highest probability."""

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on cells X (cells, features) of classes y; a missing value counts as the median."""
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", dtype=np.float64)
        filled = SimpleImputer(strategy="median", keep_empty_features=True)
        self.scores_ = make_pipeline(filled, RankScores())
        points = self.scores_.fit_transform(X)
        self.classes_, place = np.unique(y, return_inverse=True)
        self.means_ = np.array(
            [points[place == at].mean(axis=0) for at in range(len(self.classes_))]
        )
        self.shares_ = np.bincount(place) / len(place)
        # Features that repeat each other leave a covariance that only shrinkage can invert.
        self.precision_ = (
            LedoitWolf(assume_centered=True).fit(points - self.means_[place]).precision_
        )
        return self

    def transform(self, X: Any) -> Floats:
        """Return distance and doubt of each cell, (cells, 2)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan", dtype=np.float64)
        gaps = self.scores_.transform(X)[:, None] - self.means_
        distances = np.einsum("ikf,fg,ikg->ik", gaps, self.precision_, gaps)
        probabilities = softmax(np.log(self.shares_) - distances / 2, axis=1)
        return np.column_stack([distances.min(axis=1), 1.0 - probabilities.max(axis=1)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags


def unlike_scores(cells: Floats, known: Floats) -> Floats:
    """Return how unlike each cell is, 0 to 2: its ranks among known cells, added.

    Parameters
    ----------
    cells
        (cells, 2), distance and doubt.
    known
        (known cells, 2), of cells outside the fit, from the same data sets as the fitted cells.
    """
    ranks = [
        np.searchsorted(np.sort(column), values, side="right") / len(column)
        for column, values in zip(known.T, cells.T, strict=True)
    ]
    return np.asarray(np.sum(ranks, axis=0))
