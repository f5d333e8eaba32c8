"""TRAIN: search on folds, refit, calibrate, open the holdout once, leave a model and a report."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from sts.base.errors import StsError
from sts.base.files import make_folder
from sts.base.parallel import worker_count
from sts.base.runs import Run, start_run
from sts.base.settings import digest, to_dict
from sts.base.tracking import Mode, Tracker, track
from sts.base.workspace import Workspace
from sts.boosting.checkpoint import (
    Baseline,
    BaselineCard,
    baseline_folder,
    load_card,
    save_baseline,
)
from sts.boosting.novelty import measure_novelty
from sts.boosting.stack import Classifier
from sts.evaluation.calibration import apply_temperature, fit_temperature
from sts.evaluation.scores import POOLED, Scores, by_dataset
from sts.reports.trained import scores_for_card
from sts.search.address import read_address
from sts.search.search import search
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.studies.baseline.ahead import Ahead
from sts.studies.baseline.cohort import Cohort, Fold, Source, load_cohort
from sts.studies.baseline.explain import explain
from sts.studies.baseline.pages import Evaluated, Validated, training_sections, write_test_report
from sts.studies.baseline.settings import TrainJob

logger = logging.getLogger("sts")

STUDY: Final = "baseline"
# Logits as they are kept with a fold: enough digits to calibrate by.
DIGITS: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What TRAIN found."""

    model: Path
    """The folder of the model."""
    folder: Path
    """The folder of the run."""
    cross_validation: dict[str, Scores]
    """Of the training cells, out of fold, pooled and by data set."""
    scores: dict[str, Scores]
    """On the holdout."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What every stage of a training works with."""

    job: TrainJob
    cohort: Cohort
    folds: list[Fold]
    workers: int

    def score(self, found: dict[str, Any], number: int) -> FoldScore:
        """Fit on one fold and return its balanced accuracy."""
        fold = self.folds[number]
        logits = np.round(
            self.fit(found, fold.fit).logits(self.cohort.table.X[fold.scored]), DIGITS
        )
        truth = self.cohort.truth[fold.scored]
        value = float(balanced_accuracy_score(truth, logits.argmax(axis=1)))
        return FoldScore(value, {"logits": logits.tolist()})

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


def train(
    workspace: Workspace,
    job: TrainJob,
    *,
    source: Source,
    workers: int | None = None,
    storage: str | None = None,
    wandb: Mode = "off",
) -> Trained:
    """Train a model from the cells of a source; interrupted, the same call goes on."""
    # Before the run writes down how it was called: an address is refused while it is in no file.
    read_address(storage)
    bench = make_bench(job, source=source, workers=workers)
    with start_run(workspace, study=STUDY, what=job.what, settings=job, resume=True) as run:
        tracker = track(wandb, folder=run.path, project=STUDY, name=job.what, settings=job)
        searched = look_for_settings(workspace, bench, storage=storage, tracker=tracker)
        validated = validate(bench, searched)
        logger.info("refit on %d cells", len(bench.cohort.train_rows))
        classifier = bench.fit(searched.best, bench.cohort.train_rows)
        trained = finish(workspace, bench, run, classifier, validated)
        tracker.finish({"balanced_accuracy": trained.scores[POOLED].balanced_accuracy.value})
    return replace(trained, folder=run.final)


def make_bench(job: TrainJob, *, source: Source, workers: int | None = None) -> Bench:
    """Load the cells and divide them."""
    cohort = load_cohort(source, job.chosen, seed=job.seed)
    folds = cohort.folds(job.trials.folds, seed=job.seed)
    return Bench(job=job, cohort=cohort, folds=folds, workers=worker_count(workers))


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
    """Return the out-of-fold predictions of the training cells, and calibrate on them."""
    rows = np.concatenate([fold.scored for fold in bench.folds])
    found = np.concatenate([fold.extras["logits"] for fold in searched.best_trial.folds])
    temperature = fit_temperature(found, bench.cohort.truth[rows])
    before, after = (
        bench.cohort.predictions(rows, apply_temperature(found, each))
        for each in (1.0, temperature)
    )
    rng = np.random.default_rng(bench.job.seed)
    return Validated(
        searched=searched,
        before=before,
        after=after,
        temperature=temperature,
        scores=by_dataset(after, rng=rng),
    )


def finish(
    workspace: Workspace, bench: Bench, run: Run, classifier: Classifier, validated: Validated
) -> Trained:
    """Open the holdout, write the model and the report."""
    job, cohort = bench.job, bench.cohort
    rows = cohort.open_holdout(f"TRAIN of {job.what}, {run.final.name}")
    model = model_of(bench, classifier, validated)
    predictions = cohort.predictions(rows, model.probabilities(cohort.table.X[rows]))
    scores = by_dataset(predictions, rng=np.random.default_rng(job.seed))
    card = replace(
        model.card,
        scores=scores_for_card(validated.scores[POOLED], scores),
        data=_data(bench, rows),
    )
    folder = baseline_folder(workspace.models, job.model, job.variant)
    _tell_what_is_replaced(folder, cohort)
    card = save_baseline(folder, replace(model, card=card))
    evaluated = Evaluated(predictions=predictions, scores=scores)
    explained = explain(run, model, cohort.table.rows(rows), cohort.truth[rows], seed=job.seed)
    more = training_sections(run, validated, models=workspace.models)
    write_test_report(run, card, evaluated, more=[*more, *explained.sections], job=job)
    run.report(
        {
            "model": to_dict(card),
            "holdout": {name: each.to_dict() for name, each in scores.items()},
            "cross_validation": {n: each.to_dict() for n, each in validated.scores.items()},
            "importance": explained.importance,
            "search": [to_dict(trial) for trial in _without_logits(validated.searched)],
        }
    )
    return Trained(model=folder, folder=run.path, cross_validation=validated.scores, scores=scores)


def model_of(bench: Bench, classifier: Classifier, validated: Validated) -> Baseline:
    """Return the model with its card, as yet without scores."""
    job, table = bench.job, bench.cohort.table
    X = table.X[bench.cohort.train_rows]
    card = BaselineCard(
        name=job.kind.title,
        model=job.model,
        features=job.variant,
        names=table.names,
        times=job.chosen.times,
        temperature=validated.temperature,
        settings=to_dict(job.configured(validated.searched.best)),
        seed=job.seed,
    )
    return Baseline(
        classifier=classifier,
        card=card,
        novelty=measure_novelty(X),
        X=X,
        y=bench.cohort.truth[bench.cohort.train_rows],
    )


def _tell_what_is_replaced(folder: Path, cohort: Cohort) -> None:
    """Warn if a model of other cells stands where this one goes."""
    with contextlib.suppress(StsError):
        there = load_card(folder).data
        if there.get("training_fingerprint") != cohort.fingerprint():
            cells = there.get("training_cells")
            logger.warning("%s held a model of %s other training cells, replaced", folder, cells)


def _data(bench: Bench, held_out: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {
        "training_cells": len(bench.cohort.train_rows),
        "holdout_cells": len(held_out),
        "training_fingerprint": bench.cohort.fingerprint(),
        "split": bench.cohort.split.origin,
    }


def _without_logits(searched: SearchResult) -> Iterator[TrialRecord]:
    """Yield the trials as a report holds them: same settings, same seed, same text."""
    for trial in searched.trials:
        folds = tuple(FoldScore(fold.value) for fold in trial.folds)
        yield replace(trial, folds=folds, duration_s=0.0, worker=None, attempts=0)
