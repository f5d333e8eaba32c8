"""LightGBM: gradient-boosted trees that take missing values as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import lightgbm
import numpy as np

from sts.base.bounds import Bounds, Count, NotNegative, check_fields, shorten
from sts.base.errors import CellFailed, StsError
from sts.base.inside import Limits
from sts.base.sandbox import Isolated
from sts.base.types import CLASSES, Floats, Ints
from sts.tabular.load_apart import WORK
from sts.tabular.tree_text import MAX_LEAVES, NotTrees, check_tree_text

# One thread, column by column: the same trees on every machine, and the cores are free for other
# folds.
FIXED: Final[dict[str, Any]] = {
    "objective": "multiclass",
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
# The field of TreeSettings -> LightGBM's own name of it.
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
# Loading takes a second where a model is large; a damaged one must not hold anybody up.
LIMITS: Final = Limits(memory_mb=4096, processor_s=8, wall_s=60)
# Rounds of trees that stay in a processor's cache while cells pass; all of them would not.
AT_ONCE: Final = 10
# LightGBM takes seeds below this.
LIGHTGBM_SEEDS: Final = 2**31
Kept = Annotated[float, Bounds(0.01, 1.0)]


@dataclass(frozen=True, kw_only=True)
class TreeSettings:
    """One way to grow the trees; defaults are good ones for the engineered features."""

    num_leaves: Annotated[int, Bounds(2, MAX_LEAVES)] = 31
    max_depth: Annotated[int, Bounds(-1, 1000)] = 8
    """0 or less: no limit."""
    learning_rate: Annotated[float, Bounds(1e-6, 1.0)] = 0.06
    n_estimators: Annotated[int, Bounds(1, 100_000)] = 200
    min_child_samples: Count = 10
    subsample: Kept = 0.8
    """Share of the cells that a tree sees; means nothing while `subsample_freq` is 0."""
    subsample_freq: Annotated[int, Bounds(0, 1000)] = 1
    """After how many trees cells are drawn anew; 0, as published: never are any left out."""
    colsample_bytree: Kept = 0.3
    reg_alpha: NotNegative = 0.1
    reg_lambda: NotNegative = 0.3
    max_bin: Annotated[int, Bounds(2, 65535)] = 63
    """As accurate here as LightGBM's own 255, and three times as fast."""

    def __post_init__(self) -> None:
        """Refuse what LightGBM would refuse in the middle of a search."""
        check_fields(self)


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees that were grown."""

    booster: lightgbm.Booster

    def logits(self, X: Floats) -> Floats:
        """Return the score of each class before the softmax, (cells, classes)."""
        found = np.zeros((len(X), len(CLASSES)))
        for first in range(0, self.booster.current_iteration(), AT_ONCE):
            some = self.booster.predict(
                X, raw_score=True, num_threads=1, start_iteration=first, num_iteration=AT_ONCE
            )
            found += np.asarray(some)
        return found

    def text(self) -> str:
        """Return the trees in LightGBM's own text format."""
        return str(self.booster.model_to_string(num_iteration=-1))

    @classmethod
    def of(cls, text: str) -> "Trees":
        """Return what `text` was written from."""
        try:
            booster = lightgbm.Booster(model_str=text)
        except (lightgbm.basic.LightGBMError, ValueError, KeyError) as error:
            raise StsError(f"not a model of LightGBM: {str(error).splitlines()[0]}") from error
        return cls(booster)


def load_trees(path: Path, content: bytes, names: Sequence[str]) -> Trees:
    """Return the trees in a file nobody vouches for.

    The text is checked by us, then loaded in a process apart, and only then in this one: what a
    text can make the library do is not known.

    Parameters
    ----------
    content
        Of the file, as its digest was taken.
    names
        Of the features.
    """
    text = check_tree_text(content, names)
    request = {"path": str(path), "features": len(names), "classes": len(CLASSES)}
    try:
        with Isolated(WORK, LIMITS) as sandbox:
            answer, _ = sandbox.ask(request)
    except CellFailed as error:
        raise NotTrees(f"LightGBM cannot load it: it {error}") from error
    if "error" in answer:
        raise NotTrees(f"LightGBM cannot load it: {shorten(answer['error'])}")
    trees = Trees.of(text)
    if trees.booster.num_model_per_iteration() != len(CLASSES):
        raise NotTrees(f"it is not of {len(CLASSES)} classes")
    return trees


def fit_trees(
    X: Floats,
    y: Ints,
    settings: TreeSettings,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    weights: Floats | None = None,
) -> Trees:
    """Grow trees on cells X (cells, features) of classes y; NaN is missing."""
    given = {theirs: getattr(settings, ours) for ours, theirs in NAMES.items()}
    parameters = {**FIXED, "num_class": len(CLASSES), "seed": seed % LIGHTGBM_SEEDS, **given}
    data = lightgbm.Dataset(
        X,
        y,
        weight=weights,
        feature_name="auto" if names is None else list(names),
        params=parameters,
    )
    booster = lightgbm.Booster(parameters, data)
    # lightgbm.train does the same and then writes and reads the whole model: a tenth of the time.
    for _ in range(settings.n_estimators):
        booster.update()
    return Trees(booster.free_dataset())
