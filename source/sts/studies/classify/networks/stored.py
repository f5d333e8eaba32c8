"""TEST and PREDICT of a stored network, and the cells and images that TEST and EXPLAIN use."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.progress import progress
from sts.base.types import Ints
from sts.base.workspace import Workspace
from sts.datasets.cells import Cells, identify_cells
from sts.evaluation.calibration import SET_COVERAGE
from sts.learning.device import choose_device
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import Model, load_model, model_folder
from sts.reports.new_cells import PredictResult
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings, PublishedSource, find_published
from sts.studies.classify.networks.model import NetworkCohort, NetworkModel, load_sweeps
from sts.studies.classify.pages import LeftOut
from sts.studies.classify.stored import (
    CellSource,
    Tested,
    find_new_sweeps,
    make_copy_job,
    predict_cells,
    refuse_other_cells,
    test_model,
)

logger = logging.getLogger("sts")

# How the published scalograms were computed.
PARITY: Final = "pywt"


@dataclass(frozen=True, kw_only=True)
class StoredNetworkJob:
    """A stored network, and the cells that TEST or EXPLAIN uses."""

    architecture: Architecture
    data: str
    cells: tuple[str, ...] = ()
    """EXPLAIN: specimens to draw; empty: one held-out cell of each class, predicted correctly."""
    scalograms: str = "auto"
    """Their source: one of `model.ORIGINS`."""
    seed: int = 0
    name: str | None = None
    """Of the model, where it has one of its own."""


@dataclass(frozen=True, kw_only=True)
class NetworkPredictJob:
    """A stored network, and the new cells that it predicts."""

    architecture: Architecture
    source: CellSource
    name: str | None = None
    """Of the model, where it has one of its own."""
    coverage: float = SET_COVERAGE
    """Share of new cells whose prediction set contains the true class."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedStudy:
    """A stored network and the cells of its study that have an image."""

    model: NetworkModel
    """With the images of the cells of the cohort, by row."""
    cohort: NetworkCohort
    paths: tuple[Path, ...] = ()
    """Of published scalograms, by row; empty where they are computed."""
    left_out: tuple[LeftOut, ...] = ()
    """Cells of the study that have no image."""


def test_network(workspace: Workspace, job: StoredNetworkJob, *, device: str = "auto") -> Tested:
    """Score the stored network on the holdout and leave a report."""
    opened = open_study(workspace, job, device=device)
    model, cohort = opened.model, opened.cohort
    return test_model(workspace, job, model, cohort, study="sts-test", left_out=opened.left_out)


def open_study(workspace: Workspace, job: StoredNetworkJob, *, device: str) -> OpenedStudy:
    """Return the stored network of a job, and its cells with their images."""
    model = _load_network(workspace, job.architecture, device=device, name=job.name)
    cohort = load_sweeps(Path(job.data), seed=job.seed, scalograms=job.scalograms)
    check_same_split(model, cohort)
    named = cohort.rows_of(job.cells)
    if cohort.is_published:
        return _open_published(model, cohort, job, named, device=device)
    bank = cohort.bank(model.card.images, device)
    return OpenedStudy(model=NetworkModel(model=model, bank=bank), cohort=cohort)


def check_same_split(model: Model, cohort: NetworkCohort) -> None:
    """Raise an error if the network may have been trained on cells of the holdout."""
    if model.card.data.get("training_fingerprint") is not None:
        refuse_other_cells(model.card, cohort)
    # Imported networks have no fingerprint; they were trained on the published split.
    elif not cohort.split.is_published:
        logger.warning(
            "%s was trained on the published split and these cells are divided by %s: it may "
            "have been trained on some of the held-out cells",
            *(model.card.name, cohort.split.origin),
        )


def _load_network(
    workspace: Workspace, architecture: Architecture, *, device: str, name: str | None
) -> Model:
    """Return the model from TRAIN or import-models in the workspace."""
    folder = model_folder(workspace.models, architecture, name)
    return load_model(folder, wanted=architecture, device=choose_device(device))


