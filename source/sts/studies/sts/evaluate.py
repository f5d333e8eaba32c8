"""TEST: a stored model on the holdout of the cells at hand."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.types import Ints
from sts.base.workspace import Workspace
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import Scores, by_dataset
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import Model, load_model, model_folder
from sts.networks.images import ImageBank
from sts.networks.predict import predict
from sts.scalograms.device import choose_device
from sts.studies.sts.cohort import Cohort, load_cohort
from sts.studies.sts.pages import Evaluated, write_test_report


@dataclass(frozen=True, kw_only=True)
class TestJob:
    """Which model is tested on which cells."""

    __test__ = False  # not a test, whatever pytest takes the name for

    architecture: Architecture
    data: str
    group_by: str = "specimen"
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Tested:
    """What TEST found."""

    folder: Path
    scores: dict[str, Scores]


def test(workspace: Workspace, job: TestJob, *, device: str = "auto") -> Tested:
    """Score the stored model on the holdout and leave a report."""
    model = stored_model(workspace, job.architecture, device=device)
    cohort = load_cohort(Path(job.data), group_by=job.group_by, seed=job.seed)
    check_same_split(model, cohort)
    bank = cohort.bank(model.card.images, device)
    what = f"{model.card.name}-{model.card.architecture.freeze}"
    with start_run(workspace, study="sts-test", what=what, settings=job) as run:
        rows = cohort.open_holdout(f"TEST of {what}, {run.final.name}")
        predictions = predictions_of(model, bank, cohort, rows)
        scores = by_dataset(predictions, rng=np.random.default_rng(job.seed))
        write_test_report(run, model.card, Evaluated(predictions=predictions, scores=scores))
        run.report(
            {
                "model": {"name": what, "sha256": model.card.sha256},
                "holdout": {name: each.to_dict() for name, each in scores.items()},
            }
        )
    return Tested(folder=run.final, scores=scores)


def stored_model(workspace: Workspace, architecture: Architecture, *, device: str) -> Model:
    """Return the model that TRAIN or import-models has left in the workspace."""
    folder = model_folder(workspace.models, architecture)
    return load_model(folder, wanted=architecture, device=choose_device(device))


def predictions_of(model: Model, bank: ImageBank, cohort: Cohort, rows: Ints) -> Predictions:
    """Return what a stored model says of these rows."""
    found = predict(
        model.network, bank.like(model.card.images), rows, temperature=model.card.temperature
    )
    return cohort.predictions(rows, found)


def check_same_split(model: Model, cohort: Cohort) -> None:
    """Refuse a holdout of which the model may have seen some in training."""
    trained_on = model.card.data.get("training_fingerprint")
    # Models of others do not say; theirs is the published split.
    if trained_on is not None and trained_on != cohort.fingerprint():
        raise StsError(
            f"{model.card.name} was trained on other cells than {cohort.split.origin} says: its "
            "holdout figures would mean nothing; train it again or name its --data"
        )
