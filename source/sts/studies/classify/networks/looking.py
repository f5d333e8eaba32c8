"""TEST and PREDICT of a network, and the cells that TEST and EXPLAIN look at."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Ints
from sts.base.workspace import Workspace
from sts.datasets.identity import identify_cells
from sts.learning.device import choose_device
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import Model
from sts.reports.called import Prediction
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import plain
from sts.studies.classify.looking import Tested, call_cells, refuse_other_cells, test_model
from sts.studies.classify.networks.cells import NetworkCohort, load_sweeps
from sts.studies.classify.networks.model import NetworkModel, stored_network
from sts.studies.classify.networks.published import check_parity, read_scalograms
from sts.studies.classify.new_cells import CellSource, find_new_sweeps
from sts.studies.classify.pages import LeftOut

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class LookJob:
    """Which stored network looks at which cells."""

    architecture: Architecture
    data: str
    cells: tuple[str, ...] = ()
    """EXPLAIN: specimens to draw; empty: one held-out cell of each class that was called right."""
    scalograms: str = "auto"
    """Where they come from: one of `cells.ORIGINS`."""
    seed: int = 0
    name: str | None = None
    """Of the model, where it has one of its own."""


@dataclass(frozen=True, kw_only=True)
class NetworkPredictJob:
    """Which new cells are looked at by which stored network."""

    architecture: Architecture
    source: CellSource
    name: str | None = None
    """Of the model, where it has one of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A stored network and the cells that it can look at."""

    model: NetworkModel
    """With the images of the cells of the cohort, by row."""
    cohort: NetworkCohort
    paths: tuple[Path, ...] = ()
    """Of published scalograms, by row; none where they are computed."""
    left_out: tuple[LeftOut, ...] = ()
    """Cells of the study that have no image."""


def test_network(workspace: Workspace, job: LookJob, *, device: str = "auto") -> Tested:
    """Score the stored network on the holdout and leave a report."""
    opened = open_study(workspace, job, device=device)
    model, cohort = opened.model, opened.cohort
    return test_model(workspace, job, model, cohort, study="sts-test", left_out=opened.left_out)


def open_study(workspace: Workspace, job: LookJob, *, device: str) -> Opened:
    """Return the stored network and the cells of the job, their images at hand."""
    model = stored_network(workspace, job.architecture, device=device, name=job.name)
    cohort = load_sweeps(Path(job.data), seed=job.seed, scalograms=job.scalograms)
    check_same_split(model, cohort)
    named = cohort.rows_of(job.cells)
    if cohort.is_published:
        return _open_published(model, cohort, job, named, device=device)
    bank = cohort.bank(model.card.images, device)
    return Opened(model=NetworkModel(model=model, bank=bank), cohort=cohort)


def _open_published(
    model: Model, cohort: NetworkCohort, job: LookJob, named: Ints, *, device: str
) -> Opened:
    """Read the held-out cells and those that are named; of the others no file is needed."""
    images = model.card.images
    check_parity(images, model.card.name)
    held_out = cohort.open_holdout("its published scalograms are read")
    wanted = np.union1d(held_out, named)
    cells = identify_cells(cohort.cells, wanted)
    read = read_scalograms(Path(job.data), cells, plain(images), device=device)
    for cell in read.left_out:
        if cell.specimen_id in job.cells:
            raise StsError(cell.reason)
    rows = wanted[list(read.places)]
    if not np.isin(rows, held_out).any():
        raise StsError(f"no held-out cell has a scalogram: {read.left_out[0].reason}")
    # They are in memory already.
    bank = ImageBank(read.source, images, choose_device(device), budget_bytes=0)
    return Opened(
        model=NetworkModel(model=model, bank=bank),
        cohort=cohort.only(rows),
        paths=read.paths,
        left_out=read.left_out,
    )


def check_same_split(model: Model, cohort: NetworkCohort) -> None:
    """Refuse a holdout of which the network may have seen some in training."""
    if model.card.data.get("training_fingerprint") is not None:
        refuse_other_cells(model.card, cohort)
    # Networks of others do not say; theirs is the published split.
    elif not cohort.split.is_published:
        logger.warning(
            "%s was trained on the published split and these cells are divided by %s: it may "
            "have seen some of those that are held out",
            *(model.card.name, cohort.split.origin),
        )


def predict_by_network(
    workspace: Workspace, job: NetworkPredictJob, *, device: str = "auto", workers: int = 0
) -> Prediction:
    """Say of every cell what it is, and leave a table, a page and pictures."""
    stored = stored_network(workspace, job.architecture, device=device, name=job.name)
    found, store = find_new_sweeps(job.source, workers=workers)
    model = None
    if store is not None:
        bank = ImageBank(store, stored.card.images, choose_device(device))
        model = NetworkModel(model=stored, bank=bank, store=store)
    return call_cells(
        workspace,
        job,
        study="sts-predict",
        what=f"{stored.card.name}-{stored.card.architecture.freeze}",
        sha256=stored.card.sha256,
        found=found,
        model=model,
    )
