"""The models of the baseline: how each is fitted, what it can be set to, where a search looks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sts.base.errors import one_of
from sts.base.settings import from_dict
from sts.search.space import Choice, Float, Int, Parameter
from sts.tabular.others import (
    ExtraTreesSettings,
    HistogramSettings,
    LogisticSettings,
    SvmSettings,
    fit_extra_trees,
    fit_histogram_boosting,
    fit_logistic,
    fit_svm,
)
from sts.tabular.stack import Classifier, StackSettings, fit_stack
from sts.tabular.trees import TreeSettings, fit_trees

WEIGHTING: Final = Choice((None, "balanced"))

# As Amprimo et al. (2025) searched.
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
# What the published code left to LightGBM: without a frequency its `subsample` does nothing.
PUBLISHED_SETTINGS: Final = {"subsample_freq": 0, "max_bin": 255}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of model."""

    title: str
    """As in names of folders."""
    settings: type
    fit: Callable[..., Classifier]
    """fit(X, y, settings, seed=, names=, weights=)."""
    space: Mapping[str, Parameter]
    trials: int = 50
    """How many settings a search tries unless it is told."""

    def configured(self, values: Mapping[str, Any], where: str = "settings") -> Any:
        """Return settings of this kind, those not named at their defaults."""
        return from_dict(self.settings, values, where=where)


MODELS: Final[Mapping[str, Kind]] = {
    "lightgbm": Kind(
        title="LightGBM",
        settings=TreeSettings,
        fit=fit_trees,
        # Many of the engineered features say nearly the same: few of them a tree, and they take
        # turns.
        space={**PUBLISHED_SPACE, "colsample_bytree": Float(0.1, 1.0)},
    ),
    "extra-trees": Kind(
        title="ExtraTrees",
        settings=ExtraTreesSettings,
        fit=fit_extra_trees,
        space={
            "max_features": Float(0.1, 1.0),
            "min_samples_leaf": Int(1, 5),
            "class_weight": WEIGHTING,
        },
        trials=15,
    ),
    "hist-boosting": Kind(
        title="HistBoosting",
        settings=HistogramSettings,
        fit=fit_histogram_boosting,
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
    "svm": Kind(
        title="SVM",
        settings=SvmSettings,
        fit=fit_svm,
        space={
            "C": Float(0.3, 100.0, log=True),
            "gamma": Float(1e-4, 0.03, log=True),
            "class_weight": WEIGHTING,
        },
        trials=25,
    ),
    "logistic": Kind(
        title="Logistic",
        settings=LogisticSettings,
        fit=fit_logistic,
        space={"C": Float(1e-3, 1.0, log=True), "class_weight": WEIGHTING},
        trials=15,
    ),
    "stack": Kind(
        title="Stack",
        settings=StackSettings,
        fit=fit_stack,
        space={"C": Float(1e-4, 1.0, log=True)},
        trials=3,
    ),
}


def kind_of(model: str) -> Kind:
    """Return the kind of that name, or say which name is nearest."""
    return MODELS[one_of(model, MODELS, "model")]
