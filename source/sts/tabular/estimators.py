"""Estimators that scikit-learn lacks, and the scores of any of its classifiers for all classes.

They are scikit-learn's in every way: they can be cloned, put in a Pipeline and cross-validated.
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

# The smallest probability whose logarithm is taken: trees of a forest may all agree.
FLOOR: Final = 1e-4
# Ranks are told apart no finer than this, and no score lies further out.
QUANTILES: Final = 200
OUTERMOST: Final = 3.0
LANDMARKS: Final = 300
# How steeply the probability of a pair rises with the distance from the boundary between both.
SLOPE: Final = 3.0


class Classifier(Protocol):
    """A fitted classifier of scikit-learn; `predict_logits` returns its scores."""

    classes_: Ints

    def predict(self, X: Floats) -> Any:
        """Return the class of each row."""


def predict_logits(classifier: Any, X: Floats, *, classes: int = len(CLASSES)) -> Floats:
    """Return scores (rows, classes) whose softmax, at some temperature, is a probability.

    A class without a training row has the lowest score.
    """
    if hasattr(classifier, "decision_function"):
        found = np.asarray(classifier.decision_function(X))
        if found.ndim == 1:
            # scikit-learn gives the log odds of the second of two classes alone.
            found = np.column_stack([-found / 2, found / 2])
    else:
        found = np.log(np.maximum(classifier.predict_proba(X), FLOOR))
    whole = np.full((len(X), classes), np.log(FLOOR))
    whole[:, classifier.classes_] = found
    return whole


def encode_labels(y: Any, classes: int | None) -> tuple[Any, Ints]:
    """Return the classes and the place of each label among them.

    Parameters
    ----------
    classes
        Labels are numbers below this, which are all classes; None: the classes are those in `y`.
    """
    check_classification_targets(y)
    if classes is not None:
        return np.arange(classes), np.asarray(y)
    found, labels = np.unique(y, return_inverse=True)
    if len(found) < 2:
        raise ValueError(f"rows of one class, {found[0]!r}, cannot be told apart")
    return found, labels


def check_weights(weights: Any, X: Floats) -> Floats | None:
    """Return weights of rows as an array, None if there are none."""
    if weights is None:
        return None
    found: Floats = _check_sample_weight(weights, X)
    if not found.any():
        raise ValueError("a row of a weight above 0 is wanted, all are 0")
    return found


class ProbableClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that calls the most probable class."""

    @property
    def takes_missing(self) -> bool:
        """Tell whether rows may lack values."""
        return False

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each row."""
        # First, so that an estimator without a fit says that it has none.
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


def _has(method: str) -> Callable[[Callable[..., Floats]], Callable[..., Floats]]:
    found: Callable[..., Any] = available_if(lambda self: hasattr(self.estimator, method))
    return found


class Prepared(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A classifier behind a transformer that is fitted on the same rows.

    Unlike a Pipeline it takes weights of rows, and a fit that ends after a given number of
    iterations is what is wanted and no reason for a warning.
    """

    def __init__(self, preparation: Any, estimator: Any) -> None:
        self.preparation = preparation
        self.estimator = estimator

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the transformer, then the classifier on what it returns."""
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

    def _ready(self, X: Any) -> Any:
        check_is_fitted(self)
        return self.preparation_.transform(X)

    def predict(self, X: Any) -> Any:
        """Return the class of each row."""
        ready = self._ready(X)
        return self.estimator_.predict(ready)

    @_has("predict_proba")
    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities of the classes that were fitted."""
        ready = self._ready(X)
        return np.asarray(self.estimator_.predict_proba(ready))

    @_has("decision_function")
    def decision_function(self, X: Any) -> Floats:
        """Return the scores of the classes that were fitted."""
        ready = self._ready(X)
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
    """Normal scores of the ranks in each column: no tail outweighs, or hides, how rows differ."""

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
        """Return the scores, each column of mean 0 and deviation 1 on the rows that were fitted."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray((self._scores(X) - self.mean_) / self.deviation_)


class HistogramBoosting(HistGradientBoostingClassifier):
    """scikit-learn's histogram boosting on one thread; a column may lack every value."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on rows in which NaN is missing."""
        if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind == "f":
            # scikit-learn stumbles over a column without any value; a constant one is never used.
            X = np.where(np.isnan(X).all(axis=0), 0.0, X)
        # Folds run side by side; threads of their own would only wait for each other.
        with threadpool_limits(1, user_api="openmp"):
            super().fit(X, y, sample_weight=sample_weight)
        return self


