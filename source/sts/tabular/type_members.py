"""The classifiers that distinguish the children of a node of the tree of types, and their pool."""

import warnings
from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import validate_data

from sts.base.types import Floats
from sts.tabular.estimators import (
    FLOOR,
    Prepared,
    ProbableClassifier,
    check_weights,
    encode_labels,
)
from sts.tabular.gaussian_scores import GaussianScores
from sts.tabular.trees import BoostedTrees

FOREST_TREES: Final = 150
# Fewer trees with larger leaves: a leaf stores a share for each of many types. Each node tries more
# features than in the larger forest, which makes up for it.
_FINE_TREES: Final = 100
# Of the networks: many features repeat each other, so that the penalty is strong.
_PENALTY: Final = 1.0
# Rows of a step of their training, and its length.
_BATCH: Final = 256
_RATE: Final = 4e-3
_SHRINKAGE: Final = 0.3
POWER: Final = 0.5
# Smallest frequency of a class before the logarithm.
_SMALLEST_SHARE: Final = 1e-6


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
        self.members_ = [clone(each).fit(X, labels, sample_weight=weights) for each in self.members]
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, (rows, classes)."""
        X = self._checked(X)
        logs = [np.log(np.maximum(each.predict_proba(X), FLOOR)) for each in self.members_]
        powers = np.exp(np.mean(logs, axis=0))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


class ShrunkenDiscriminant(ProbableClassifier):
    """Linear discriminant analysis for many features that repeat each other.

    Means and covariance count every row once; weights are frequencies of classes.

    Parameters
    ----------
    shrinkage
        Part of the covariance that is replaced by equal variances.
    power
        Exponent of the odds: features that repeat each other make them too large.
    """

    def __init__(self, *, shrinkage: float = _SHRINKAGE, power: float = POWER) -> None:
        self.shrinkage = shrinkage
        self.power = power

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on rows."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.classes_, labels = encode_labels(y, None)
        weights = check_weights(sample_weight, X)
        sums = np.bincount(labels, weights=weights)
        means = np.array([X[labels == each].mean(axis=0) for each in range(len(sums))])
        gaps = X - means[labels]
        covariance = gaps.T @ gaps / len(X)
        scale = np.trace(covariance) / len(covariance) or 1.0
        mixed = (1 - self.shrinkage) * covariance + self.shrinkage * scale * np.eye(len(covariance))
        slopes = np.linalg.solve(mixed, means.T)
        frequencies = np.log(np.maximum(sums / sums.sum(), _SMALLEST_SHARE))
        self.coef_ = self.power * slopes.T
        self.intercept_ = self.power * (frequencies - (means.T * slopes).sum(axis=0) / 2)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, (rows, classes)."""
        return np.asarray(softmax(self._checked(X) @ self.coef_.T + self.intercept_, axis=1))


class DenseNetworks(ProbableClassifier):
    """The mean of the probabilities of small networks with two hidden layers.

    Parameters
    ----------
    count
        Number of networks; they differ in their initial weights and batches.
    units
        Units of each hidden layer.
    epochs
        Number of times that each row is seen.
    """

    def __init__(
        self, *, count: int = 3, units: int = 64, epochs: int = 30, random_state: int = 0
    ) -> None:
        self.count = count
        self.units = units
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit every network on the same rows."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.classes_, labels = encode_labels(y, None)
        weights = check_weights(sample_weight, X)
        seeds = np.random.SeedSequence(self.random_state).generate_state(self.count)
        with warnings.catch_warnings():
            # They stop after the given number of epochs.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = [
                MLPClassifier(
                    (self.units, self.units),
                    alpha=_PENALTY,
                    batch_size=min(_BATCH, len(X)),
                    learning_rate_init=_RATE,
                    max_iter=self.epochs,
                    random_state=int(seed),
                ).fit(X, labels, sample_weight=weights)
                for seed in seeds
            ]
        # In float32, as they are stored.
        self.slopes_, self.offsets_ = (
            [np.stack(layer).astype(np.float32) for layer in zip(*layers, strict=True)]
            for layers in ([e.coefs_ for e in fitted], [e.intercepts_ for e in fitted])
        )
        if len(self.classes_) == 2:
            # scikit-learn has the score of the second class alone.
            self.slopes_[-1] = np.pad(self.slopes_[-1], ((0, 0), (0, 0), (1, 0)))
            self.offsets_[-1] = np.pad(self.offsets_[-1], ((0, 0), (1, 0)))
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, (rows, classes)."""
        return run_networks(self._checked(X), self.slopes_, self.offsets_)


def run_networks(X: Floats, slopes: Sequence[Floats], offsets: Sequence[Floats]) -> Floats:
    """Return the mean of the probabilities of networks, (rows, classes).

    Parameters
    ----------
    slopes
        (networks, inputs, outputs) of each layer.
    offsets
        (networks, outputs) of each layer.
    """
    values = np.broadcast_to(X, (len(slopes[0]), *X.shape))
    for at, (slope, offset) in enumerate(zip(slopes, offsets, strict=True)):
        values = (np.maximum(values, 0.0) if at else values) @ slope + offset[:, None]
    return np.asarray(softmax(values, axis=2).mean(axis=0))


def make_members(seed: int = 0) -> PooledClassifier:
    """Return boosted trees, a forest and networks, pooled: for many cells.

    The last two read normal scores, in which a missing value follows from the others. The forest is
    better in a laboratory without training cells.
    """
    forest = Prepared(GaussianScores(), _make_forest(seed))
    networks = Prepared(GaussianScores(), DenseNetworks(random_state=seed))
    return PooledClassifier(members=(BoostedTrees(random_state=seed), forest, networks))


def make_fine_members(seed: int = 0) -> PooledClassifier:
    """Return a smaller forest and discriminant analysis, pooled: for rare types."""
    forest = Prepared(GaussianScores(), _make_forest(seed, trees=_FINE_TREES, fewest=4, tried=0.6))
    return PooledClassifier(members=(forest, make_discriminant()))


def make_discriminant() -> Prepared:
    """Return discriminant analysis of normal scores, in which a cell can lack features."""
    return Prepared(GaussianScores(), ShrunkenDiscriminant())


def make_indicating_forest(seed: int) -> Prepared:
    """Return a forest that also sees which features a cell lacks."""
    filling = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return Prepared(filling, _make_forest(seed))


def _make_forest(
    seed: int, *, trees: int = FOREST_TREES, fewest: int = 2, tried: float = 0.3
) -> ExtraTreesClassifier:
    return ExtraTreesClassifier(
        trees, max_features=tried, min_samples_leaf=fewest, random_state=seed
    )
