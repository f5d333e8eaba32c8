"""What every TRAIN is asked to do, whatever is trained."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sts.base.errors import StsError
from sts.base.files import read_json
from sts.base.settings import digest
from sts.datasets.splits import DONOR
from sts.search.space import Parameter
from sts.search.trials import SearchSettings


@dataclass(frozen=True, kw_only=True)
class TrainJob(ABC):
    """All that decides what TRAIN arrives at, besides the cells."""

    group_by: str = DONOR
    """What stands in one fold only, and in one part of a split that is made."""
    search: SearchSettings = field(default_factory=SearchSettings)
    seed: int = 0

    @property
    @abstractmethod
    def what(self) -> str:
        """Return what names of runs call this model."""

    @property
    @abstractmethod
    def is_fixed(self) -> bool:
        """Tell whether the settings are given, so that nothing is searched."""

    @property
    @abstractmethod
    def space(self) -> Mapping[str, Parameter]:
        """Return the space to search; of given settings, the one point that they are."""

    @abstractmethod
    def configured(self, found: Mapping[str, Any]) -> Any:
        """Return settings of the model with these values of what is varied."""

    @abstractmethod
    def folder(self, models: Path, name: str | None) -> Path:
        """Return where the model is kept, under its own name or another."""

    @property
    def trials(self) -> SearchSettings:
        """Return how to search; given settings are one trial."""
        one = SearchSettings(trials=1, folds=self.search.folds, seed=self.seed, prune=False)
        return one if self.is_fixed else self.search

    @property
    def search_name(self) -> str:
        """Return the name of the search: more trials go on with the one that fewer began."""
        any_length = replace(self, search=replace(self.search, trials=1))
        return f"{self.what}-{digest(any_length)}"


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a JSON file, which the kind of model has to check."""
    given = read_json(path)
    if not isinstance(given, dict):
        raise StsError(f"{path} does not hold settings: an object such as {{...}} is wanted")
    return given
