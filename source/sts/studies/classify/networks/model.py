"""A network as one of the models of the study: its images, its predictions and its page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.base.types import Floats, Ints
from sts.datasets.store import SweepStore
from sts.evaluation.calibration import apply_temperature
from sts.networks.checkpoint import Model, save_model
from sts.networks.predict import Outputs, run_network
from sts.reports.tables import settings_table
from sts.scalograms.bank import ImageBank
from sts.studies.classify.models import FittedModel
from sts.studies.classify.pages import CAVEAT, Description

if TYPE_CHECKING:
    from sts.reports.new_cells import Answers, PredictedCell

# Predicted cells that are drawn: a picture takes a second, and nobody reads a page of hundreds.
DRAWN: Final = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkModel(FittedModel):
    """A network and the images of the cells that it predicts."""

    model: Model
    bank: ImageBank
    """With the mean and deviation of the network."""
    store: SweepStore | None = None
    """The sweeps of these cells, where they may be drawn."""

    @property
    def run_name(self) -> str:
        """Return the name of the network in the names of runs."""
        return f"{self.model.card.name}-{self.model.card.architecture.freeze}"

    def logits(self, rows: Ints) -> Floats:
        """Return logits (len(rows), classes), in the order of `rows`."""
        return self.outputs(rows).logits

    def outputs(self, rows: Ints) -> Outputs:
        """Return logits and features, in one pass."""
        return run_network(self.model.network, self.bank, rows)

    def answer(self) -> "Answers":
        """Return the answers of PREDICT for all cells."""
        from sts.reports.new_cells import Answers

        rows, novelty = np.arange(len(self.bank)), self.model.novelty
        outputs = self.outputs(rows)
        distances, threshold = np.full(len(rows), np.nan), np.nan
        if novelty is not None:
            distances, threshold = novelty.distances(outputs.features), novelty.rule.threshold
        probabilities = apply_temperature(outputs.logits, self.card.temperature)
        return Answers(probabilities=probabilities, distances=distances, threshold=threshold)

    def draw(self, run: Run, cells: "Sequence[PredictedCell]") -> dict[str, list[Path]]:
        """Draw the first predicted cells; return the files of each picture by caption."""
        if self.store is None:
            return {}
        from sts.reports.figures.scalogram import draw_cell, picture_of

        pictures = {}
        for row, cell in enumerate([each for each in cells if each.prediction][:DRAWN]):
            prediction = f"predicted {cell.prediction}, {cell.probability:.0%}"
            picture = picture_of(self.store.rows(np.array([row])))
            files = draw_cell(run.figures / f"cell-{row:04d}", picture, prediction=prediction)
            pictures[f"{cell.specimen_id}: {prediction}, in {cell.file}"] = files
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
