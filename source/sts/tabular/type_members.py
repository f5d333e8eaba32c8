"""The classifiers that distinguish the children of a node of the tree of types, and their pool."""

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer
from sklearn.utils.validation import validate_data

from sts.base.types import Floats
from sts.tabular.estimators import (
    FLOOR,
    QUANTILES,
    Prepared,
    ProbableClassifier,
    check_weights,
    encode_labels,
)
from sts.tabular.trees import BoostedTrees

FOREST_TREES: Final = 150


class PooledClassifier(ProbableClassifier):
    """The normalised geometric mean of the probabilities of several classifiers.

    scikit-learn's VotingClassifier takes the arithmetic mean, in which none can exclude a class.
    """

    def __init__(self, *, members: Sequence[Any] = ()) -> None:
        self.members = members

    @property
    def takes_missing(self) -> bool:
        """Tell whether rows can have missing values: the members accept them."""
        return True

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit every member on the same rows."""
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", dtype=np.float64)
        self.classes_, labels = encode_labels(y, None)
        weights = check_weights(sample_weight, X)
        self.members_ = [clone(one).fit(X, labels, sample_weight=weights) for one in self.members]
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, (rows, classes)."""
        X = self._checked(X)
        logs = [np.log(np.maximum(member.predict_proba(X), FLOOR)) for member in self.members_]
        powers = np.exp(np.mean(logs, axis=0))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


class WeightedDiscriminant(LinearDiscriminantAnalysis):
    """Discriminant analysis of scikit-learn, with class frequencies from weights.

    In means and covariance every row has the same weight.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on rows; without weights, class frequencies are those of the rows."""
        priors = self.get_params()["priors"]
        if sample_weight is not None:
            _, place = np.unique(y, return_inverse=True)
            sums = np.bincount(place, weights=sample_weight)
            self.set_params(priors=sums / sums.sum())
        super().fit(X, y)
        self.set_params(priors=priors)
        return self


def make_members(seed: int = 0) -> PooledClassifier:
    """Return boosted trees and a forest, pooled: the best two classifiers for many cells.

    The forest is better in a laboratory without training cells.
    """
    return PooledClassifier(members=(BoostedTrees(random_state=seed), _make_forest(seed)))


def make_fine_members(seed: int = 0) -> PooledClassifier:
    """Return smaller trees, a forest and discriminant analysis, pooled: for rare types."""
    boosted = BoostedTrees(n_estimators=80, num_leaves=15, learning_rate=0.08, random_state=seed)
    # Without subsampling, the fit is not random.
    ranks = QuantileTransformer(n_quantiles=QUANTILES, output_distribution="normal", subsample=None)
    linear = WeightedDiscriminant(solver="lsqr", shrinkage="auto")
    discriminant = Prepared(make_pipeline(_make_filling(), ranks), linear)
    return PooledClassifier(members=(boosted, _make_forest(seed), discriminant))


def _make_forest(seed: int) -> Prepared:
    forest = ExtraTreesClassifier(
        FOREST_TREES, max_features=0.3, min_samples_leaf=2, random_state=seed
    )
    return Prepared(_make_filling(), forest)


def _make_filling() -> SimpleImputer:
    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
