"""Support vector machines that say how likely a class is, exact or by landmarks."""

from typing import Final

import numpy as np

from sts.base.types import Floats, Ints

LANDMARKS: Final = 300
# How steeply the probability of a pair rises with the distance from the boundary between both.
SLOPE: Final = 3.0


class PairwiseSvm:
    """A machine for every pair of classes; a class is as probable as all its pairs together say."""

    def __init__(self, *, C: float, gamma: float, seed: int) -> None:
        from sklearn.svm import SVC

        # libsvm asks for a seed though it uses none here.
        self._machine = SVC(
            C=C, gamma=gamma, decision_function_shape="ovo", random_state=seed, cache_size=500
        )

    def fit(self, X: Floats, y: Ints, sample_weight: Floats | None = None) -> "PairwiseSvm":
        """Fit on standardised rows."""
        self._machine.fit(X, y, sample_weight=sample_weight)
        self.classes_ = self._machine.classes_
        return self

    def predict_proba(self, X: Floats) -> Floats:
        """Return probabilities of the classes that were fitted."""
        distances = self._machine.decision_function(X).reshape(len(X), -1)
        count = len(self.classes_)
        if count == 2:
            # For two classes alone, the sign speaks for the second.
            distances = -distances
        first, second = np.triu_indices(count, k=1)
        logits = np.zeros((len(X), count))
        for pair, (one, other) in enumerate(zip(first, second, strict=True)):
            logits[:, one] += log_sigmoid(SLOPE * distances[:, pair])
            logits[:, other] += log_sigmoid(-SLOPE * distances[:, pair])
        return softmax(logits)


class LandmarkSvm:
    """A linear machine on the kernel's values at some rows (Williams and Seeger, 2001)."""

    def __init__(self, *, C: float, gamma: float, seed: int) -> None:
        self._C, self._gamma, self._seed = C, gamma, seed

    def fit(self, X: Floats, y: Ints, sample_weight: Floats | None = None) -> "LandmarkSvm":
        """Fit on standardised rows; landmarks are drawn evenly from the classes."""
        from sklearn.kernel_approximation import Nystroem
        from sklearn.svm import LinearSVC

        rng = np.random.default_rng(self._seed)
        each = -(-LANDMARKS // len(np.unique(y)))
        chosen = [rng.permutation(np.flatnonzero(y == label))[:each] for label in np.unique(y)]
        landmarks = X[np.concatenate(chosen)]
        self._map = Nystroem(
            gamma=self._gamma, n_components=len(landmarks), random_state=self._seed
        ).fit(landmarks)
        self._machine = LinearSVC(C=self._C, dual=False, tol=1e-2, random_state=self._seed)
        self._machine.fit(self._map.transform(X), y, sample_weight=sample_weight)
        self.classes_ = self._machine.classes_
        return self

    def predict_proba(self, X: Floats) -> Floats:
        """Return probabilities of the classes that were fitted."""
        distances = self._machine.decision_function(self._map.transform(X))
        if distances.ndim == 1:
            distances = np.column_stack([-distances, distances])
        return softmax(SLOPE * distances)


def log_sigmoid(values: Floats) -> Floats:
    """Return the logarithm of the logistic function."""
    return np.asarray(-np.logaddexp(0.0, -values))


def softmax(logits: Floats) -> Floats:
    """Return probabilities that rise with the logits, rows with a sum of one."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
