"""A stack: logistic regression on what other classifiers say of cells they were not fitted on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

import numpy as np
from scipy.special import log_softmax

from sts.base.bounds import Bounds, check_fields
from sts.base.types import CLASSES, Floats, Ints
from sts.tabular.others import (
    Estimator,
    ExtraTreesSettings,
    HistogramSettings,
    LogisticSettings,
    SvmSettings,
    Weight,
    fit_extra_trees,
    fit_histogram_boosting,
    fit_logistic,
    fit_svm,
)
from sts.tabular.trees import TreeSettings, fit_trees


class Classifier(Protocol):
    """What was fitted: it says of cells how likely each class is."""

    def logits(self, X: Floats) -> Floats:
        """Return scores (cells, classes) whose softmax, at some temperature, is a probability."""


# Member of the stack -> how it is fitted, with its default settings.
MEMBERS: Final[Mapping[str, tuple[Callable[..., Classifier], Any]]] = {
    "lightgbm": (fit_trees, TreeSettings()),
    "extra-trees": (fit_extra_trees, ExtraTreesSettings()),
    "hist-boosting": (fit_histogram_boosting, HistogramSettings()),
    "svm": (fit_svm, SvmSettings()),
    "logistic": (fit_logistic, LogisticSettings()),
}


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """How the members' words are weighed."""

    C: Weight = 0.02
    """Of the logistic regression on top; small, since the members hardly differ."""
    parts: Annotated[int, Bounds(2, 20)] = 3
    """Folds within the training cells, each predicted by members fitted on the others."""

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        check_fields(self)


@dataclass(frozen=True, eq=False)
class Stack:
    """Members fitted on all training cells, and what weighs them."""

    members: tuple[Classifier, ...]
    top: Estimator

    def logits(self, X: Floats) -> Floats:
        """Return the score of each class, (cells, classes)."""
        return self.top.logits(np.column_stack([_words(each, X) for each in self.members]))


def fit_stack(
    X: Floats,
    y: Ints,
    settings: StackSettings,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    weights: Floats | None = None,
) -> Stack:
    """Fit the members on parts of the cells, the top on the rest, the members again on all."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline

    words = np.zeros((len(X), len(MEMBERS) * len(CLASSES)))
    parts = StratifiedKFold(settings.parts, shuffle=True, random_state=seed)
    for fitted, said in parts.split(X, y):
        inner = _fit_members(
            X[fitted], y[fitted], seed, None if weights is None else weights[fitted]
        )
        words[said] = np.column_stack([_words(each, X[said]) for each in inner])
    top = make_pipeline(LogisticRegression(C=settings.C, max_iter=2000))
    top.fit(words, y, logisticregression__sample_weight=weights)
    return Stack(_fit_members(X, y, seed, weights), Estimator(top))


def _fit_members(X: Floats, y: Ints, seed: int, weights: Floats | None) -> tuple[Classifier, ...]:
    return tuple(
        fit(X, y, settings, seed=seed, weights=weights) for fit, settings in MEMBERS.values()
    )


def _words(member: Classifier, X: Floats) -> Floats:
    return np.asarray(log_softmax(member.logits(X), axis=1))