class PairwiseSvm(ProbableClassifier):
    """A machine for every pair of classes; a class is as probable as all its pairs together say."""

    def __init__(self, *, C: float = 1.0, gamma: float = 0.1, random_state: int = 0) -> None:
        self.C = C
        self.gamma = gamma
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on standardised rows."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        # libsvm asks for a seed though it uses none here.
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
            # For two classes alone, the sign speaks for the second.
            distances = -distances
        first, second = np.triu_indices(count, k=1)
        logits = np.zeros((len(X), count))
        for pair, (one, other) in enumerate(zip(first, second, strict=True)):
            steep = SLOPE * distances[:, pair]
            logits[:, one] -= np.logaddexp(0.0, -steep)
            logits[:, other] -= np.logaddexp(0.0, steep)
        return np.asarray(softmax(logits, axis=1))


class LandmarkSvm(ProbableClassifier):
    """A linear machine on the kernel's values at some rows (Williams and Seeger, 2001)."""

    def __init__(self, *, C: float = 1.0, gamma: float = 0.1, random_state: int = 0) -> None:
        self.C = C
        self.gamma = gamma
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on standardised rows; landmarks are drawn evenly from the classes."""
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
    """Logistic regression on what classifiers say of rows that they were not fitted on.

    scikit-learn's StackingClassifier shows the top bare scores or probabilities; ours are
    logarithms of probabilities, which all members have in the same unit.
    """

    members: Sequence[Any] = ()
    C: float = 0.02
    """Of the logistic regression on top."""
    parts: int = 3
    """Folds within the training rows, each predicted by members fitted on the others."""
    classes: int | None = None
    """Classes are the numbers below this, also those without a row; None: those in `y`."""
    random_state: int = 0

    @property
    def takes_missing(self) -> bool:
        """Tell whether rows may lack values: members see to it."""
        return True

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the members on parts of the rows, the top on the rest, the members again on all."""
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", dtype=np.float64)
        self.classes_, labels = encode_labels(y, self.classes)
        sample_weight = check_weights(sample_weight, X)
        words = np.zeros((len(X), len(self.members) * len(self.classes_)))
        parts = StratifiedKFold(self.parts, shuffle=True, random_state=self.random_state)
        for fitted, said in parts.split(X, labels):
            weights = None if sample_weight is None else sample_weight[fitted]
            members = self._fit_members(X[fitted], labels[fitted], weights)
            words[said] = self._words(members, X[said])
        self.top_ = LogisticRegression(C=self.C, max_iter=2000)
        self.top_.fit(words, labels, sample_weight=sample_weight)
        self.members_ = self._fit_members(X, labels, sample_weight)
        return self

    def _fit_members(self, X: Floats, labels: Ints, weights: Any) -> list[Any]:
        return [clone(each).fit(X, labels, sample_weight=weights) for each in self.members]

    def _words(self, members: Sequence[Any], X: Floats) -> Floats:
        count = len(self.classes_)
        return np.column_stack(
            [log_softmax(predict_logits(each, X, classes=count), axis=1) for each in members]
        )

    def _logits(self, X: Any) -> Floats:
        X = self._checked(X)
        words = self._words(self.members_, X)
        return predict_logits(self.top_, words, classes=len(self.classes_))

    def decision_function(self, X: Any) -> Floats:
        """Return the score of each class; of two classes, their difference."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, (rows, classes)."""
        return np.asarray(softmax(self._logits(X), axis=1))
