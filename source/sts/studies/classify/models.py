"""The protocol of a model: what TRAIN, TEST and PREDICT need of a network or a model of tables."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from sts.base.runs import Run
from sts.base.types import Floats, Ints
from sts.evaluation.calibration import apply_temperature
from sts.reports.called import Answers, Called
from sts.reports.page import Section
from sts.studies.classify.pages import Description


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a model says what it says: what there is to show, and what report.json keeps."""

    sections: list[Section] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedModel(ABC):
    """A fitted model and the cells that it looks at, a row each."""

    model: Any
    """As it is stored, with its card."""

    @property
    def card(self) -> Any:
        """Return what is known of the model: its name, temperature, data, scores and digests."""
        return self.model.card

    @property
    @abstractmethod
    def what(self) -> str:
        """Return what names of runs call this model."""

    @abstractmethod
    def logits(self, rows: Ints) -> Floats:
        """Return logits (len(rows), classes), in the order of `rows`."""

    @abstractmethod
    def answer(self) -> Answers:
        """Return what PREDICT says of all cells."""

    @abstractmethod
    def describe(self) -> Description:
        """Return what a page says of the model."""

    @abstractmethod
    def save(self, folder: Path) -> Self:
        """Write the model and return it with its card as written."""

    def with_card(self, **changes: Any) -> Self:
        """Return the model with these fields of its card changed."""
        return replace(self, model=replace(self.model, card=replace(self.card, **changes)))

    def probabilities(self, rows: Ints) -> Floats:
        """Return calibrated probabilities (len(rows), classes), in the order of `rows`."""
        return apply_temperature(self.logits(rows), self.card.temperature)

    def explain(self, run: Run, rows: Ints, truth: Ints, *, seed: int) -> Explanation:
        """Explain the model on these rows for the report of a training; nothing by default."""
        return Explanation()

    def draw(self, run: Run, called: Sequence[Called]) -> dict[str, list[Path]]:
        """Draw cells that were called; return the files by what they show, none by default."""
        return {}
