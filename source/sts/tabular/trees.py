"""LightGBM's trees as a classifier of scikit-learn, and the text in which they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

import lightgbm
import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from sts.base.errors import CellFailed, StsError
from sts.base.sandbox import Isolated, Limits
from sts.base.settings import Bounds, CheckedSettings, Count, NotNegative, shorten
from sts.base.types import CLASSES, Floats
from sts.tabular.estimators import ProbableClassifier, check_weights, encode_labels
from sts.tabular.tree_text import LOADING, MAX_LEAVES, NotTrees, check_tree_text

# One thread, column by column: the trees are the same on every machine, and other folds can use the
# other cores.
FIXED_PARAMETERS: Final[dict[str, Any]] = {
    "objective": "multiclass",
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
# The fields of TreeSettings and LightGBM's own names.
NAMES: Final = {
    "num_leaves": "num_leaves",
    "max_depth": "max_depth",
    "learning_rate": "learning_rate",
    "min_child_samples": "min_data_in_leaf",
    "subsample": "bagging_fraction",
    "subsample_freq": "bagging_freq",
    "colsample_bytree": "feature_fraction",
    "reg_alpha": "lambda_l1",
    "reg_lambda": "lambda_l2",
    "max_bin": "max_bin",
}
# A large model is loaded in a second; a damaged model must not block the program.
LOAD_LIMITS: Final = Limits(memory_mb=4096, processor_s=8, wall_s=60)
# Number of rounds of trees that fit into the cache of a processor.
_AT_ONCE: Final = 10
# LightGBM accepts seeds below this.
LIGHTGBM_SEEDS: Final = 2**31
Kept = Annotated[float, Bounds(0.01, 1.0)]


@dataclass(frozen=True, kw_only=True)
class TreeSettings(CheckedSettings):
    """The settings of trees; the defaults are for the engineered features."""

    num_leaves: Annotated[int, Bounds(2, MAX_LEAVES)] = 31
    max_depth: Annotated[int, Bounds(-1, 1000)] = 8
    """0 or less: no limit."""
    learning_rate: Annotated[float, Bounds(1e-6, 1.0)] = 0.06
    n_estimators: Annotated[int, Bounds(1, 100_000)] = 200
    min_child_samples: Count = 10
    subsample: Kept = 0.8
    """Share of the cells that a tree uses; without effect if `subsample_freq` is 0."""
    subsample_freq: Annotated[int, Bounds(0, 1000)] = 1
    """Number of trees after which cells are drawn again; 0, as published: all cells are used."""
    colsample_bytree: Kept = 0.3
    reg_alpha: NotNegative = 0.1
    reg_lambda: NotNegative = 0.3
    max_bin: Annotated[int, Bounds(2, 65535)] = 63
    """As accurate here as LightGBM's own 255, and three times as fast."""


@dataclass(kw_only=True, eq=False, repr=False)
class BoostedTrees(ProbableClassifier):
    """Trees of LightGBM, the same on every machine; NaN is a missing value.

    LightGBM's own LGBMClassifier drops classes without a training cell, starts threads, and writes
    and reads every model after its fit, which takes a tenth of the time.
    """

    num_leaves: int = TreeSettings.num_leaves
    max_depth: int = TreeSettings.max_depth
    learning_rate: float = TreeSettings.learning_rate
    n_estimators: int = TreeSettings.n_estimators
    min_child_samples: int = TreeSettings.min_child_samples
    subsample: float = TreeSettings.subsample
    subsample_freq: int = TreeSettings.subsample_freq
    colsample_bytree: float = TreeSettings.colsample_bytree
    reg_alpha: float = TreeSettings.reg_alpha
    reg_lambda: float = TreeSettings.reg_lambda
    max_bin: int = TreeSettings.max_bin
    extra_trees: bool = False
    """Draw the thresholds of splits instead of a search: better with few rows."""
    classes: int | None = None
    """Classes are the numbers below this, with or without rows; None: those in `y`."""
    feature_names: tuple[str, ...] | None = None
    """Names in the text of the trees."""
    random_state: int = 0

    @property
    def takes_missing(self) -> bool:
        """Tell whether rows can have missing values."""
        return True

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit trees on rows X (rows, features) with classes y."""
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", dtype=np.float64)
        self.classes_, labels = encode_labels(y, self.classes)
        given = {theirs: getattr(self, ours) for ours, theirs in NAMES.items()}
        parameters = {
            **FIXED_PARAMETERS,
            "num_class": len(self.classes_),
            "seed": self.random_state % LIGHTGBM_SEEDS,
            **given,
            **({"extra_trees": True} if self.extra_trees else {}),
        }
        data = lightgbm.Dataset(
            X,
            labels,
            weight=check_weights(sample_weight, X),
            feature_name="auto" if self.feature_names is None else list(self.feature_names),
            params=parameters,
        )
        booster = lightgbm.Booster(parameters, data)
        # lightgbm.train does the same and then writes and reads the whole model.
        for _ in range(self.n_estimators):
            booster.update()
        self.booster_ = booster.free_dataset()
        return self

    def decision_function(self, X: Any) -> Floats:
        """Return the score of each class before the softmax; for two classes, their difference."""
        X = self._checked(X)
        scores = np.zeros((len(X), len(self.classes_)))
        for first in range(0, self.booster_.current_iteration(), _AT_ONCE):
            some = self.booster_.predict(
                X, raw_score=True, num_threads=1, start_iteration=first, num_iteration=_AT_ONCE
            )
            scores += np.asarray(some)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, (rows, classes)."""
        X = self._checked(X)
        return np.asarray(self.booster_.predict(X, num_threads=1))

    def text(self) -> str:
        """Return the trees in LightGBM's own text format."""
        check_is_fitted(self)
        return str(self.booster_.model_to_string(num_iteration=-1))

    @classmethod
    def from_text(cls, text: str) -> "BoostedTrees":
        """Return the trees in a text that `text` returned."""
        try:
            booster = lightgbm.Booster(model_str=text)
        except (lightgbm.basic.LightGBMError, ValueError, KeyError) as error:
            raise StsError(f"not a model of LightGBM: {str(error).splitlines()[0]}") from error
        trees = cls(classes=booster.num_model_per_iteration())
        trees.booster_ = booster
        trees.classes_ = np.arange(booster.num_model_per_iteration())
        trees.n_features_in_ = booster.num_feature()
        return trees


def load_trees(path: Path, content: bytes, names: Sequence[str]) -> BoostedTrees:
    """Return the trees in a file that cannot be trusted.

    The text is checked here, then loaded in a separate process, and only then in this one, because
    a text could have unknown effects on the library.

    Parameters
    ----------
    content
        Content of the file, as its digest was taken.
    names
        Of the features.
    """
    text = check_tree_text(content, names)
    request = {"path": str(path), "features": len(names), "classes": len(CLASSES)}
    try:
        with Isolated(LOADING, LOAD_LIMITS) as sandbox:
            answer, _ = sandbox.ask(request)
    except CellFailed as error:
        raise NotTrees(f"LightGBM cannot load it: it {error}") from error
    if "error" in answer:
        raise NotTrees(f"LightGBM cannot load it: {shorten(answer['error'])}")
    trees = BoostedTrees.from_text(text)
    if trees.classes != len(CLASSES):
        raise NotTrees(f"it does not have {len(CLASSES)} classes")
    return trees