def _open_published(
    model: Model, cohort: NetworkCohort, job: StoredNetworkJob, named: Ints, *, device: str
) -> OpenedStudy:
    """Read only the scalograms of the held-out cells and of the named cells."""
    images = model.card.images
    if images.parity != PARITY:
        raise StsError(
            f"{model.card.name} needs scalograms of parity {images.parity!r} and published ones "
            f"are of parity {PARITY!r}: use a sweep store, or a model from `data_pipeline.py "
            "import-models`"
        )
    held_out = cohort.open_holdout("its published scalograms are read")
    wanted = np.union1d(held_out, named)
    cells = identify_cells(cohort.cells, wanted)
    read = read_scalograms(Path(job.data), cells, images.plain, device=device)
    for cell in read.left_out:
        if cell.specimen_id in job.cells:
            raise StsError(cell.reason)
    rows = wanted[list(read.places)]
    if not np.isin(rows, held_out).any():
        raise StsError(f"no held-out cell has a scalogram: {read.left_out[0].reason}")
    # The images are already in memory, so that the bank needs no copy.
    bank = ImageBank(read.source, images, choose_device(device), budget_bytes=0)
    return OpenedStudy(
        model=NetworkModel(model=model, bank=bank),
        cohort=cohort.only(rows),
        paths=read.paths,
        left_out=read.left_out,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadScalograms:
    """The scalograms of some cells that could be read."""

    source: PublishedSource
    paths: tuple[Path, ...]
    """Of the cells of `source`, by row."""
    places: tuple[int, ...]
    """The rows of these cells among all that were wanted."""
    left_out: tuple[LeftOut, ...]
    """The other cells."""


def read_scalograms(
    data: Path, cells: Cells, images: ImageSettings, *, device: str
) -> ReadScalograms:
    """Read the scalograms of cells; an absent or damaged one is left out with its reason."""
    paths: dict[int, Path] = {}
    reasons: dict[int, str] = {}
    pairs = zip(cells.dataset.tolist(), cells.specimen_id.tolist(), strict=True)
    for place, (dataset, specimen) in enumerate(pairs):
        try:
            paths[place] = find_published(data, dataset, specimen)
        except StsError as error:
            reasons[place] = str(error)
    present = list(paths)
    with progress(len(present), "read scalograms") as bar:
        source = PublishedSource(
            list(paths.values()), images, choose_device(device), on_cell=bar.advance
        )
    reasons |= {present[at]: str(error) for at, error in source.faults.items()}
    places = [place for place in present if place not in reasons]
    return ReadScalograms(
        source=source,
        paths=tuple(paths[place] for place in places),
        places=tuple(places),
        left_out=tuple(
            LeftOut(
                specimen_id=str(cells.specimen_id[place]),
                label=str(cells.label[place]),
                dataset=str(cells.dataset[place]),
                reason=reasons[place],
            )
            for place in sorted(reasons)
        ),
    )


def predict_by_network(
    workspace: Workspace,
    job: NetworkPredictJob,
    *,
    device: str = "auto",
    workers: int = 0,
    write_nwb: Path | None = None,
) -> PredictResult:
    """Predict the class of every cell, and leave a table, a page and pictures.

    Parameters
    ----------
    write_nwb
        The folder for copies of the recordings with their results, None to write none.
    """
    stored = _load_network(workspace, job.architecture, device=device, name=job.name)
    # One sweep is enough for a network of one.
    reading = replace(job.source.reading, one_sweep=stored.card.images.one_sweep)
    cells, store = find_new_sweeps(replace(job.source, reading=reading), workers=workers)
    model = None
    if store is not None:
        bank = ImageBank(store, stored.card.images, choose_device(device))
        model = NetworkModel(model=stored, bank=bank, store=store, coverage=job.coverage)
    return predict_cells(
        workspace,
        job,
        study="sts-predict",
        name=f"{stored.card.name}-{stored.card.architecture.freeze}",
        sha256=stored.card.sha256,
        cells=cells,
        model=model,
        copies=make_copy_job(job.source, write_nwb, workers=workers),
    )
