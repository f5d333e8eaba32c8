"""A network as one of the models of the study: its cells, images, predictions and page."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.cells import (
    Cells,
    find_stores,
    identify_cells,
    require_stores,
    with_donors,
)
from sts.datasets.labels import labels_of
from sts.datasets.splits import (
    PUBLISHED_SPLIT,
    find_split,
    leave_out_held,
    read_split_file,
    split_of,
)
from sts.datasets.store import SweepStore, load_store, merge_stores
from sts.learning.device import choose_device
from sts.networks.checkpoint import Model, save_model
from sts.networks.predict import Outputs, run_network
from sts.reports.tables import settings_table
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings, has_published
from sts.studies.classify.cohort import Cohort, find_sides
from sts.studies.classify.models import FittedModel, Scored
from sts.studies.classify.pages import CAVEAT, Description

if TYPE_CHECKING:
    from sts.reports.new_cells import Answers, PredictedCell

logger = logging.getLogger("sts")

# Sources of scalograms: computed from a sweep store, published files, or, for "auto", a store if
# there is one.
ORIGINS: Final = ("auto", "computed", "published")
# Largest number of predicted cells that are drawn: a picture takes a second.
MOST_PICTURES: Final = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkCohort(Cohort[SweepStore | Cells]):
    """Cells with their sweeps, unless their scalograms are published."""

    # Inside a fold, one cell in five is used for early stopping (Amprimo et al., 2025).
    validation_parts: ClassVar[int] = 5

    @property
    def is_published(self) -> bool:
        """Tell whether scalograms are read from files instead of computed."""
        return not isinstance(self.cells, SweepStore)

    def fingerprint(self) -> str:
        """Return a digest of the training cells' ids and classes, and one of their sweeps."""
        training = identify_cells(self.cells, self.train_rows)
        who = hashlib.sha256("\n".join([*training.specimen_id, *training.label]).encode())
        if not isinstance(self.cells, SweepStore):
            return who.hexdigest()[:16]
        sweeps = hashlib.sha256(np.ascontiguousarray(self.cells.traces[self.train_rows]).data)
        return f"{who.hexdigest()[:16]}-{sweeps.hexdigest()[:16]}"

    def is_trained_on(self, fingerprint: str) -> bool:
        """Tell whether a model was trained on these cells, and on the same sweeps if any."""
        return fingerprint.startswith(self.fingerprint())

    def only(self, rows: Ints) -> "NetworkCohort":
        """Return the cohort of these rows, in their order."""
        place = np.full(len(self.cells), -1)
        place[rows] = np.arange(len(rows))
        train, test = (place[side][place[side] >= 0] for side in (self.train_rows, self._test_rows))
        cells, truth = self.cells.rows(rows), self.truth[rows]
        return replace(self, cells=cells, truth=truth, train_rows=train, _test_rows=test)

    def bank(self, images: ImageSettings, device: str) -> ImageBank:
        """Return the images of all cells, by row."""
        if not isinstance(self.cells, SweepStore):
            raise StsError("published scalograms are tested and explained on, not trained on")
        return ImageBank(self.cells, images, choose_device(device))


def load_sweeps(
    data: Path, *, group_by: str | None = None, seed: int, scalograms: str = "computed"
) -> NetworkCohort:
    """Return the labelled cells in `data`, divided by the split stored there.

    Cells of the published test split are left out, unless the split in `data` is the published one,
    in which they are test cells. `scalograms` is one of ORIGINS.
    """
    published = _choose_origin(data, scalograms) == "published"
    cells = with_donors(_load_published(data) if published else _load_labelled(data), data)
    cells = leave_out_held(cells, data, where=str(data), has_holdout=True)
    split = split_of(cells, data, group_by=group_by, seed=seed)
    train, test = find_sides(cells, split)
    counts = len(train), len(test), split.origin
    logger.info("%d cells to train on, %d held out (%s)", *counts)
    truth = np.array([CLASSES.index(label) for label in cells.label.tolist()])
    return NetworkCohort(cells=cells, truth=truth, split=split, train_rows=train, _test_rows=test)


