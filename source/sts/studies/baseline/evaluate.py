"""TEST: a stored model on the holdout of the cells at hand."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.workspace import Workspace
from sts.evaluation.scores import Scores, by_dataset
from sts.studies.baseline.cohort import Cohort, Source, load_cohort
from sts.studies.baseline.pages import Evaluated, write_test_report
from sts.studies.baseline.settings import Chosen
from sts.tabular.checkpoint import Baseline, baseline_folder, load_baseline


@dataclass(frozen=True, kw_only=True)
class TestJob:
    """Which model is tested on which cells."""

    __test__ = False  # not a test, whatever pytest takes the name for

    model: str
    variant: str
    data: str
    seed: int = 0
    name: str | None = None
    """Of the model, where it has one of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tested:
    """What TEST found."""

    folder: Path
    scores: dict[str, Scores]


def test(workspace: Workspace, job: TestJob, *, source: Source) -> Tested:
    """Score the stored model on the holdout and leave a report."""
    model = stored_model(workspace, job.model, job.variant, name=job.name)
    card = model.card
    # The model says which features it takes.
    chosen = Chosen(title=card.features, names=card.names, times=card.times)
    cohort = load_cohort(source, chosen, seed=job.seed)
    check_same_split(model, cohort)
    what = f"{card.name}-{card.features}"
    with start_run(workspace, study="baseline-test", what=what, settings=job) as run:
        rows = cohort.open_holdout(f"TEST of {what}, {run.final.name}")
        predictions = cohort.predictions(rows, model.probabilities(cohort.table.X[rows]))
        scores = by_dataset(predictions, rng=np.random.default_rng(job.seed))
        write_test_report(run, card, Evaluated(predictions=predictions, scores=scores))
        run.report(
            {
                "model": {"name": what, "sha256": card.sha256},
                "holdout": {name: each.to_dict() for name, each in scores.items()},
            }
        )
    return Tested(folder=run.final, scores=scores)


def stored_model(
    workspace: Workspace, model: str, variant: str, *, name: str | None = None
) -> Baseline:
    """Return the model that TRAIN has left in the workspace."""
    return load_baseline(baseline_folder(workspace.models, model, variant, name))


def check_same_split(model: Baseline, cohort: Cohort) -> None:
    """Refuse a holdout of which the model may have seen some in training."""
    if model.card.data.get("training_fingerprint") != cohort.fingerprint():
        raise StsError(
            f"{model.card.name} was trained on other cells than {cohort.split.origin} says: its "
            "holdout figures would mean nothing; train it again or name its --data"
        )
