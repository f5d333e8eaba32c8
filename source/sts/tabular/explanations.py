"""What each feature adds to the score of each class in a cell, and what a model loses without it.

SHAP values (Lundberg et al., 2020) are exact for models of trees; what shuffling a feature costs
can be measured for every model.
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

# Of the largest score: thousands of leaves are summed in float64 along two paths.
TOLERANCE: Final = 1e-6
LOGIT, PROBABILITY = "logit", "probability"
OF_TREES: Final = (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    DecisionTreeClassifier,
)
REPEATS: Final = 10
# More cells cost time and hardly narrow the intervals.
CELLS: Final = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Contributions:
    """SHAP values, which with the base add up to the score of each class."""

    values: Floats
    """(cells, features, classes)."""
    base: Floats
    """(classes,), the scores of a cell of which nothing is known."""
    names: tuple[str, ...]
    unit: str = LOGIT
    """Of the score: "logit", or "probability" where trees vote."""

    def importance(self) -> Floats:
        """Return the mean absolute contribution, (features, classes)."""
        return np.asarray(np.abs(self.values).mean(axis=0))

    def rows(self, which: Bools | Ints) -> "Contributions":
        """Return the contributions in the cells that a mask or indices choose."""
        return Contributions(
            values=self.values[which], base=self.base, names=self.names, unit=self.unit
        )


def import_shap() -> Any:
    """Return shap, which takes seconds to import and warns of its own use of matplotlib."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap
    return shap


def has_contributions(classifier: Classifier) -> bool:
    """Tell whether a classifier is made of trees, for which SHAP values are exact."""
    return _trees_of(classifier) is not None


def has_quick_contributions(classifier: Classifier) -> bool:
    """Tell whether SHAP values take milliseconds a cell, as those of boosted trees do.

    Trees of a forest are grown to the end: they take a fifth of a second.
    """
    trees = _trees_of(classifier)
    return trees is not None and not isinstance(
        trees, ExtraTreesClassifier | RandomForestClassifier
    )


def _trees_of(classifier: Any) -> Any:
    """Return what shap reads the trees of, None if there are none."""
    if isinstance(classifier, BoostedTrees):
        return classifier.booster_
    inner = classifier.estimator_ if isinstance(classifier, Prepared) else classifier
    return inner if isinstance(inner, OF_TREES) else None


def compute_contributions(classifier: Classifier, X: Floats, names: Sequence[str]) -> Contributions:
    """Return the contributions in cells X; in each they and the base add up to the scores."""
    trees = _trees_of(classifier)
    if trees is None:
        raise ValueError(f"{type(classifier).__name__} is not made of trees")
    votes = not hasattr(classifier, "decision_function")
    values: Floats = np.zeros((0, X.shape[1], len(CLASSES)))
    base: Floats = np.zeros(len(CLASSES))
    if len(X):
        explainer = import_shap().TreeExplainer(trees)
        values = _by_class(classifier, explainer.shap_values(_shown(classifier, X)), axis=2)
        base = _by_class(classifier, np.ravel(explainer.expected_value), axis=0)
        values = _by_feature(classifier, values, X.shape[1])
        scores = _scores_of(classifier, X, votes=votes)
        check_additivity(values.sum(axis=1) + base, scores)
    return Contributions(
        values=values, base=base, names=tuple(names), unit=PROBABILITY if votes else LOGIT
    )


def _shown(classifier: Any, X: Floats) -> Floats:
    """Return the cells as the trees are shown them."""
    return classifier.preparation_.transform(X) if isinstance(classifier, Prepared) else X


def _by_class(classifier: Any, found: Any, *, axis: int) -> Floats:
    """Return what was found with a place for every class, 0 for one that was not fitted."""
    found = np.asarray(found, dtype=np.float64)
    if found.ndim == axis or found.shape[axis] == 1:
        # Of two classes the log odds of the second alone.
        odds = found if found.ndim == axis else found.take(0, axis=axis)
        found = np.stack([-odds / 2, odds / 2], axis=axis)
    whole = np.zeros((*found.shape[:axis], len(CLASSES)))
    whole[..., classifier.classes_] = found
    return whole


def _by_feature(classifier: Any, values: Floats, features: int) -> Floats:
    """Add what a column that says "missing" contributes to the feature that it speaks of."""
    preparation = getattr(classifier, "preparation_", None)
    if isinstance(preparation, SimpleImputer) and preparation.indicator_ is not None:
        whole = values[:, :features].copy()
        whole[:, preparation.indicator_.features_] += values[:, features:]
        return whole
    return values


def _scores_of(classifier: Any, X: Floats, *, votes: bool) -> Floats:
    """Return the scores that are explained, (cells, classes), 0 of a class that was not fitted."""
    if votes:
        return _by_class(classifier, classifier.predict_proba(X), axis=1)
    return _by_class(classifier, classifier.decision_function(X), axis=1)


def check_additivity(sums: Floats, scores: Floats) -> None:
    """Refuse contributions that do not add up to what they explain."""
    apart = float(np.abs(sums - scores).max(initial=0.0))
    if apart > TOLERANCE * max(1.0, float(np.abs(scores).max(initial=0.0))):
        raise RuntimeError(f"the contributions miss the scores by {apart:.3g}: shap changed?")


def rank_features(contributions: Contributions, cell: int, label: int) -> list[int]:
    """Return the features that speak for one class in one cell, the strongest first."""
    size = contributions.values[cell, :, label]
    return [int(at) for at in np.argsort(-size, kind="stable") if size[at] > 0]


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Loss of balanced accuracy when a feature tells nothing (Breiman, 2001)."""

    names: tuple[str, ...]
    """The largest loss first."""
    losses: tuple[Interval, ...]
    """The interval spans what shuffling again and again gave."""
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
    """Shuffle each feature among some of the cells X (cells, features) and look what is lost.

    scikit-learn's function of that name predicts once a shuffle, which for a stack takes minutes.
    """
    if len(X) > CELLS:
        chosen = np.sort(rng.permutation(len(X))[:CELLS])
        X, y = X[chosen], y[chosen]
    whole = _mean_recall(predict_logits(model, X).argmax(axis=1), y)
    orders = [rng.permutation(len(X)) for _ in range(repeats)]
    losses = []
    for column in range(X.shape[1]):
        # All shufflings of a feature at once: most of the time would go into calls.
        shuffled = np.tile(X, (repeats, 1))
        shuffled[:, column] = np.concatenate([X[order, column] for order in orders])
        found = predict_logits(model, shuffled).argmax(axis=1).reshape(repeats, len(X))
        each = np.array([whole - _mean_recall(row, y) for row in found])
        losses.append(interval_of(float(each.mean()), each))
    ranked = sorted(range(len(losses)), key=lambda at: -losses[at].value)
    return Importance(
        names=tuple(names[at] for at in ranked),
        losses=tuple(losses[at] for at in ranked),
        cells=len(X),
    )


def _mean_recall(found: Ints, y: Ints) -> float:
    return float(np.mean([(found[y == label] == label).mean() for label in np.unique(y)]))