def _choose_origin(data: Path, scalograms: str) -> str:
    """Return the source of scalograms, and write a line to the log."""
    one_of(scalograms, ORIGINS, "origin of scalograms")
    stored, published = bool(find_stores(data)), has_published(data)
    if scalograms == "auto":
        scalograms = "published" if published and not stored else "computed"
    if scalograms == "published":
        logger.info("scalograms are the published ones in %s", data)
    elif published:
        logger.info("scalograms are computed from sweeps; the published ones are not used")
    return scalograms


def _load_labelled(data: Path) -> SweepStore:
    """Return the labelled cells of all sweep stores, by specimen id."""
    store = merge_stores([load_store(path) for path in require_stores(data)])
    labelled = store.rows(np.isin(store.label, CLASSES))
    if not len(labelled):
        raise StsError(f"no cell in {data} has a label: build with --labels")
    return labelled.rows(np.argsort(labelled.specimen_id))


def _load_published(data: Path) -> Cells:
    """Return the labelled cells of the split in `data`, also those without a scalogram file."""
    if not has_published(data):
        raise StsError(
            f"no published scalograms in {data}: a folder such as PatchClampGouwensCWT with files "
            "cell_<specimen_id>.npy is needed"
        )
    label_file, split = labels_of(data), find_split(data)
    if split is None:
        raise StsError(
            f"no split in {data}: {' and '.join(PUBLISHED_SPLIT.values())} list the published "
            "held-out cells; fetch them with `data_pipeline.py fetch sts-tables`"
        )
    datasets = {
        specimen: dataset
        for path in (data / name for name in PUBLISHED_SPLIT.values())
        if path.is_file()
        for specimen, dataset in read_split_file(path).items()
    }
    listed = split.train | split.test
    divided = [
        label_file.labels[specimen] for specimen in sorted(label_file.labels.keys() & listed)
    ]
    if not divided:
        raise StsError(f"no cell of {split.origin} has a label in {label_file.path}")
    return Cells(
        specimen_id=np.array([cell.specimen_id for cell in divided]),
        donor_id=np.array([cell.donor_id for cell in divided]),
        label=np.array([cell.label for cell in divided]),
        dataset=np.array([datasets.get(cell.specimen_id, cell.dataset) for cell in divided]),
        claimed_id=np.full(len(divided), ""),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkModel(FittedModel):
    """A network and the images of the cells for prediction."""

    model: Model
    bank: ImageBank
    """With the mean and deviation of the network."""
    store: SweepStore | None = None
    """The sweeps of these cells, if they can be drawn."""

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

    def apply(self, rows: Ints) -> Scored:
        """Return logits and features, in the order of `rows`."""
        outputs = self.outputs(rows)
        return Scored(logits=outputs.logits, features=outputs.features)

    def answer(self) -> "Answers":
        """Return the answers of PREDICT for all cells."""
        from sts.reports.new_cells import Answers

        rows, novelty = np.arange(len(self.bank)), self.model.novelty
        outputs = self.outputs(rows)
        probabilities = self.calibrated(outputs.logits)
        answers = Answers(
            probabilities=probabilities,
            sets=self.find_sets(probabilities),
            coverage=self.coverage,
            distances=np.full(len(rows), np.nan),
            features=outputs.features,
        )
        if novelty is None:
            return answers
        return replace(
            answers,
            distances=novelty.distances(outputs.features),
            threshold=novelty.rule.threshold,
            percentile=novelty.rule.percentile,
        )

    def draw(self, run: Run, cells: "Sequence[PredictedCell]") -> dict[str, list[Path]]:
        """Draw the first predicted cells; return the files of each picture by caption."""
        if self.store is None:
            return {}
        from sts.reports.figures.scalogram import draw_cell, picture_of

        pictures = {}
        for row, cell in enumerate([each for each in cells if each.prediction][:MOST_PICTURES]):
            prediction = f"predicted {cell.prediction}, {cell.probability:.0%}"
            picture = picture_of(self.store.rows(np.array([row])))
            files = draw_cell(run.figures / f"cell-{row:04d}", picture, prediction=prediction)
            pictures[f"{cell.specimen_id}: {prediction}, in {cell.file}"] = files
        return pictures

    def describe(self) -> Description:
        """Return the description of the network for a page."""
        card = self.model.card
        weights = card.architecture.weights
        settings = to_dict(card)
        for name in ("scores", "versions", "data", "own_probabilities"):
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
