"""Apply a classifier to a laboratory outside its training data, with or without labels there.

Without labels the cells of the new laboratory can be taken as they are, which is right if the same
program measured them, or be brought to the scale of the training cells as a batch. With some
labels, a second classifier is trained on these labels alone. The weights of both follow from the
number of labels, and from cross-validation on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Final, Self

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold

from sts.base.types import Floats, Ints
from sts.evaluation.transfer import with_shares
from sts.tabular.estimators import FLOOR, Prepared
from sts.tabular.set_shift import SetShift
from sts.tabular.type_members import (
    PooledClassifier,
    make_discriminant,
    make_indicating_forest,
)

TREES: Final = 150
FOLDS: Final = 5
# Possible weights of the classifier of the new labels alone, relative to both classifiers.
LABEL_WEIGHTS: Final = tuple(np.linspace(0, 1, 11).tolist())
# With this number of labels a class both classifiers are expected to count the same. It and the
# deviation were chosen on PatchClamp and PatchSeq, each as the new laboratory of the other, with
# all features and with those of MotorCortex or HumanInterneurons alone.
LABELS_FOR_HALF: Final = 20
PRIOR_DEVIATION: Final = 0.1
# The three scales on which the carried classifier reads cells of the new laboratory.
AS_MEASURED, ALIGNED, BY_LABELS = "as measured", "aligned", "aligned by labels"


def make_carried_members(seed: int) -> PooledClassifier:
    """Return the forest and the discriminant analysis that are carried over, pooled.

    Which of the two carries over better differs between laboratories; pooled they are between.
    """
    forest = Prepared(
        SimpleImputer(strategy="median", keep_empty_features=True),
        ExtraTreesClassifier(TREES, max_features=0.3, min_samples_leaf=2, random_state=seed),
    )
    return PooledClassifier(members=(forest, make_discriminant()))


@dataclass(kw_only=True, eq=False)
class CarriedClassifier:
    """A classifier fitted on cells of known laboratories, for cells of a new laboratory.

    It assumes equal class frequencies, since the frequencies there are unknown.
    """

    classes: int
    seed: int = 0
    _members: PooledClassifier = field(init=False)
    _shift: SetShift = field(init=False)
    _shares: Floats = field(init=False)

    def fit(self, X: Floats, y: Ints) -> Self:
        """Fit on cells X (cells, features) with classes y, which are indices."""
        self._members = make_carried_members(self.seed).fit(X, y)
        self._shift = SetShift().fit(X, y)
        self._shares = np.bincount(y, minlength=self.classes) / len(y)
        return self

    def predict(self, X: Floats) -> Floats:
        """Return the probabilities (cells, classes) of cells without a change of scale."""
        probabilities = np.zeros((len(X), self.classes))
        probabilities[:, self._members.classes_] = self._members.predict_proba(X)
        is_trained = self._shares > 0
        return with_shares(probabilities, self._shares, is_trained / is_trained.sum())

    def predict_batch(self, X: Floats) -> Floats:
        """Return probabilities of cells of one laboratory, on the scale of the training cells."""
        return self.predict(self._align(X))

    def _align(self, X: Floats) -> Floats:
        known = np.flatnonzero(self._shares)
        return self._shift.transform_batch(X, lambda moved: self.predict(moved)[:, known])

    def predict_by_labels(self, X: Floats, rows: Ints, y: Ints) -> Floats:
        """Return probabilities of cells, on a scale from the known classes y of some of them."""
        known = np.flatnonzero(self._shares)
        shares = (y[:, None] == known).astype(np.float64)
        return self.predict(X - self._shift.find_shift(X[rows], shares))


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapted:
    """The predictions for the cells of a new laboratory with some labels."""

    probabilities: Floats
    """(cells, classes), for all cells."""
    labels_alone: Floats
    """The probabilities from a classifier of the labels alone."""
    scale: str
    """The scale on which the carried classifier read the cells."""
    part: float
    """Weight of the classifier of the labels alone, from 0 to 1."""


def adapt(carried: CarriedClassifier, X: Floats, X_own: Floats, rows: Ints, y: Ints) -> Adapted:
    """Return the probabilities of cells of a new laboratory, of which some have labels.

    Parameters
    ----------
    X
        (cells, features) of all cells there, with the features of the fitted classifier.
    X_own
        (cells, other features) of the same cells: all features that were measured there.
    rows
        The cells with labels; `y` are their classes, at least three cells of each class.
    """
    scales = {AS_MEASURED: carried.predict(X), ALIGNED: carried.predict_batch(X)}
    alone, unseen = _predict_from_labels(carried, X_own, rows, y)
    held = {name: probabilities[rows] for name, probabilities in scales.items()}
    scales[BY_LABELS] = carried.predict_by_labels(X, rows, y)
    held[BY_LABELS] = np.zeros_like(unseen)
    for fit, left_out in _folds(y, carried.seed):
        held[BY_LABELS][left_out] = carried.predict_by_labels(X, rows[fit], y[fit])[rows[left_out]]
    scale, part = _choose(held, unseen, y)
    return Adapted(
        probabilities=_pool(scales[scale], alone, part),
        labels_alone=alone,
        scale=scale,
        part=part,
    )


def _predict_from_labels(
    carried: CarriedClassifier, X: Floats, rows: Ints, y: Ints
) -> tuple[Floats, Floats]:
    """Return probabilities from the labels alone, for all cells and for left-out labelled cells."""

    def predict(fit: Ints, of: Ints) -> Floats:
        model = make_label_classifier(carried.seed).fit(X[rows[fit]], y[fit])
        probabilities = np.zeros((len(of), carried.classes))
        probabilities[:, model.classes_] = model.predict_proba(X[of])
        return probabilities

    unseen = np.zeros((len(rows), carried.classes))
    for fit, left_out in _folds(y, carried.seed):
        unseen[left_out] = predict(fit, rows[left_out])
    return predict(np.arange(len(rows)), np.arange(len(X))), unseen


def make_label_classifier(seed: int) -> PooledClassifier:
    """Return the classifier of a few labels: a forest and discriminant analysis, pooled.

    Boosted trees need more cells.
    """
    return PooledClassifier(members=(make_indicating_forest(seed), make_discriminant()))


def _folds(y: Ints, seed: int) -> list[tuple[Ints, Ints]]:
    fewest = int(np.unique(y, return_counts=True)[1].min())
    parts = StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    return list(parts.split(y, y))


def _pool(carried: Floats, alone: Floats, part: float) -> Floats:
    """Return the normalised geometric mean of both."""
    logs = (1 - part) * np.log(np.maximum(carried, FLOOR)) + part * np.log(np.maximum(alone, FLOOR))
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _choose(held: Mapping[str, Floats], unseen: Floats, y: Ints) -> tuple[str, float]:
    """Return a scale and the weight of the classifier of the labels alone.

    It is the choice of the highest posterior probability: log loss on the labels, and a normal
    prior of the weight. Its mean grows with the number of labels of a class, since so few labels
    cannot tell by themselves how far they are to be trusted.
    """
    labels = float(np.median(np.unique(y, return_counts=True)[1]))
    expected = labels / (labels + LABELS_FOR_HALF)
    tried = list(product(LABEL_WEIGHTS, held))
    losses = [
        _losses(_pool(held[scale], unseen, part), y).sum()
        + ((part - expected) / PRIOR_DEVIATION) ** 2 / 2
        for part, scale in tried
    ]
    part, scale = tried[int(np.argmin(losses))]
    return scale, part


def _losses(probabilities: Floats, y: Ints) -> Floats:
    return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(y)), y], FLOOR)))
