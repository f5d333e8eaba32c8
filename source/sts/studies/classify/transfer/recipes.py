"""Ways to carry a classifier over to a data set without labels, each a choice in four tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Final

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.model_selection import StratifiedKFold

from sts.base.types import CLASSES, Bools, Floats, Ints
from sts.datasets.formulas import FORMULAS
from sts.evaluation.calibration import fit_temperature
from sts.evaluation.transfer import estimate_shares, with_shares
from sts.signals.features import FEATURES
from sts.studies.classify.transfer.alignment import (
    aligned,
    even_weights,
    even_weights_of,
    importance,
    steady,
)
from sts.tabular.estimators import Classifier, predict_logits
from sts.tabular.models import ExtraTreesSettings, find_kind
from sts.tabular.trees import TreeSettings

ALL, MEASURED, WITHIN, STEADY, WEIGHTED = (
    "all",
    "measured",
    "within the cell",
    "steady",
    "all, cells weighted",
)
FITS: Final = {
    ALL: "all features",
    MEASURED: "measured features only",
    WITHIN: "differences and ratios within a cell only",
    STEADY: "without the features that differ most between the data sets",
    WEIGHTED: "all features, training cells weighted by how much they look like the other data set",
}
# These see the cells of the other data set, never their classes.
LOOKING: Final = (STEADY, WEIGHTED)
SCALES: Final = {
    "as measured": "features as they are",
    "ranks": "features of the other data set brought to the scale of this one",
    "class by class": "features of the other data set brought to the scale of this one, with every "
    "class weighing alike in both",
}
SHARES: Final = {
    "kept": "classes as frequent as in training",
    "even": "all classes equally frequent",
    "estimated": "classes as frequent as the other data set makes likely (Saerens et al., 2002)",
}
# Ratios and differences that are measured as such.
RELATIVE: Final = ("upstroke_downstroke_ratio", "sag", "adaptation")
# The forest and the boosted trees err differently far from their training cells.
PAIR: Final[dict[str, Any]] = {
    "lightgbm": TreeSettings(),
    "extra-trees": ExtraTreesSettings(n_estimators=100),
}
PARTS: Final = 3
# After so many the weights of cells hardly move any more.
ROUNDS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is fitted, on which scale cells are read, and how frequent classes are taken to be."""

    fit: str
    scale: str
    shares: str

    def in_words(self) -> str:
        """Say what is done."""
        return f"{FITS[self.fit]}; {SCALES[self.scale]}; {SHARES[self.shares]}"


