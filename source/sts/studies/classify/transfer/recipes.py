"""Recipes to apply a classifier to a data set without labels: one choice from each of three tables.

A recipe defines on which features the classifier is fitted, on which scale it reads the features of
the other data set, and which class frequencies it assumes there.
"""

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
from sts.signals.feature_names import FEATURES
from sts.tabular.estimators import Classifier, predict_logits
from sts.tabular.models import ExtraTreesSettings, find_kind
from sts.tabular.trees import TreeSettings

ALL_FEATURES, MEASURED, WITHIN_CELL, STEADY, WEIGHTED = (
    "all",
    "measured",
    "within the cell",
    "steady",
    "all, cells weighted",
)
FITS: Final = {
    ALL_FEATURES: "all features",
    MEASURED: "measured features only",
    WITHIN_CELL: "differences and ratios within a cell only",
    STEADY: "without the features that differ most between the data sets",
    WEIGHTED: "all features, training cells weighted by how much they look like the other data set",
}
# Fits that use the cells of the other data set, never their classes.
USES_OTHER_CELLS: Final = (STEADY, WEIGHTED)
SCALES: Final = {
    "as measured": "features as they are",
    "ranks": "features of the other data set brought to the scale of this one",
    "class by class": "features of the other data set brought to the scale of this one; each class "
    "has the same total weight in both data sets",
}
ASSUMED_SHARES: Final = {
    "kept": "classes as frequent as in training",
    "even": "all classes equally frequent",
    "estimated": "classes as frequent as the other data set makes likely (Saerens et al., 2002)",
}
# Measured features that are ratios or differences within a cell.
RELATIVE: Final = ("upstroke_downstroke_ratio", "sag", "adaptation")
# The two models that every recipe fits: they make different errors far from their training cells.
PAIR: Final[dict[str, Any]] = {
    "lightgbm": TreeSettings(),
    "extra-trees": ExtraTreesSettings(n_estimators=100),
}
# Number of folds to fit the temperature of a model, and to predict the data set of cells.
RECIPE_FOLDS: Final = 3
# Rounds of alignment class by class; later rounds hardly change the weights of cells.
ALIGNMENT_ROUNDS: Final = 4
# Quantiles at which features are aligned; outside them the map is a shift.
ALIGNED_QUANTILES: Final = np.linspace(0.02, 0.98, 25)
# Smallest number of distinct values of a feature with a scale; indicators have fewer.
FEWEST_SCALE_VALUES: Final = 5
# If the probabilities of a class sum to less than this over all cells, the class gets less weight.
FEWEST_CELLS: Final = 1.0
# Trees that predict the data set of a cell; more trees only need more time.
DATASET_TREES: Final = TreeSettings(n_estimators=100, num_leaves=15)
# Largest factor by which the weight of a cell may increase or decrease.
LARGEST_WEIGHT: Final = 10.0
# Share of the features that are selected because they differ least.
KEPT_SHARE: Final = 2 / 3


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The features of the fit, the scale on which cells are read, and the assumed class shares."""

    fit: str
    scale: str
    shares: str

    def in_words(self) -> str:
        """Return the recipe as text."""
        return f"{FITS[self.fit]}; {SCALES[self.scale]}; {ASSUMED_SHARES[self.shares]}"


PLAIN: Final = Recipe(fit=ALL_FEATURES, scale="as measured", shares="kept")
RECIPES: Final = tuple(
    Recipe(fit=fit, scale=scale, shares=shares)
    for fit, scale, shares in product(FITS, SCALES, ASSUMED_SHARES)
)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledCells:
    """Cells of one data set with their classes."""

    X: Floats
    y: Ints
    names: tuple[str, ...]
    seed: int

    @cached_property
    def temperatures(self) -> dict[str, float]:
        """Return the temperature of each model, from predictions of cells outside its fit."""
        folds = StratifiedKFold(RECIPE_FOLDS, shuffle=True, random_state=self.seed)
        logits = {name: np.zeros((len(self.y), len(CLASSES))) for name in PAIR}
        every = np.arange(len(self.names))
        for fitted, left_out in folds.split(self.X, self.y):
            for name, logit in logits.items():
                model = self._fit_one(name, fitted, every, None)
                logit[left_out] = predict_logits(model, self.X[left_out])
        return {name: fit_temperature(logit, self.y) for name, logit in logits.items()}

    def fit(self, which: Bools | None = None, weights: Floats | None = None) -> "ModelPair":
        """Fit both models on the features in `which`, or on all features."""
        columns = np.arange(len(self.names)) if which is None else np.flatnonzero(which)
        rows = np.arange(len(self.y))
        models = {name: self._fit_one(name, rows, columns, weights) for name in PAIR}
        return ModelPair(training=self, columns=columns, models=models, weights=weights)

    def _fit_one(self, name: str, rows: Ints, columns: Ints, weights: Floats | None) -> Classifier:
        return find_kind(name).fit(
            self.X[np.ix_(rows, columns)], self.y[rows], PAIR[name], seed=self.seed, weights=weights
        )

    def choose_features(self, fit: str) -> Bools:
        """Tell which features are used by a fit that does not need the other data set."""

        def is_used(name: str) -> bool:
            if fit == MEASURED:
                return name in FEATURES
            return fit != WITHIN_CELL or name in FORMULAS or name.startswith(RELATIVE)

        return np.array([is_used(name) for name in self.names])


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelPair:
    """Both models, fitted on cells of one data set."""

    training: LabelledCells
    columns: Ints
    models: dict[str, Classifier]
    weights: Floats | None

    @cached_property
    def shares(self) -> Floats:
        """Return the weighted share of each class in training."""
        weight_of_class = np.bincount(self.training.y, weights=self.weights, minlength=len(CLASSES))
        shares: Floats = weight_of_class / weight_of_class.sum()
        return shares

    @cached_property
    def even_shares(self) -> Floats:
        """Return equal shares of the classes that occur in training."""
        return np.where(self.shares > 0, 1.0 / np.count_nonzero(self.shares), 0.0)

    def probabilities(self, X: Floats) -> Floats:
        """Return the combined probabilities of both models, (cells, classes)."""
        logits = [
            log_softmax(
                predict_logits(model, X[:, self.columns]) / self.training.temperatures[name], axis=1
            )
            for name, model in self.models.items()
        ]
        combined: Floats = softmax(np.mean(logits, axis=0), axis=1)
        return combined


def apply_recipes(
    training: LabelledCells, X: Floats, *, fitted: dict[str, ModelPair]
) -> Iterator[tuple[Recipe, Floats]]:
    """Yield each recipe with its probabilities of the cells of another data set.

    Parameters
    ----------
    fitted
        Models that do not need the other data set, by fit; missing ones are fitted and added.
    """
    for fit in FITS:
        if fit in USES_OTHER_CELLS:
            pair = _fit_with_other_cells(fitted[ALL_FEATURES], fit, X)
        else:
            if fit not in fitted:
                fitted[fit] = training.fit(training.choose_features(fit))
            pair = fitted[fit]
        for (scale, shares), probabilities in predict_all_ways(pair, X).items():
            yield Recipe(fit=fit, scale=scale, shares=shares), probabilities


def _fit_with_other_cells(whole: ModelPair, fit: str, X: Floats) -> ModelPair:
    """Fit on the features or training cells that resemble the other data set."""
    training = whole.training
    if fit == WEIGHTED:
        return training.fit(weights=weight_by_density_ratio(training.X, X, seed=training.seed))
    stable = find_stable_features(
        training.X,
        X,
        weights=even_weights(np.eye(len(CLASSES))[training.y]),
        other_weights=even_weights(
            with_shares(whole.probabilities(X), whole.shares, whole.even_shares)
        ),
    )
    return training.fit(stable)


def predict_all_ways(pair: ModelPair, X: Floats) -> dict[tuple[str, str], Floats]:
    """Return the probabilities of cells of another data set, by scale and by shares of classes."""
    reference_X = pair.training.X
    ranked = align_features(
        X, reference_X, weights=np.ones(len(X)), reference_weights=np.ones(len(reference_X))
    )
    scaled = {"as measured": pair.probabilities(X), "ranks": pair.probabilities(ranked)}
    scaled["class by class"] = _predict_class_by_class(pair, X, scaled["as measured"])
    predictions = {}
    for scale, probabilities in scaled.items():
        assumed = {
            "kept": pair.shares,
            "even": pair.even_shares,
            "estimated": estimate_shares(probabilities, pair.shares),
        }
        for name, shares in assumed.items():
            predictions[scale, name] = with_shares(probabilities, pair.shares, shares)
    return predictions


def _predict_class_by_class(pair: ModelPair, X: Floats, probabilities: Floats) -> Floats:
    """Use the predicted classes of these cells, align with equal class weights, predict again."""
    training = pair.training
    reference_weights = even_weights(np.eye(len(CLASSES))[training.y])
    for _ in range(ALIGNMENT_ROUNDS):
        weights = even_weights(with_shares(probabilities, pair.shares, pair.even_shares))
        aligned = align_features(
            X, training.X, weights=weights, reference_weights=reference_weights
        )
        probabilities = pair.probabilities(aligned)
    return probabilities


def align_features(
    X: Floats, reference_X: Floats, *, weights: Floats, reference_weights: Floats
) -> Floats:
    """Return features mapped so that each has the same distribution as in the reference.

    Parameters
    ----------
    X
        (cells, features); missing values stay missing.
    reference_X
        (reference cells, features), of the data set that defines the scale.
    weights
        (cells,), and `reference_weights` of the reference cells: they remove differences caused by
        other class frequencies.
    """
    columns = [
        _align(X[:, at], reference_X[:, at], weights, reference_weights) for at in range(X.shape[1])
    ]
    return np.column_stack(columns)


def _align(x: Floats, reference: Floats, weights: Floats, reference_weights: Floats) -> Floats:
    source = _weighted_quantiles(x, weights)
    target = _weighted_quantiles(reference, reference_weights)
    if source is None or target is None:
        return x
    # np.interp needs increasing values.
    source = np.maximum.accumulate(source + np.arange(len(source)) * np.finfo(np.float64).eps)
    inside = np.interp(x, source, target)
    below, above = x - source[0] + target[0], x - source[-1] + target[-1]
    return np.where(x < source[0], below, np.where(x > source[-1], above, inside))


def _weighted_quantiles(x: Floats, weights: Floats) -> Floats | None:
    """Return weighted quantiles of the known values, None for a feature without a scale."""
    known = np.isfinite(x) & (weights > 0)
    values, each = x[known], weights[known]
    order = np.argsort(values, kind="stable")
    values, each = values[order], each[order]
    if np.count_nonzero(np.diff(values)) < FEWEST_SCALE_VALUES - 1:
        return None
    middle = np.cumsum(each) - each / 2
    return np.interp(ALIGNED_QUANTILES, middle / each.sum(), values)


def even_weights(probabilities: Floats) -> Floats:
    """Return weights of cells that give every class about the same total weight.

    Parameters
    ----------
    probabilities
        (cells, classes), probabilities of each class; 0 and 1 where the class is known.
    """
    counts = np.maximum(probabilities.sum(axis=0), FEWEST_CELLS)
    weights: Floats = (probabilities / counts).sum(axis=1)
    return weights


def predict_dataset(X: Floats, is_other: Bools, *, seed: int) -> Floats:
    """Return the log odds that each cell is in the other data set, from trees fitted without it."""
    odds = np.zeros(len(X))
    folds = StratifiedKFold(RECIPE_FOLDS, shuffle=True, random_state=seed)
    for fitted, left_out in folds.split(X, is_other):
        other = is_other[fitted].astype(np.int64)
        trees = find_kind("lightgbm").fit(X[fitted], other, DATASET_TREES, seed=seed)
        logits = predict_logits(trees, X[left_out])
        odds[left_out] = logits[:, 1] - logits[:, 0]
    return odds


def weight_by_density_ratio(X: Floats, others: Floats, *, seed: int) -> Floats:
    """Return the density ratio (other data set / this one) at each cell of X, with mean 1."""
    is_other = np.repeat([False, True], [len(X), len(others)])
    odds = np.exp(predict_dataset(np.concatenate([X, others]), is_other, seed=seed)[: len(X)])
    weights = np.clip(odds * len(X) / len(others), 1.0 / LARGEST_WEIGHT, LARGEST_WEIGHT)
    scaled: Floats = weights / weights.mean()
    return scaled


def find_stable_features(
    X: Floats, others: Floats, *, weights: Floats, other_weights: Floats
) -> Bools:
    """Tell which features have the most similar weighted distributions in two data sets."""
    distances = [
        ks_distance(X[:, at], others[:, at], weights, other_weights) for at in range(len(X.T))
    ]
    count = max(1, round(KEPT_SHARE * len(distances)))
    stable = np.zeros(len(distances), dtype=bool)
    stable[np.argsort(distances, kind="stable")[:count]] = True
    return stable


def ks_distance(x: Floats, other: Floats, weights: Floats, other_weights: Floats) -> float:
    """Return the largest difference of two weighted distributions (Kolmogorov and Smirnov).

    Missing values are treated as larger than all others, so that a feature that is missing more
    often in one data set has a large distance.
    """
    values = np.nan_to_num(np.concatenate([x, other]), nan=np.inf)
    steps = np.concatenate([weights / weights.sum(), -other_weights / other_weights.sum()])
    places, at = np.unique(values, return_inverse=True)
    return float(np.abs(np.cumsum(np.bincount(at, steps, minlength=len(places)))).max())
