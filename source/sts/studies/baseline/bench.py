"""What every stage of a training works with, the search on its folds, and what they say."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from sts.base.files import make_folder
from sts.base.parallel import worker_count
from sts.base.settings import digest
from sts.base.tracking import Tracker
from sts.base.types import Ints
from sts.base.workspace import Workspace
from sts.evaluation.calibration import calibrate_each
from sts.evaluation.scores import by_dataset
from sts.search.search import search
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.studies.baseline.ahead import Ahead
from sts.studies.baseline.cohort import Cohort, Fold, Source, load_cohort
from sts.studies.baseline.pages import Validated
from sts.studies.baseline.settings import TrainJob
from sts.tabular.estimators import Classifier, logits_of

STUDY: Final = "baseline"
# Logits as they are kept with a fold: enough digits to calibrate by.
DIGITS: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What every stage of a training works with."""

    job: TrainJob
    cohort: Cohort
    folds: list[Fold]
    compared_rows: Ints
    """Training cells that new ones are compared with, and the final model is fitted on."""
    kept_rows: Ints
    """Training cells that it is calibrated on, and that say how far is too far."""
    workers: int

    def score(self, found: dict[str, Any], number: int) -> FoldScore:
        """Fit on one fold and return its balanced accuracy."""
        fold = self.folds[number]
        classifier = self.fit(found, fold.fit)
        logits = np.round(logits_of(classifier, self.cohort.table.X[fold.scored]), DIGITS)
        truth = self.cohort.truth[fold.scored]
        value = float(balanced_accuracy_score(truth, logits.argmax(axis=1)))
        return FoldScore(value, {"logits": logits.tolist()})

    @property
    def fit_rows(self) -> Ints:
        """Return what the final model is fitted on; the published protocol keeps nothing aside."""
        return self.cohort.train_rows if self.job.published else self.compared_rows

    def fit(self, found: dict[str, Any], rows: np.ndarray[Any, Any]) -> Classifier:
        """Fit on these rows with these settings."""
        table, job = self.cohort.table, self.job
        return job.kind.fit(
            table.X[rows],
            self.cohort.truth[rows],
            job.configured(found),
            seed=job.seed,
            names=table.names,
        )


def make_bench(job: TrainJob, *, source: Source, workers: int | None = None) -> Bench:
    """Load the cells and divide them."""
    cohort = load_cohort(source, job.chosen, group_by=job.group_by, seed=job.seed)
    folds = cohort.folds(job.trials.folds, group_by=job.group_by, seed=job.seed)
    compared, kept = cohort.keep_aside(group_by=job.group_by, seed=job.seed)
    return Bench(
        job=job,
        cohort=cohort,
        folds=folds,
        compared_rows=compared,
        kept_rows=kept,
        workers=worker_count(workers),
    )


def look_for_settings(
    workspace: Workspace,
    bench: Bench,
    *,
    storage: str | None = None,
    tracker: Tracker | None = None,
) -> SearchResult:
    """Search by balanced accuracy on the folds of the training cells; others may join in."""
    job, cells = bench.job, bench.cohort.fingerprint()
    about = {"model": job.model, "settings": job.settings, "cells": cells}
    place: str | Path = storage or workspace.output / STUDY / "searches.sqlite"
    if isinstance(place, Path):
        make_folder(place.parent)

    def tell(trial: TrialRecord) -> None:
        if tracker is not None and trial.value is not None:
            tracker.log({"mean_balanced_accuracy": trial.value}, step=trial.number)

    # More trials go on with the study that fewer began; other cells begin one of their own.
    any_length = replace(job, search=replace(job.search, trials=1))
    with Ahead(bench.score, job.trials.folds, workers=bench.workers) as score:
        return search(
            score,
            job.space,
            job.trials,
            storage=place,
            name=f"{job.what}-{digest(any_length)}-{cells[:8]}",
            about=about,
            on_trial=tell,
        )


def validate(bench: Bench, searched: SearchResult) -> Validated:
    """Return what the folds say of the training cells, calibrated fold by fold.

    Each cell is at a temperature that its fold's model got on other cells that it had not seen.
    """
    rows = [fold.scored for fold in bench.folds]
    found = [np.array(fold.extras["logits"]) for fold in searched.best_trial.folds]
    calibrated = [
        calibrate_each(logits, bench.cohort.truth[scored])
        for logits, scored in zip(found, rows, strict=True)
    ]
    predictions = bench.cohort.predictions(np.concatenate(rows), np.concatenate(calibrated))
    rng = np.random.default_rng(bench.job.seed)
    return Validated(
        searched=searched,
        logits=np.concatenate(found),
        out_of_fold=predictions,
        scores=by_dataset(predictions, rng=rng),
    )