PLAIN: Final = Recipe(fit=ALL, scale="as measured", shares="kept")
RECIPES: Final = tuple(
    Recipe(fit=fit, scale=scale, shares=shares)
    for fit, scale, shares in product(FITS, SCALES, SHARES)
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """Cells of one data set with their classes."""

    X: Floats
    y: Ints
    names: tuple[str, ...]
    seed: int

    @cached_property
    def shares(self) -> Floats:
        """Return how frequent each class is."""
        return np.bincount(self.y, minlength=len(CLASSES)) / len(self.y)

    @cached_property
    def temperatures(self) -> dict[str, float]:
        """Return the temperature of each model, from predictions of cells it was not fitted on."""
        parts = StratifiedKFold(PARTS, shuffle=True, random_state=self.seed)
        found = {name: np.zeros((len(self.y), len(CLASSES))) for name in PAIR}
        for fitted, said in parts.split(self.X, self.y):
            for name, logits in found.items():
                model = self._one(name, fitted, np.arange(len(self.names)), None)
                logits[said] = predict_logits(model, self.X[said])
        return {name: fit_temperature(logits, self.y) for name, logits in found.items()}

    def fitted(self, which: Bools | None = None, weights: Floats | None = None) -> "ModelPair":
        """Fit the models on some of the features."""
        columns = np.arange(len(self.names)) if which is None else np.flatnonzero(which)
        rows = np.arange(len(self.y))
        models = {name: self._one(name, rows, columns, weights) for name in PAIR}
        return ModelPair(training=self, columns=columns, models=models, weights=weights)

    def _one(self, name: str, rows: Ints, columns: Ints, weights: Floats | None) -> Classifier:
        return find_kind(name).fit(
            self.X[np.ix_(rows, columns)], self.y[rows], PAIR[name], seed=self.seed, weights=weights
        )

    def columns_of(self, fit: str) -> Bools:
        """Return the features of a fit that needs no other data set."""
        return np.array([_belongs(name, fit) for name in self.names])


def _belongs(name: str, fit: str) -> bool:
    if fit == MEASURED:
        return name in FEATURES
    return fit != WITHIN or name in FORMULAS or name.startswith(RELATIVE)


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelPair:
    """Both models, fitted on cells of one data set."""

    training: Training
    columns: Ints
    models: dict[str, Classifier]
    weights: Floats | None

    @cached_property
    def shares(self) -> Floats:
        """Return how frequent each class was, by weight."""
        weighed = np.bincount(self.training.y, weights=self.weights, minlength=len(CLASSES))
        shares: Floats = weighed / weighed.sum()
        return shares

    def probabilities(self, X: Floats) -> Floats:
        """Return what both say together, (cells, classes)."""
        said = [
            log_softmax(
                predict_logits(model, X[:, self.columns]) / self.training.temperatures[name], axis=1
            )
            for name, model in self.models.items()
        ]
        together: Floats = softmax(np.mean(said, axis=0), axis=1)
        return together


def carry_over(pair: ModelPair, X: Floats) -> dict[tuple[str, str], Floats]:
    """Return the probabilities of cells of another data set on each scale, with each shares."""
    said = {
        "as measured": pair.probabilities(X),
        "ranks": pair.probabilities(_ranked(pair, X)),
    }
    said["class by class"] = _class_by_class(pair, X, said["as measured"])
    return {
        (scale, shares): with_shares(found, pair.shares, wanted)
        for scale, found in said.items()
        for shares, wanted in _wanted(found, pair.shares).items()
    }


def _wanted(probabilities: Floats, shares: Floats) -> dict[str, Floats]:
    return {
        "kept": shares,
        "even": _even(shares),
        "estimated": estimate_shares(probabilities, shares),
    }


def _even(shares: Floats) -> Floats:
    """Return equal shares of the classes that there are."""
    return np.where(shares > 0, 1.0 / np.count_nonzero(shares), 0.0)


def _ranked(pair: ModelPair, X: Floats) -> Floats:
    like = pair.training.X
    return aligned(X, like, weights=np.ones(len(X)), like_weights=np.ones(len(like)))


def _class_by_class(pair: ModelPair, X: Floats, said: Floats) -> Floats:
    """Align with every class weighing alike, the classes of these cells as they are taken to be."""
    training = pair.training
    even = _even(pair.shares)
    of_classes = even_weights(training.y, len(CLASSES))
    for _ in range(ROUNDS):
        weights = even_weights_of(with_shares(said, pair.shares, even))
        moved = aligned(X, training.X, weights=weights, like_weights=of_classes)
        said = pair.probabilities(moved)
    return said


def attempts(
    training: Training, X: Floats, *, fitted: dict[str, ModelPair]
) -> Iterator[tuple[Recipe, Floats]]:
    """Yield each recipe with what it says of cells of another data set.

    Parameters
    ----------
    fitted
        What needs no other data set, by fit; what is lacking is fitted and added.
    """
    for fit in FITS:
        if fit in LOOKING:
            pair = _looking(fitted[ALL], fit, X)
        else:
            if fit not in fitted:
                fitted[fit] = training.fitted(training.columns_of(fit))
            pair = fitted[fit]
        for (scale, shares), found in carry_over(pair, X).items():
            yield Recipe(fit=fit, scale=scale, shares=shares), found


def _looking(whole: ModelPair, fit: str, X: Floats) -> ModelPair:
    """Fit with an eye on the cells of another data set."""
    training = whole.training
    if fit == WEIGHTED:
        return training.fitted(weights=importance(training.X, X, seed=training.seed))
    said = with_shares(whole.probabilities(X), whole.shares, _even(whole.shares))
    kept = steady(
        training.X,
        X,
        weights=even_weights(training.y, len(CLASSES)),
        other_weights=even_weights_of(said),
    )
    return training.fitted(kept)
