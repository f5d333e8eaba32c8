"""TRAIN: search on folds, refit, calibrate, open the holdout once, leave a model and a report."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np

from sts.base.runs import Run, start_run
from sts.base.settings import to_dict
from sts.base.tracking import Mode, Tracker, track
from sts.base.workspace import Workspace
from sts.evaluation.calibration import apply_temperature, fit_temperature
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import POOLED, Scores, by_dataset
from sts.networks.backbones import head_of
from sts.networks.checkpoint import Model, ModelCard, model_folder, save_model
from sts.networks.novelty import measure_novelty
from sts.networks.predict import features, logits
from sts.networks.train import Fitted, fit
from sts.reports.predictions import write_predictions
from sts.reports.trained import scores_for_card
from sts.search.address import read_address
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.studies.sts.bench import STUDY, Bench, look_for_settings, make_bench
from sts.studies.sts.pages import (
    Evaluated,
    training_sections,
    write_test_report,
)
from sts.studies.sts.settings import TrainJob

logger = logging.getLogger("sts")

REFIT: Final = "refit.safetensors"
# What the folds say of the training cells, for others to join.
OUT_OF_FOLD: Final = "out_of_fold.csv"


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What TRAIN found."""

    model: Path
    """The folder of the model."""
    folder: Path
    """The folder of the run."""
    scores: dict[str, Scores]
    """On the holdout, pooled and by data set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Validated:
    """What the folds of the best trial say."""

    searched: SearchResult
    before: Predictions
    """Out of fold, as trained."""
    after: Predictions
    """The same, calibrated."""
    temperature: float


def train(
    workspace: Workspace,
    job: TrainJob,
    *,
    data: Path,
    device: str = "auto",
    storage: str | None = None,
    wandb: Mode = "off",
) -> Trained:
    """Train a network from the cells in `data`; interrupted, the same call goes on."""
    # Before the run writes down how it was called: an address is refused while it is in no file.
    read_address(storage)
    bench = make_bench(job, data=data, device=device)
    what = f"{job.architecture.backbone.name}-{job.architecture.freeze}"
    with start_run(workspace, study=STUDY, what=what, settings=job, resume=True) as run:
        tracker = track(wandb, folder=run.path, project=STUDY, name=what, settings=job)
        searched = look_for_settings(workspace, bench, storage=storage)
        fitted = refit(bench, searched, run, tracker)
        validated = validate(bench, searched)
        trained = finish(workspace, bench, run, fitted, validated)
        tracker.finish({"balanced_accuracy": trained.scores[POOLED].balanced_accuracy.value})
    return replace(trained, folder=run.final)


def join(
    workspace: Workspace,
    job: TrainJob,
    *,
    data: Path,
    device: str = "auto",
    storage: str | None = None,
) -> None:
    """Take part in the search of another process until all trials are done."""
    look_for_settings(workspace, make_bench(job, data=data, device=device), storage=storage)


def refit(bench: Bench, searched: SearchResult, run: Run, tracker: Tracker) -> Fitted:
    """Train on all training cells for as long as the folds took to their best, on average."""
    epochs = round(fmean(fold.extras["best_epoch"] for fold in searched.best_trial.folds))
    settings = replace(
        bench.job.with_settings(searched.best), epochs=max(1, epochs), seed=bench.job.seed
    )
    logger.info("refit on %d cells for %d epochs", len(bench.cohort.train_rows), epochs)
    return fit(
        bench.job.architecture,
        bench.bank,
        bench.cohort.labels,
        train_rows=bench.cohort.train_rows,
        settings=settings,
        on_epoch=lambda epoch: tracker.log(
            {"train_loss": epoch.train_loss, "train_accuracy": epoch.train_accuracy},
            step=epoch.number,
        ),
        state=run.path / REFIT,
    )


def validate(bench: Bench, searched: SearchResult) -> Validated:
    """Return the out-of-fold predictions of the training cells, and calibrate on them."""
    rows: list[int] = []
    found: list[list[float]] = []
    for fold in searched.best_trial.folds:
        rows += fold.extras["rows"]
        found += fold.extras["logits"]
    where, out_of_fold = np.array(rows), np.array(found)
    temperature = fit_temperature(out_of_fold, bench.cohort.labels[where])
    return Validated(
        searched=searched,
        before=bench.cohort.predictions(where, apply_temperature(out_of_fold, 1.0)),
        after=bench.cohort.predictions(where, apply_temperature(out_of_fold, temperature)),
        temperature=temperature,
    )


def finish(
    workspace: Workspace, bench: Bench, run: Run, fitted: Fitted, validated: Validated
) -> Trained:
    """Open the holdout, write the model and the report."""
    job, cohort = bench.job, bench.cohort
    rng = np.random.default_rng(job.seed)
    images = bench.bank.like(fitted.images)
    rows = cohort.open_holdout(f"TRAIN of {run.final.parent.name}, {run.final.name}")
    found = apply_temperature(logits(fitted.network, images, rows), validated.temperature)
    predictions = cohort.predictions(rows, found)
    evaluated = Evaluated(predictions=predictions, scores=by_dataset(predictions, rng=rng))
    cross_validation = by_dataset(validated.after, rng=rng)
    head = head_of(fitted.network, job.architecture)
    seen = features(fitted.network, head, images, cohort.train_rows)
    card = ModelCard(
        name=job.architecture.backbone.name,
        architecture=job.architecture,
        images=fitted.images,
        dropout=fitted.settings.dropout,
        temperature=validated.temperature,
        settings=fitted.settings,
        epochs=fitted.epochs,
        scores=scores_for_card(cross_validation[POOLED], evaluated.scores),
        data={
            "training_cells": len(cohort.train_rows),
            "holdout_cells": len(rows),
            "training_fingerprint": cohort.fingerprint(),
            "split": cohort.split.origin,
        },
    )
    folder = model_folder(workspace.models, job.architecture)
    model = Model(network=fitted.network, card=card, novelty=measure_novelty(seen))
    card = save_model(folder, model)
    more = training_sections(
        run,
        validated.searched,
        cross_validation=cross_validation,
        before=validated.before,
        after=validated.after,
        temperature=validated.temperature,
        models=workspace.models,
    )
    write_test_report(run, card, evaluated, more=more)
    write_predictions(run.path / OUT_OF_FOLD, validated.after)
    run.report(
        {
            "model": to_dict(card),
            "holdout": {name: each.to_dict() for name, each in evaluated.scores.items()},
            "cross_validation": {name: each.to_dict() for name, each in cross_validation.items()},
            "search": [to_dict(trial) for trial in _without_logits(validated.searched)],
        }
    )
    (run.path / REFIT).unlink(missing_ok=True)
    return Trained(model=folder, folder=run.path, scores=evaluated.scores)


def _without_logits(searched: SearchResult) -> Iterator[TrialRecord]:
    """Yield the trials as a report holds them: same settings, same seed, same text."""
    for trial in searched.trials:
        folds = tuple(
            FoldScore(fold.value, {"best_epoch": fold.extras["best_epoch"]}) for fold in trial.folds
        )
        yield replace(trial, folds=folds, duration_s=0.0, worker=None, attempts=0)
