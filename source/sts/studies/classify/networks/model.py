"""A network as one of the models of the study: the images it looks at, its answers, its page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np

from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.base.types import Floats, Ints
from sts.base.workspace import Workspace
from sts.datasets.store import SweepStore
from sts.evaluation.calibration import apply_temperature
from sts.learning.device import choose_device
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import Model, load_model, model_folder, save_model
from sts.networks.predict import Outputs, run_network
from sts.reports.called import Answers, Called
from sts.reports.figures.scalogram import draw_cell, picture_of
from sts.reports.tables import settings_table
from sts.scalograms.bank import ImageBank
from sts.studies.classify.models import FittedModel
from sts.studies.classify.pages import CAVEAT, Description

# Cells that are drawn: a picture takes a second, and a page of hundreds is read by nobody.
DRAWN: Final = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkModel(FittedModel):
    """A network and the images of the cells that it looks at."""

    model: Model
    bank: ImageBank
    """With the mean and deviation of the network."""
    store: SweepStore | None = None
    """The sweeps of these cells, where they may be drawn."""

    @property
    def what(self) -> str:
        """Return what names of runs call this network."""
        return f"{self.model.card.name}-{self.model.card.architecture.freeze}"

    def logits(self, rows: Ints) -> Floats:
        """Return logits (len(rows), classes), in the order of `rows`."""
        return self.look(rows).logits

    def look(self, rows: Ints) -> Outputs:
        """Return logits and features, in one pass."""
        return run_network(self.model.network, self.bank, rows)

    def answer(self) -> Answers:
        """Return what PREDICT says of all cells."""
        rows, novelty = np.arange(len(self.bank)), self.model.novelty
        found = self.look(rows)
        distances, threshold = np.full(len(rows), np.nan), np.nan
        if novelty is not None:
            distances, threshold = novelty.distances(found.features), novelty.rule.threshold
        probabilities = apply_temperature(found.logits, self.card.temperature)
        return Answers(probabilities=probabilities, distances=distances, threshold=threshold)

    def draw(self, run: Run, called: Sequence[Called]) -> dict[str, list[Path]]:
        """Draw the first cells that were called; return the files by what they show."""
        if self.store is None:
            return {}
        answered = [each for each in called if each.prediction]
        pictures = {}
        for row, each in enumerate(answered[:DRAWN]):
            said = f"called {each.prediction}, {each.probability:.0%}"
            picture = picture_of(self.store.rows(np.array([row])))
            files = draw_cell(run.figures / f"cell-{row:04d}", picture, prediction=said)
            pictures[f"{each.specimen_id}: {said}, in {each.file}"] = files
        return pictures

    def describe(self) -> Description:
        """Return what a page says of the network."""
        card = self.model.card
        weights = card.architecture.weights
        settings = to_dict(card)
        for name in ("scores", "versions", "data"):
            settings.pop(name)
        return Description(
            title=f"{card.name}, {card.architecture.freeze}",
            subtitle=f"{card.origin}, from {'random' if weights == 'none' else weights} weights",
            caveats=(CAVEAT.format(kind="network"),),
            settings=settings_table(settings),
        )

    def save(self, folder: Path) -> Self:
        """Write the model and return it with its card as written."""
        return replace(self, model=replace(self.model, card=save_model(folder, self.model)))


def stored_network(
    workspace: Workspace, architecture: Architecture, *, device: str, name: str | None = None
) -> Model:
    """Return the model that TRAIN or import-models has left in the workspace."""
    folder = model_folder(workspace.models, architecture, name)
    return load_model(folder, wanted=architecture, device=choose_device(device))
