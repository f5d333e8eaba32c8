"""SHAP values of tree models, and permutation importance of any model.

SHAP values (Lundberg et al., 2020) are the contributions of each feature to the score of each class
in a cell; they are exact for trees. Permutation importance is the loss when a feature is shuffled.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.tree import DecisionTreeClassifier

from sts.base.types import CLASSES, Bools, Floats, Ints
from sts.evaluation.scores import Interval, interval_of
from sts.tabular.estimators import Classifier, Prepared, predict_logits
from sts.tabular.trees import BoostedTrees

# Largest error of a sum of contributions, as a share of the largest score: thousands of leaves are
# summed in float64 in two different orders.
TOLERANCE: Final = 1e-6
# Units of the scores that are explained.
LOGIT, PROBABILITY = "logit", "probability"
TREE_MODELS: Final = (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    DecisionTreeClassifier,
)
# Number of shuffles of each feature.
REPEATS: Final = 10
# Largest number of cells that are shuffled: more cells need time and hardly reduce the intervals.
SHUFFLED_CELLS: Final = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Contributions:
    """SHAP values; their sum with the base is the score of each class."""

    values: Floats
    """(cells, features, classes)."""
    base: Floats
    """(classes,), the scores without any feature of a cell."""
    names: tuple[str, ...]
    unit: str = LOGIT
    """Unit of the score: "logit", or "probability" if trees vote."""

    def importance(self) -> Floats:
        """Return the mean absolute contribution, (features, classes)."""
        return np.asarray(np.abs(self.values).mean(axis=0))

    def rows(self, which: Bools | Ints) -> "Contributions":
        """Return the contributions in the cells selected by a mask or indices."""
        return Contributions(
            values=self.values[which], base=self.base, names=self.names, unit=self.unit
        )


def import_shap() -> Any:
    """Import shap, which needs seconds and gives a warning about matplotlib."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap
    return shap


def has_contributions(classifier: Classifier) -> bool:
    """Tell whether a classifier consists of trees, for which SHAP values are exact."""
    return _find_trees(classifier) is not None


def has_quick_contributions(classifier: Classifier) -> bool:
    """Tell whether SHAP values need only milliseconds per cell, as for boosted trees.

    Trees of a forest are deeper: they need a fifth of a second.
    """
    trees = _find_trees(classifier)
    return trees is not None and not isinstance(
        trees, ExtraTreesClassifier | RandomForestClassifier
    )


def _find_trees(classifier: Any) -> Any:
    """Return the object with the trees for shap, None without trees."""
    if isinstance(classifier, BoostedTrees):
        return classifier.booster_
    inner = classifier.estimator_ if isinstance(classifier, Prepared) else classifier
    return inner if isinstance(inner, TREE_MODELS) else None


def compute_contributions(classifier: Classifier, X: Floats, names: Sequence[str]) -> Contributions:
    """Return the contributions in cells X; their sum with the base is the score."""
    trees = _find_trees(classifier)
    if trees is None:
        raise ValueError(f"{type(classifier).__name__} is not made of trees")
    votes = not hasattr(classifier, "decision_function")
    values: Floats = np.zeros((0, X.shape[1], len(CLASSES)))
    base: Floats = np.zeros(len(CLASSES))
    if len(X):
        explainer = import_shap().TreeExplainer(trees)
        model: Any = classifier
        ready = model.preparation_.transform(X) if isinstance(model, Prepared) else X
        values = _spread_classes(model, explainer.shap_values(ready), axis=2)
        base = _spread_classes(model, np.ravel(explainer.expected_value), axis=0)
        values = _merge_flags(model, values, X.shape[1])
        scores = model.predict_proba(X) if votes else model.decision_function(X)
        scores = _spread_classes(model, scores, axis=1)
        check_additivity(values.sum(axis=1) + base, scores)
    return Contributions(
        values=values, base=base, names=tuple(names), unit=PROBABILITY if votes else LOGIT
    )


def _spread_classes(classifier: Any, values: Any, *, axis: int) -> Floats:
    """Return values with every class on an axis, 0 for a class that was not fitted."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == axis or values.shape[axis] == 1:
        # For two classes there are only the log odds of the second.
        odds = values if values.ndim == axis else values.take(0, axis=axis)
        values = np.stack([-odds / 2, odds / 2], axis=axis)
    whole = np.zeros((*values.shape[:axis], len(CLASSES)))
    whole[..., classifier.classes_] = values
    return whole


def _merge_flags(classifier: Any, values: Floats, features: int) -> Floats:
    """Return the contributions of features, including the flags of their missing values."""
    preparation = getattr(classifier, "preparation_", None)
    if isinstance(preparation, SimpleImputer) and preparation.indicator_ is not None:
        whole = values[:, :features].copy()
        whole[:, preparation.indicator_.features_] += values[:, features:]
        return whole
    return values


def check_additivity(sums: Floats, scores: Floats) -> None:
    """Raise an error if the contributions do not add up to the scores."""
    error = float(np.abs(sums - scores).max(initial=0.0))
    if error > TOLERANCE * max(1.0, float(np.abs(scores).max(initial=0.0))):
        raise RuntimeError(f"the contributions miss the scores by {error:.3g}: did shap change?")


def rank_features(contributions: Contributions, cell: int, label: int) -> list[int]:
    """Return the features that support a class in a cell, the strongest first."""
    size = contributions.values[cell, :, label]
    return [int(at) for at in np.argsort(-size, kind="stable") if size[at] > 0]


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Loss of balanced accuracy when a feature is shuffled (Breiman, 2001)."""

    names: tuple[str, ...]
    """The largest loss first."""
    losses: tuple[Interval, ...]
    """The interval is over repeated shuffles."""
    cells: int


def permutation_importance(
    model: Classifier,
    X: Floats,
    y: Ints,
    names: Sequence[str],
    *,
    rng: np.random.Generator,
    repeats: int = REPEATS,
) -> Importance:
    """Shuffle each feature among some of the cells X (cells, features) and measure the loss.

    scikit-learn's function of that name predicts once per shuffle, which takes minutes for a stack.
    """
    if len(X) > SHUFFLED_CELLS:
        chosen = np.sort(rng.permutation(len(X))[:SHUFFLED_CELLS])
        X, y = X[chosen], y[chosen]
    whole = _mean_recall(predict_logits(model, X).argmax(axis=1), y)
    orders = [rng.permutation(len(X)) for _ in range(repeats)]
    losses = []
    for column in range(X.shape[1]):
        # All shuffles of a feature in one call: separate calls would need most of the time.
        shuffled = np.tile(X, (repeats, 1))
        shuffled[:, column] = np.concatenate([X[order, column] for order in orders])
        predicted = predict_logits(model, shuffled).argmax(axis=1).reshape(repeats, len(X))
        each = np.array([whole - _mean_recall(row, y) for row in predicted])
        losses.append(interval_of(float(each.mean()), each))
    ranked = sorted(range(len(losses)), key=lambda at: -losses[at].value)
    return Importance(
        names=tuple(names[at] for at in ranked),
        losses=tuple(losses[at] for at in ranked),
        cells=len(X),
    )


def _mean_recall(predicted: Ints, y: Ints) -> float:
    return float(np.mean([(predicted[y == label] == label).mean() for label in np.unique(y)]))
