"""Estimators that are not in scikit-learn, and scores of its classifiers for all classes.

They follow the conventions of scikit-learn: clone, Pipeline and cross-validation.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    clone,
)
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import QuantileTransformer
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sts.base.types import CLASSES, Floats, Ints

# Smallest probability before the logarithm: if all trees of a forest agree, it is 0.
FLOOR: Final = 1e-4
# Number of quantiles from which ranks are interpolated.
QUANTILES: Final = 200
# Largest normal score of a rank.
OUTERMOST: Final = 3.0
# Number of rows that approximate a kernel.
LANDMARKS: Final = 300
# Slope of the log odds of two classes over the distance from the boundary between them.
SLOPE: Final = 3.0


class Classifier(Protocol):
    """A fitted classifier of scikit-learn; `predict_logits` returns its scores."""

    classes_: Ints

    def predict(self, X: Floats) -> Any:
        """Return the class of each row."""


def predict_logits(classifier: Any, X: Floats, *, classes: int = len(CLASSES)) -> Floats:
    """Return scores (rows, classes) whose softmax, at some temperature, is a probability.

    A class without a training row gets the lowest score.
    """
    if hasattr(classifier, "decision_function"):
        scores = np.asarray(classifier.decision_function(X))
        if scores.ndim == 1:
            # For two classes scikit-learn returns only the log odds of the second.
            scores = np.column_stack([-scores / 2, scores / 2])
    else:
        scores = np.log(np.maximum(classifier.predict_proba(X), FLOOR))
    logits = np.full((len(X), classes), np.log(FLOOR))
    logits[:, classifier.classes_] = scores
    return logits


def encode_labels(y: Any, classes: int | None) -> tuple[Any, Ints]:
    """Return the classes and the index of each label among them.

    Parameters
    ----------
    classes
        The classes are the numbers below this; None: the classes are those in `y`.
    """
    check_classification_targets(y)
    if classes is not None:
        return np.arange(classes), np.asarray(y)
    present, labels = np.unique(y, return_inverse=True)
    if len(present) < 2:
        raise ValueError(f"all rows are of one class, {present[0]!r}: give rows of two or more")
    return present, labels


def check_weights(weights: Any, X: Floats) -> Floats | None:
    """Return weights of rows as an array, None if there are none."""
    if weights is None:
        return None
    checked: Floats = _check_sample_weight(weights, X)
    if not checked.any():
        raise ValueError("all weights are zero: give some row a weight above 0")
    return checked


class ProbableClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that predicts the most probable class."""

    @property
    def takes_missing(self) -> bool:
        """Tell whether rows can have missing values."""
        return False

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each row."""
        # This comes first, so that an estimator without a fit raises its usual error.
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def _checked(self, X: Any) -> Floats:
        check_is_fitted(self)
        finite: Any = "allow-nan" if self.takes_missing else True
        return np.asarray(
            validate_data(self, X, reset=False, ensure_all_finite=finite, dtype=np.float64)
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.takes_missing
        return tags


def _available_with(method: str) -> Callable[[Callable[..., Floats]], Callable[..., Floats]]:
    decorator: Callable[..., Any] = available_if(lambda self: hasattr(self.estimator, method))
    return decorator


class Prepared(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A transformer and a classifier, fitted on the same rows.

    Unlike a Pipeline it accepts weights of rows, and it does not warn if a fit stops after the
    given number of iterations, which is intended here.
    """

    def __init__(self, preparation: Any, estimator: Any) -> None:
        self.preparation = preparation
        self.estimator = estimator

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the transformer, then the classifier on the transformed rows."""
        y = column_or_1d(y, warn=True)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.preparation_ = clone(self.preparation)
            ready = self.preparation_.fit_transform(X)
            self.estimator_ = clone(self.estimator).fit(ready, y, **weights)
        self.classes_ = self.estimator_.classes_
        return self

    @property
    def n_features_in_(self) -> int:
        """Return the number of features."""
        return int(self.preparation_.n_features_in_)

    def _transform(self, X: Any) -> Any:
        check_is_fitted(self)
        return self.preparation_.transform(X)

    def predict(self, X: Any) -> Any:
        """Return the class of each row."""
        ready = self._transform(X)
        return self.estimator_.predict(ready)

    @_available_with("predict_proba")
    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities of the classes that were fitted."""
        ready = self._transform(X)
        return np.asarray(self.estimator_.predict_proba(ready))

    @_available_with("decision_function")
    def decision_function(self, X: Any) -> Floats:
        """Return the scores of the classes that were fitted."""
        ready = self._transform(X)
        return np.asarray(self.estimator_.decision_function(ready))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        first = self.preparation
        while hasattr(first, "steps"):
            first = first.steps[0][1]
        theirs = get_tags(first).input_tags
        tags.input_tags.allow_nan, tags.input_tags.sparse = theirs.allow_nan, theirs.sparse
        return tags


