"""TEST: a stored model on the holdout of the cells at hand."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.types import Ints
from sts.base.workspace import Workspace
from sts.datasets.identity import identify_cells
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import Scores, by_dataset
from sts.learning.device import choose_device
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import Model, load_model, model_folder
from sts.networks.predict import predict
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import plain
from sts.studies.sts.cohort import Cohort, load_cohort
from sts.studies.sts.pages import Evaluated, write_test_report
from sts.studies.sts.published import LeftOut, check_parity, list_left_out, read_cells

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class LookJob:
    """Which stored model looks at which cells."""

    architecture: Architecture
    data: str
    cells: tuple[str, ...] = ()
    """EXPLAIN: specimens to draw; empty: one held-out cell of each class that was called right."""
    scalograms: str = "auto"
    """Where they come from: one of `cohort.ORIGINS`."""
    seed: int = 0
    name: str | None = None
    """Of the model, where it has one of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A stored model and the cells that it can look at."""

    model: Model
    cohort: Cohort
    bank: ImageBank
    """Of the cells of the cohort, by row."""
    paths: tuple[Path, ...] = ()
    """Of published scalograms, by row; none where they are computed."""
    left_out: tuple[LeftOut, ...] = ()
    """Cells of the study that have no image."""

    @property
    def what(self) -> str:
        """Return the name of the model, as runs are called."""
        return f"{self.model.card.name}-{self.model.card.architecture.freeze}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Tested:
    """What TEST found."""

    folder: Path
    scores: dict[str, Scores]
    left_out: tuple[LeftOut, ...]


def test(workspace: Workspace, job: LookJob, *, device: str = "auto") -> Tested:
    """Score the stored model on the holdout and leave a report."""
    opened = open_study(workspace, job, device=device)
    model, cohort, what = opened.model, opened.cohort, opened.what
    with start_run(workspace, study="sts-test", what=what, settings=job) as run:
        rows = cohort.open_holdout(f"TEST of {what}, {run.final.name}")
        predictions = predictions_of(opened, rows)
        scores = by_dataset(predictions, rng=np.random.default_rng(job.seed))
        evaluated = Evaluated(predictions=predictions, scores=scores)
        more = list_left_out(run, opened.left_out)
        write_test_report(run, model.card, evaluated, more=more)
        run.report(
            {
                "model": {"name": what, "sha256": model.card.sha256},
                "holdout": {name: each.to_dict() for name, each in scores.items()},
                "left_out": len(opened.left_out),
            }
        )
    return Tested(folder=run.final, scores=scores, left_out=opened.left_out)


def open_study(workspace: Workspace, job: LookJob, *, device: str) -> Opened:
    """Return the stored model and the cells of the job, their images at hand."""
    model = stored_model(workspace, job.architecture, device=device, name=job.name)
    cohort = load_cohort(Path(job.data), seed=job.seed, scalograms=job.scalograms)
    check_same_split(model, cohort)
    named = cohort.rows_of(job.cells)
    if cohort.is_published:
        return _open_published(model, cohort, job, named, device=device)
    return Opened(model=model, cohort=cohort, bank=cohort.bank(model.card.images, device))


def _open_published(
    model: Model, cohort: Cohort, job: LookJob, named: Ints, *, device: str
) -> Opened:
    """Read the held-out cells and those that are named; of the others no file is needed."""
    images = model.card.images
    check_parity(images, model.card.name)
    held_out = cohort.open_holdout("its published scalograms are read")
    wanted = np.union1d(held_out, named)
    cells = identify_cells(cohort.cells, wanted)
    read = read_cells(Path(job.data), cells, plain(images), device=device)
    for cell in read.left_out:
        if cell.specimen_id in job.cells:
            raise StsError(cell.reason)
    rows = wanted[list(read.places)]
    if not np.isin(rows, held_out).any():
        raise StsError(f"no held-out cell has a scalogram: {read.left_out[0].reason}")
    return Opened(
        model=model,
        cohort=cohort.only(rows),
        # They are in memory already.
        bank=ImageBank(read.source, images, choose_device(device), budget_bytes=0),
        paths=read.paths,
        left_out=read.left_out,
    )


def stored_model(
    workspace: Workspace, architecture: Architecture, *, device: str, name: str | None = None
) -> Model:
    """Return the model that TRAIN or import-models has left in the workspace."""
    folder = model_folder(workspace.models, architecture, name)
    return load_model(folder, wanted=architecture, device=choose_device(device))


def predictions_of(opened: Opened, rows: Ints) -> Predictions:
    """Return what the stored model says of these rows."""
    card = opened.model.card
    found = predict(
        opened.model.network, opened.bank.like(card.images), rows, temperature=card.temperature
    )
    return opened.cohort.predictions(rows, found)


def check_same_split(model: Model, cohort: Cohort) -> None:
    """Refuse a holdout of which the model may have seen some in training."""
    trained_on = model.card.data.get("training_fingerprint")
    if trained_on is None:
        # Models of others do not say; theirs is the published split.
        if not cohort.split.is_published:
            logger.warning(
                "%s was trained on the published split and these cells are divided by %s: it may "
                "have seen some of those that are held out",
                *(model.card.name, cohort.split.origin),
            )
        return
    # Sweeps are compared where there are any.
    if not trained_on.startswith(cohort.fingerprint()):
        raise StsError(
            f"{model.card.name} was trained on other cells than {cohort.split.origin} says: its "
            "holdout figures would mean nothing; train it again or name its --data"
        )
