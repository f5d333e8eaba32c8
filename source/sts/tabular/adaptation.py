"""Apply a classifier to a laboratory outside its training data, with or without labels there.

Without labels the cells of the new laboratory can be taken as they are, which is right if the same
program measured them, or be brought to the scale of the training cells as a batch. Then a
classifier can be trained on the cells of the new laboratory themselves, with the estimated classes
as labels (self-training; Scudder, 1965): it uses all features of the laboratory, and something of
its class frequencies. With some labels, a classifier is trained on these labels alone too. Its
weight follows from the number of labels, and from cross-validation on them.
"""

from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold

from sts.base.types import Floats, Ints
from sts.evaluation.transfer import with_own_shares, with_shares
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
# With this number of labels a class both classifiers are expected to count the same. It was chosen
# on PatchClamp, PatchSeq and HumanInterneurons as new laboratories, with the deviation.
LABELS_FOR_HALF: Final = 20
PRIOR_DEVIATION: Final = 0.2
# The ways in which cells of the new laboratory are classified without labels.
AS_MEASURED, ALIGNED, SELF_TRAINED = "as measured", "aligned", "self-trained"
# Rounds of self-training: scale, then forest. This and the next three were chosen on PatchClamp,
# PatchSeq, ExcitatoryV1 and HumanInterneurons. More rounds lose rare classes.
SELF_ROUNDS: Final = 2
# Exponent of the estimated probabilities: uncertain cells teach less.
CERTAINTY: Final = 2.0
# Exponent of the weight of a rare class, 1: all classes count the same; and the largest weight.
RARE_POWER: Final = 0.5
RAREST_WEIGHT: Final = 10.0
# A class that is less probable than this is not taught.
LEAST_TAUGHT: Final = 0.02


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

    It assumes equal class frequencies, since the frequencies there are unknown; self-training
    estimates them.
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
        known = np.flatnonzero(self._shares)
        moved = self._shift.transform_batch(X, lambda moved: self.predict(moved)[:, known])
        return self.predict(moved)

    def predict_self_trained(self, X: Floats, X_own: Floats) -> Floats:
        """Return probabilities of cells of one laboratory, by forests trained on these cells.

        Their labels are the estimated classes; no cell is classified by a forest that saw it.

        Parameters
        ----------
        X
            (cells, features) that the fitted classifier reads.
        X_own
            (cells, other features): all features that were measured there.
        """
        probabilities = self.predict_batch(X)
        if len(X) < 2 * FOLDS:
            return probabilities
        known = np.flatnonzero(self._shares)
        even = np.full(len(known), 1 / len(known))
        found = np.zeros_like(probabilities)
        for again in range(SELF_ROUNDS):
            if again:
                probabilities = self.predict(X - self._shift.find_shift(X, found[:, known]))
            estimated = with_own_shares(probabilities[:, known], even)
            found[:, known] = _self_train(estimated, X_own, self.seed)
        return found


def _self_train(estimated: Floats, X: Floats, seed: int) -> Floats:
    """Return probabilities (cells, classes) from forests that other cells taught."""
    taught = estimated**CERTAINTY
    taught /= taught.sum(axis=1, keepdims=True)
    cells, classes = np.nonzero(taught > LEAST_TAUGHT)
    rarity = 1 / (taught.shape[1] * np.maximum(taught.mean(axis=0), FLOOR))
    weights = taught[cells, classes] * np.minimum(rarity, RAREST_WEIGHT)[classes] ** RARE_POWER
    found = np.zeros_like(estimated)
    for _, left_out in KFold(FOLDS, shuffle=True, random_state=seed).split(X):
        rows = ~np.isin(cells, left_out)
        forest = make_indicating_forest(seed)
        forest.fit(X[cells[rows]], classes[rows], sample_weight=weights[rows])
        found[np.ix_(left_out, forest.classes_)] = forest.predict_proba(X[left_out])
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapted:
    """The predictions for the cells of a new laboratory with some labels."""

    probabilities: Floats
    """(cells, classes), for all cells."""
    labels_alone: Floats
    """The probabilities from a classifier of the labels alone."""
    part: float
    """Weight of the classifier of the labels alone, from 0 to 1."""


def adapt(carried: Floats, X: Floats, rows: Ints, y: Ints, *, seed: int) -> Adapted:
    """Return the probabilities of cells of a new laboratory, of which some have labels.

    Parameters
    ----------
    carried
        The probabilities (cells, classes) without labels, of `predict_self_trained`.
    X
        (cells, features) of the same cells: all features that were measured there.
    rows
        The cells with labels; `y` are their classes, at least three cells of each class.
    """

    def predict(fit: Ints, of: Ints) -> Floats:
        model = make_label_classifier(seed).fit(X[rows[fit]], y[fit])
        probabilities = np.zeros((len(of), carried.shape[1]))
        probabilities[:, model.classes_] = model.predict_proba(X[of])
        return probabilities

    unseen = np.zeros((len(rows), carried.shape[1]))
    fewest = int(np.unique(y, return_counts=True)[1].min())
    folds = StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    for fit, left_out in folds.split(y, y):
        unseen[left_out] = predict(fit, rows[left_out])
    alone = predict(np.arange(len(rows)), np.arange(len(X)))
    part = _choose(carried[rows], unseen, y)
    return Adapted(probabilities=_pool(carried, alone, part), labels_alone=alone, part=part)


def make_label_classifier(seed: int) -> PooledClassifier:
    """Return the classifier of a few labels: a forest and discriminant analysis, pooled.

    Boosted trees need more cells.
    """
    return PooledClassifier(members=(make_indicating_forest(seed), make_discriminant()))


def _pool(carried: Floats, alone: Floats, part: float) -> Floats:
    """Return the normalised geometric mean of both."""
    logs = (1 - part) * np.log(np.maximum(carried, FLOOR)) + part * np.log(np.maximum(alone, FLOOR))
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _choose(carried: Floats, unseen: Floats, y: Ints) -> float:
    """Return the weight of the classifier of the labels alone.

    It is the weight of the highest posterior probability: log loss on the labels, and a normal
    prior. The mean of the prior grows with the number of labels of a class, since so few labels
    cannot tell by themselves how far they are to be trusted.
    """
    labels = float(np.median(np.unique(y, return_counts=True)[1]))
    expected = labels / (labels + LABELS_FOR_HALF)
    losses = [
        _losses(_pool(carried, unseen, part), y).sum()
        + ((part - expected) / PRIOR_DEVIATION) ** 2 / 2
        for part in LABEL_WEIGHTS
    ]
    return float(LABEL_WEIGHTS[int(np.argmin(losses))])


def _losses(probabilities: Floats, y: Ints) -> Floats:
    return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(y)), y], FLOOR)))