class RankScores(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Normal scores of the ranks in each column, so that long tails do not dominate."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit ranks and scales on the rows."""
        X = validate_data(self, X, dtype=np.float64)
        self.ranks_ = QuantileTransformer(
            n_quantiles=min(QUANTILES, len(X)), output_distribution="normal", subsample=None
        ).fit(X)
        scores = self._scores(X)
        self.mean_, deviation = scores.mean(axis=0), scores.std(axis=0)
        self.deviation_ = np.where(deviation > 0, deviation, 1.0)
        return self

    def _scores(self, X: Floats) -> Floats:
        return np.asarray(np.clip(self.ranks_.transform(X), -OUTERMOST, OUTERMOST))

    def transform(self, X: Any) -> Floats:
        """Return the scores; each column has mean 0 and deviation 1 on the fitted rows."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray((self._scores(X) - self.mean_) / self.deviation_)


class HistogramBoosting(HistGradientBoostingClassifier):
    """Histogram boosting of scikit-learn on one thread; a column can have no values."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on rows in which NaN is missing."""
        if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind == "f":
            # scikit-learn fails on a column without any value; a constant column is never used.
            X = np.where(np.isnan(X).all(axis=0), 0.0, X)
        # Folds run in parallel; several threads per fold would only wait for each other.
        with threadpool_limits(1, user_api="openmp"):
            super().fit(X, y, sample_weight=sample_weight)
        return self


class PairwiseSvm(ProbableClassifier):
    """A support vector machine for every pair of classes; probabilities combine all pairs."""

    def __init__(self, *, C: float = 1.0, gamma: float = 0.1, random_state: int = 0) -> None:
        self.C = C
        self.gamma = gamma
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on standardised rows."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        # libsvm requires a seed, although it uses none here.
        self.machine_ = SVC(
            C=self.C,
            gamma=self.gamma,
            decision_function_shape="ovo",
            random_state=self.random_state,
            cache_size=500,
        ).fit(X, y, sample_weight=sample_weight)
        self.classes_ = self.machine_.classes_
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities of the classes that were fitted."""
        X = self._checked(X)
        distances = self.machine_.decision_function(X).reshape(len(X), -1)
        count = len(self.classes_)
        if count == 2:
            # For two classes, a positive distance means the second class.
            distances = -distances
        first, second = np.triu_indices(count, k=1)
        logits = np.zeros((len(X), count))
        for pair, (one, other) in enumerate(zip(first, second, strict=True)):
            steep = SLOPE * distances[:, pair]
            logits[:, one] -= np.logaddexp(0.0, -steep)
            logits[:, other] -= np.logaddexp(0.0, steep)
        return np.asarray(softmax(logits, axis=1))


class LandmarkSvm(ProbableClassifier):
    """A linear support vector machine on the kernel at some rows (Williams and Seeger, 2001)."""

    def __init__(self, *, C: float = 1.0, gamma: float = 0.1, random_state: int = 0) -> None:
        self.C = C
        self.gamma = gamma
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on standardised rows; each class has the same number of landmarks."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        rng = np.random.default_rng(self.random_state)
        labels = np.unique(y)
        each = -(-LANDMARKS // len(labels))
        chosen = [rng.permutation(np.flatnonzero(y == label))[:each] for label in labels]
        landmarks = X[np.concatenate(chosen)]
        self.map_ = Nystroem(
            gamma=self.gamma, n_components=len(landmarks), random_state=self.random_state
        ).fit(landmarks)
        self.machine_ = LinearSVC(C=self.C, dual=False, tol=1e-2, random_state=self.random_state)
        self.machine_.fit(self.map_.transform(X), y, sample_weight=sample_weight)
        self.classes_ = self.machine_.classes_
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities of the classes that were fitted."""
        X = self._checked(X)
        distances = self.machine_.decision_function(self.map_.transform(X))
        if distances.ndim == 1:
            distances = np.column_stack([-distances, distances])
        return np.asarray(softmax(SLOPE * distances, axis=1))


@dataclass(kw_only=True, eq=False, repr=False)
class Stack(ProbableClassifier):
    """Logistic regression on the predictions of classifiers for rows they were not fitted on.

    scikit-learn's StackingClassifier passes on scores or probabilities; here it is logarithms of
    probabilities, which have the same unit for all members.
    """

    members: Sequence[Any] = ()
    C: float = 0.02
    """Of the logistic regression."""
    parts: int = 3
    """Folds within the training rows: each is predicted by members fitted on the other folds."""
    classes: int | None = None
    """Classes are the numbers below this, with or without rows; None: those in `y`."""
    random_state: int = 0

    @property
    def takes_missing(self) -> bool:
        """Tell whether rows can have missing values: the members accept them."""
        return True

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the members on folds, the regression on the rest, then the members on all rows."""
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", dtype=np.float64)
        self.classes_, labels = encode_labels(y, self.classes)
        sample_weight = check_weights(sample_weight, X)
        logs = np.zeros((len(X), len(self.members) * len(self.classes_)))
        parts = StratifiedKFold(self.parts, shuffle=True, random_state=self.random_state)
        for fitted, rest in parts.split(X, labels):
            weights = None if sample_weight is None else sample_weight[fitted]
            members = self._fit_members(X[fitted], labels[fitted], weights)
            logs[rest] = self._log_probabilities(members, X[rest])
        self.top_ = LogisticRegression(C=self.C, max_iter=2000)
        self.top_.fit(logs, labels, sample_weight=sample_weight)
        self.members_ = self._fit_members(X, labels, sample_weight)
        return self

    def _fit_members(self, X: Floats, labels: Ints, weights: Any) -> list[Any]:
        return [clone(member).fit(X, labels, sample_weight=weights) for member in self.members]

    def _log_probabilities(self, members: Sequence[Any], X: Floats) -> Floats:
        count = len(self.classes_)
        return np.column_stack(
            [log_softmax(predict_logits(member, X, classes=count), axis=1) for member in members]
        )

    def _logits(self, X: Any) -> Floats:
        X = self._checked(X)
        logs = self._log_probabilities(self.members_, X)
        return predict_logits(self.top_, logs, classes=len(self.classes_))

    def decision_function(self, X: Any) -> Floats:
        """Return the score of each class; for two classes, their difference."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, (rows, classes)."""
        return np.asarray(softmax(self._logits(X), axis=1))
