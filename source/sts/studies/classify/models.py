"""The protocol of a kind of model: the job of its training, and the fitted model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sts.base.errors import StsError
from sts.base.files import read_json
from sts.base.runs import Run
from sts.base.settings import digest
from sts.base.types import Bools, Floats, Ints
from sts.datasets.splits import DONOR
from sts.evaluation.calibration import SET_COVERAGE, apply_temperature, find_class_sets
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import ClassSetScores, score_class_sets
from sts.reports.page import Section
from sts.search.trials import Parameter, SearchSettings
from sts.studies.classify.pages import Description

if TYPE_CHECKING:
    from sts.reports.new_cells import Answers, PredictedCell


@dataclass(frozen=True, kw_only=True)
class TrainJob(ABC):
    """All settings of a training; the model depends only on them and on the cells."""

    group_by: str = DONOR
    """Cells that are kept together in one fold, and on one side of a new split."""
    search: SearchSettings = field(default_factory=SearchSettings)
    seed: int = 0

    @property
    @abstractmethod
    def run_name(self) -> str:
        """Return the name of the model in the names of runs."""

    @property
    @abstractmethod
    def is_fixed(self) -> bool:
        """Tell whether the settings are given, so that there is no search."""

    @property
    @abstractmethod
    def space(self) -> Mapping[str, Parameter]:
        """Return the search space; a single point if the settings are given."""

    @abstractmethod
    def make_settings(self, values: Mapping[str, Any]) -> Any:
        """Return the settings of the model with these values of the searched ones."""

    @abstractmethod
    def folder(self, models: Path, name: str | None) -> Path:
        """Return the folder of the model, under its own name or another."""

    @property
    def search_plan(self) -> SearchSettings:
        """Return the settings of the search: one trial if the settings are given."""
        one = SearchSettings(trials=1, folds=self.search.folds, seed=self.seed, prune=False)
        return one if self.is_fixed else self.search

    @property
    def search_name(self) -> str:
        """Return the name of the search, which does not depend on the number of trials.

        A search with more trials thus continues one with fewer.
        """
        any_length = replace(self, search=replace(self.search, trials=1))
        return f"{self.run_name}-{digest(any_length)}"


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a JSON file, which the kind of model must check."""
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise StsError(f"{path} does not contain settings: an object such as {{...}} is needed")
    return settings


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The explanation of predictions: sections of the report, and entries of report.json."""

    sections: list[Section] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What a model makes of n cells, in their order."""

    logits: Floats
    """(n, classes)."""
    features: Floats | None = None
    """(n, features), the inputs of the last layer of a network; None for other models."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedModel(ABC):
    """A fitted model and the cells for prediction, one row each."""

    model: Any
    """The stored model with its card."""
    coverage: float = SET_COVERAGE
    """Share of new cells whose prediction set contains the true class."""

    @property
    def card(self) -> Any:
        """Return the card of the model: its name, temperature, data, scores and digests."""
        return self.model.card

    @property
    @abstractmethod
    def run_name(self) -> str:
        """Return the name of the model in the names of runs."""

    @abstractmethod
    def logits(self, rows: Ints) -> Floats:
        """Return logits (len(rows), classes), in the order of `rows`."""

    @abstractmethod
    def answer(self) -> "Answers":
        """Return the answers of PREDICT for all cells."""

    @abstractmethod
    def describe(self) -> Description:
        """Return the description of the model for a page."""

    @abstractmethod
    def save(self, folder: Path) -> Self:
        """Write the model and return it with its card as written."""

    def with_card(self, **changes: Any) -> Self:
        """Return the model with these fields of its card changed."""
        return replace(self, model=replace(self.model, card=replace(self.card, **changes)))

    def apply(self, rows: Ints) -> Scored:
        """Return logits, and the features of a network, in the order of `rows`."""
        return Scored(logits=self.logits(rows))

    def calibrated(self, logits: Floats) -> Floats:
        """Return calibrated probabilities (n, classes)."""
        return apply_temperature(logits, self.card.temperature)

    def find_sets(self, probabilities: Floats) -> Bools | None:
        """Return the possible classes (n, classes); None for a model without calibration cells."""
        known = self.card.own_probabilities
        return find_class_sets(probabilities, known, self.coverage) if known else None

    def score_sets(self, predictions: Predictions) -> dict[str, ClassSetScores]:
        """Return how prediction sets do on cells with known classes; {} if there are no sets."""
        sets = self.find_sets(predictions.probabilities)
        return {} if sets is None else score_class_sets(predictions, sets)

    def probabilities(self, rows: Ints) -> Floats:
        """Return calibrated probabilities (len(rows), classes), in the order of `rows`."""
        return self.calibrated(self.logits(rows))

    def explain(self, run: Run, rows: Ints, truth: Ints, *, seed: int) -> Explanation:
        """Explain the model on these rows for the report of a training; nothing by default."""
        return Explanation()

    def draw(self, run: Run, cells: "Sequence[PredictedCell]") -> dict[str, list[Path]]:
        """Draw predicted cells; return the files of each picture by caption, none by default."""
        return {}
