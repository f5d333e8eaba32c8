"""The settings of a training of a model of tables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.settings import to_dict
from sts.datasets.feature_sets import FEATURE_SETS, feature_names
from sts.datasets.splits import DONOR
from sts.search.trials import Choice, Parameter, SearchSettings
from sts.studies.classify.models import TrainJob, read_settings
from sts.tabular.checkpoint import baseline_folder
from sts.tabular.models import PUBLISHED_SETTINGS, PUBLISHED_SPACE, ModelKind, find_kind

DEFAULT_FEATURES: Final = "engineered"
# The features of the published study.
PUBLISHED_FEATURES: Final = "paper"
PUBLISHED_NAME: Final = "published"
# Smallest number of folds: each cell is predicted by a model fitted without it.
FEWEST_FOLDS: Final = 2
# Trials of the demo.
DEMO_TRIALS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The features of a model."""

    title: str
    names: tuple[str, ...]
    times: str = "onset"
    skip_missing: bool = False
    """Leave out features that no training cell has, instead of an error."""

    @property
    def variant(self) -> str:
        """Return the name of the folder of a model with these features."""
        return self.title if self.times == "onset" else f"{self.title}-{self.times}"


@dataclass(frozen=True, kw_only=True)
class TableJob(TrainJob):
    """All settings of the training of a model of tables; it depends only on them and the cells."""

    model: str = "lightgbm"
    chosen: Chosen
    published: bool = False
    """Search the published space; all other settings are the published ones."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the model; the search replaces those that it varies."""
    fixed: bool = False
    """Use the settings without a search."""

    @property
    def kind(self) -> ModelKind:
        """Return the kind of model."""
        return find_kind(self.model)

    @property
    def variant(self) -> str:
        """Return the part of folder names that distinguishes models of one kind."""
        if not self.published:
            return self.chosen.variant
        absolute = self.chosen.times == "absolute"
        return PUBLISHED_NAME if absolute else f"{PUBLISHED_NAME}-{self.chosen.times}"

    @property
    def run_name(self) -> str:
        """Return the name of the model in the names of runs."""
        return f"{self.kind.title}-{self.variant}"

    @property
    def space(self) -> Mapping[str, Parameter]:
        """Return the search space; a single point if the settings are given."""
        space = PUBLISHED_SPACE if self.published else self.kind.space
        if not self.fixed:
            return space
        fixed = to_dict(self.make_settings({}))
        return {name: Choice((fixed[name],)) for name in space}

    @property
    def is_fixed(self) -> bool:
        """Tell whether the settings are given, so that there is no search."""
        return self.fixed

    def make_settings(self, values: Mapping[str, Any]) -> Any:
        """Return the settings of the model with these values of the searched ones."""
        return self.kind.make_settings({**self.settings, **values})

    def folder(self, models: Path, name: str | None) -> Path:
        """Return the folder of the model, under its own name or its set of features."""
        return baseline_folder(models, self.model, self.variant, name)


def choose(features: str, *, times: str = "onset", skip_missing: bool = False) -> Chosen:
    """Return the features of a set, or the features listed in a file."""
    names = feature_names(features)
    # Marked as a list, since its file can have the name of a set.
    title = features if features in FEATURE_SETS else f"list-{Path(features).stem}"
    return Chosen(
        title=re.sub(r"[^\w.+-]", "_", title), names=names, times=times, skip_missing=skip_missing
    )


def make_table_job(
    *,
    model: str = "lightgbm",
    features: str | None = None,
    times: str | None = None,
    published: bool = False,
    skip_missing: bool = False,
    trials: int | None = None,
    folds: int | None = None,
    group_by: str | None = None,
    seed: int = 0,
    file: Path | None = None,
) -> TableJob:
    """Return the job of a command line; None leaves the default.

    Parameters
    ----------
    file
        JSON with settings of the model; with it there is no search.
    group_by
        "donor" by default, and as published "specimen".
    """
    kind = find_kind(model)
    if published and (model, features or PUBLISHED_FEATURES) != ("lightgbm", PUBLISHED_FEATURES):
        raise StsError(
            "--published is LightGBM on the features of the paper: leave out --model and --features"
        )
    if folds is not None and folds < FEWEST_FOLDS:
        raise StsError(f"--folds must be at least {FEWEST_FOLDS}, not {folds}")
    default = PUBLISHED_FEATURES if published else DEFAULT_FEATURES
    origin = times or ("absolute" if published else "onset")
    from_file = read_table_settings(file, kind) if file is not None else {}
    return TableJob(
        model=model,
        chosen=choose(features or default, times=origin, skip_missing=skip_missing),
        published=published,
        group_by=group_by or ("specimen" if published else DONOR),
        search=SearchSettings(trials=trials or kind.trials, folds=folds or 3, seed=seed),
        settings={**(PUBLISHED_SETTINGS if published else {}), **from_file},
        fixed=file is not None,
        seed=seed,
    )


def read_table_settings(path: Path, kind: ModelKind) -> dict[str, Any]:
    """Return the settings of a model in a JSON file, checked."""
    settings = read_settings(path)
    kind.make_settings(settings, where=str(path))
    return settings
