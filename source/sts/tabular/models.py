"""The models of the baseline: the construction of each, its settings, and its search space.

If a model needs it, missing values are replaced by the median of the training cells, with a column
that flags them, and values by normal scores of their ranks. Both are fitted with the model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer
from sklearn.svm import SVC

from sts.base.errors import one_of
from sts.base.settings import Bounds, CheckedSettings, Count, NotNegative, Share, from_dict
from sts.base.types import CLASSES, Floats, Ints
from sts.search.trials import Choice, Float, Int, Parameter
from sts.tabular.estimators import QUANTILES, Classifier, HistogramBoosting, Prepared, Stack
from sts.tabular.trees import BoostedTrees, TreeSettings

# Outside these limits a fit does not end, or learns nothing.
Weight = Annotated[float, Bounds(1e-8, 1e5)]
ClassWeight = Literal["balanced"] | None
WEIGHTING: Final = Choice((None, "balanced"))

# The search space of Amprimo et al. (2025).
PUBLISHED_SPACE: Final[Mapping[str, Parameter]] = {
    "num_leaves": Int(10, 100),
    "max_depth": Int(3, 12),
    "learning_rate": Float(1e-3, 0.2, log=True),
    "n_estimators": Int(50, 300),
    "min_child_samples": Int(5, 30),
    "subsample": Float(0.5, 1.0),
    "colsample_bytree": Float(0.5, 1.0),
    "reg_alpha": Float(0.0, 1.0),
    "reg_lambda": Float(0.0, 1.0),
}
# Default settings of LightGBM in the published code: with frequency 0 `subsample` has no effect.
PUBLISHED_SETTINGS: Final = {"subsample_freq": 0, "max_bin": 255}


@dataclass(frozen=True, kw_only=True)
class ExtraTreesSettings(CheckedSettings):
    """Extremely randomised trees (Geurts et al., 2006)."""

    n_estimators: Annotated[int, Bounds(1, 5000)] = 400
    max_features: Share = 0.3
    min_samples_leaf: Count = 1
    class_weight: ClassWeight = None


@dataclass(frozen=True, kw_only=True)
class HistogramSettings(CheckedSettings):
    """Histogram-based gradient boosting of scikit-learn."""

    max_iter: Annotated[int, Bounds(1, 5000)] = 150
    learning_rate: Share = 0.08
    max_leaf_nodes: Annotated[int, Bounds(2, 4096)] = 15
    min_samples_leaf: Count = 10
    l2_regularization: NotNegative = 1.0
    max_features: Share = 0.3


@dataclass(frozen=True, kw_only=True)
class SvmSettings(CheckedSettings):
    """A support vector machine with a radial kernel."""

    C: Weight = 10.0
    gamma: Weight = 0.0005
    class_weight: ClassWeight = None


@dataclass(frozen=True, kw_only=True)
class LogisticSettings(CheckedSettings):
    """Multinomial logistic regression."""

    C: Weight = 0.03
    class_weight: ClassWeight = "balanced"


@dataclass(frozen=True, kw_only=True)
class StackSettings(CheckedSettings):
    """Logistic regression on the predictions of other models, the members."""

    C: Weight = 0.02
    """Of the logistic regression; small, because the members are very similar."""
    parts: Annotated[int, Bounds(2, 20)] = 3
    """Folds within the training cells: each is predicted by members fitted on the other folds."""


# The members of the stack and their settings.
STACK_MEMBERS: Final[Mapping[str, Any]] = {
    "lightgbm": TreeSettings(),
    "extra-trees": ExtraTreesSettings(),
    "hist-boosting": HistogramSettings(),
    "svm": SvmSettings(),
    "logistic": LogisticSettings(),
}


def _make_trees(settings: TreeSettings, seed: int) -> BoostedTrees:
    return BoostedTrees(**vars(settings), classes=len(CLASSES), random_state=seed)


def _make_extra_trees(settings: ExtraTreesSettings, seed: int) -> Prepared:
    return Prepared(_make_imputer(), ExtraTreesClassifier(**vars(settings), random_state=seed))


def _make_histogram_boosting(settings: HistogramSettings, seed: int) -> HistogramBoosting:
    return HistogramBoosting(**vars(settings), early_stopping=False, random_state=seed)


def _make_svm(settings: SvmSettings, seed: int) -> Prepared:
    # libsvm requires a seed, although it uses none here; without a seed it uses the global state.
    machine = SVC(**vars(settings), decision_function_shape="ovr", random_state=seed)
    return Prepared(make_pipeline(_make_imputer(), _make_ranks()), machine)


def _make_logistic(settings: LogisticSettings, seed: int) -> Prepared:
    """Return logistic regression, which is not random."""
    regression = LogisticRegression(**vars(settings), max_iter=2000)
    return Prepared(make_pipeline(_make_imputer(), _make_ranks()), regression)


def _make_stack(settings: StackSettings, seed: int) -> Stack:
    members = [MODELS[name].make(member, seed) for name, member in STACK_MEMBERS.items()]
    return Stack(
        members=members,
        C=settings.C,
        parts=settings.parts,
        classes=len(CLASSES),
        random_state=seed,
    )


def _make_imputer() -> SimpleImputer:
    # A column without any value becomes zeros, so that the order of features stays.
    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)


def _make_ranks() -> QuantileTransformer:
    # Without subsampling, the quantiles are not random.
    return QuantileTransformer(n_quantiles=QUANTILES, output_distribution="normal", subsample=None)


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """One kind of model."""

    title: str
    """The name in folders."""
    settings: type
    make: Callable[[Any, int], Any]
    """make(settings, seed) returns a classifier of scikit-learn that is not fitted yet."""
    space: Mapping[str, Parameter]
    trials: int = 50
    """Settings that a search tries by default."""

    def make_settings(self, values: Mapping[str, Any], where: str = "settings") -> Any:
        """Return settings of this kind, with defaults for settings that are not in `values`."""
        return from_dict(self.settings, values, where=where)

    def fit(
        self,
        X: Floats,
        y: Ints,
        settings: Any,
        *,
        seed: int,
        names: Sequence[str] | None = None,
        weights: Floats | None = None,
    ) -> Classifier:
        """Return a classifier fitted on cells X (cells, features) with classes y; NaN is missing.

        Parameters
        ----------
        names
            Of the features, for the text in which trees of LightGBM are stored.
        """
        classifier = self.make(settings, seed)
        if names is not None and isinstance(classifier, BoostedTrees):
            classifier.set_params(feature_names=tuple(names))
        fitted: Classifier = classifier.fit(X, y, sample_weight=weights)
        return fitted


MODELS: Final[Mapping[str, ModelKind]] = {
    "lightgbm": ModelKind(
        title="LightGBM",
        settings=TreeSettings,
        make=_make_trees,
        # Many of the engineered features are nearly equal: with few of them per tree, all of them
        # are used.
        space={**PUBLISHED_SPACE, "colsample_bytree": Float(0.1, 1.0)},
    ),
    "extra-trees": ModelKind(
        title="ExtraTrees",
        settings=ExtraTreesSettings,
        make=_make_extra_trees,
        space={
            "max_features": Float(0.1, 1.0),
            "min_samples_leaf": Int(1, 5),
            "class_weight": WEIGHTING,
        },
        trials=15,
    ),
    "hist-boosting": ModelKind(
        title="HistBoosting",
        settings=HistogramSettings,
        make=_make_histogram_boosting,
        space={
            "max_iter": Int(50, 300),
            "learning_rate": Float(0.02, 0.2, log=True),
            "max_leaf_nodes": Int(7, 40),
            "min_samples_leaf": Int(5, 30),
            "l2_regularization": Float(1e-2, 10.0, log=True),
            "max_features": Float(0.1, 1.0),
        },
        trials=15,
    ),
    "svm": ModelKind(
        title="SVM",
        settings=SvmSettings,
        make=_make_svm,
        space={
            "C": Float(0.3, 100.0, log=True),
            "gamma": Float(1e-4, 0.03, log=True),
            "class_weight": WEIGHTING,
        },
        trials=25,
    ),
    "logistic": ModelKind(
        title="Logistic",
        settings=LogisticSettings,
        make=_make_logistic,
        space={"C": Float(1e-3, 1.0, log=True), "class_weight": WEIGHTING},
        trials=15,
    ),
    "stack": ModelKind(
        title="Stack",
        settings=StackSettings,
        make=_make_stack,
        space={"C": Float(1e-4, 1.0, log=True)},
        trials=3,
    ),
}


def find_kind(model: str) -> ModelKind:
    """Return the kind with this name; an error suggests the nearest name."""
    return MODELS[one_of(model, MODELS, "model")]
