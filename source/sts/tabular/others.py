"""Classifiers of scikit-learn under the contract of the trees; what they need first is fitted too.

Missing values become the median of the training cells beside a column that says so; scales become
ranks turned normal. Both are fitted on the cells that the classifier is fitted on, never on others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np

from sts.base.bounds import Bounds, Count, NotNegative, Share, check_fields
from sts.base.types import CLASSES, Floats, Ints

# The smallest probability whose logarithm is taken: trees of a forest may all agree.
FLOOR: Final = 1e-4
# Ranks are told apart no finer than this.
QUANTILES: Final = 200

# Beyond these a fit takes for ever, or learns nothing.
Weight = Annotated[float, Bounds(1e-8, 1e5)]
ClassWeight = Literal["balanced"] | None


@dataclass(frozen=True, kw_only=True)
class ExtraTreesSettings:
    """Extremely randomised trees (Geurts et al., 2006)."""

    n_estimators: Annotated[int, Bounds(1, 5000)] = 400
    max_features: Share = 0.3
    min_samples_leaf: Count = 1
    class_weight: ClassWeight = None

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class HistogramSettings:
    """Histogram-based gradient boosting of scikit-learn."""

    max_iter: Annotated[int, Bounds(1, 5000)] = 150
    learning_rate: Share = 0.08
    max_leaf_nodes: Annotated[int, Bounds(2, 4096)] = 15
    min_samples_leaf: Count = 10
    l2_regularization: NotNegative = 1.0
    max_features: Share = 0.3

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class SvmSettings:
    """A support vector machine with a radial kernel."""

    C: Weight = 10.0
    gamma: Weight = 0.0005
    class_weight: ClassWeight = None

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class LogisticSettings:
    """Multinomial logistic regression."""

    C: Weight = 0.03
    class_weight: ClassWeight = "balanced"

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        check_fields(self)


@dataclass(frozen=True, eq=False)
class Estimator:
    """A fitted pipeline of scikit-learn."""

    pipeline: Any

    def logits(self, X: Floats) -> Floats:
        """Return what grows with the probability of each class, (cells, classes)."""
        found = (
            self.pipeline.decision_function(X)
            if hasattr(self.pipeline, "decision_function")
            else np.log(np.maximum(self.pipeline.predict_proba(X), FLOOR))
        )
        # A class without a training cell has no column.
        whole = np.full((len(X), len(CLASSES)), np.log(FLOOR))
        whole[:, self.pipeline.classes_] = found
        return whole


def fit_extra_trees(
    X: Floats,
    y: Ints,
    settings: ExtraTreesSettings,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    weights: Floats | None = None,
) -> Estimator:
    """Fit extremely randomised trees."""
    from sklearn.ensemble import ExtraTreesClassifier

    return _fitted(
        [_filled(), ExtraTreesClassifier(**vars(settings), random_state=seed)], X, y, weights
    )


def fit_histogram_boosting(
    X: Floats,
    y: Ints,
    settings: HistogramSettings,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    weights: Floats | None = None,
) -> Estimator:
    """Fit histogram-based boosting, which takes missing values as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = HistGradientBoostingClassifier(
        **vars(settings), early_stopping=False, random_state=seed
    )
    # scikit-learn stumbles over a column without any value; a constant one is never used.
    known = np.where(np.isnan(X).all(axis=0), 0.0, X)
    # Folds run side by side; threads of their own would only wait for each other.
    with threadpool_limits(1, user_api="openmp"):
        return _fitted([model], known, y, weights)


def fit_svm(
    X: Floats,
    y: Ints,
    settings: SvmSettings,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    weights: Floats | None = None,
) -> Estimator:
    """Fit a support vector machine."""
    from sklearn.svm import SVC

    # libsvm asks for a seed though it uses none here; without one it would take numpy's global one.
    model = SVC(**vars(settings), decision_function_shape="ovr", random_state=seed)
    return _fitted([_filled(), _ranked(len(X)), model], X, y, weights)


def fit_logistic(
    X: Floats,
    y: Ints,
    settings: LogisticSettings,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    weights: Floats | None = None,
) -> Estimator:
    """Fit logistic regression; nothing in it is random."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(**vars(settings), max_iter=2000)
    return _fitted([_filled(), _ranked(len(X)), model], X, y, weights)


def _fitted(steps: list[Any], X: Floats, y: Ints, weights: Floats | None) -> Estimator:
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(*steps)
    last = pipeline.steps[-1][0]
    return Estimator(pipeline.fit(X, y, **{f"{last}__sample_weight": weights}))


def _filled() -> Any:
    from sklearn.impute import SimpleImputer

    # A column without any value stays, as zeros, so that the features keep their places.
    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)


def _ranked(cells: int) -> Any:
    from sklearn.preprocessing import QuantileTransformer

    # Without subsampling nothing is left to chance.
    return QuantileTransformer(
        n_quantiles=min(QUANTILES, cells), output_distribution="normal", subsample=None
    )
