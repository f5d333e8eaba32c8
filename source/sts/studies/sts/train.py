"""TRAIN: search on folds, refit, calibrate, open the holdout once, leave a model and a report."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.runs import Run, start_run
from sts.base.settings import to_dict
from sts.base.tracking import Mode, Tracker, track
from sts.base.workspace import Workspace
from sts.evaluation.calibration import Calibration, apply_temperature, calibrate
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import POOLED, Scores, by_dataset
from sts.learning.device import share_cores, share_devices
from sts.networks.checkpoint import Model, ModelCard, model_folder, save_model
from sts.networks.novelty import Novelty, measure_novelty
from sts.networks.predict import Outputs, run_network
from sts.networks.train import Fitted, fit
from sts.reports.calibration import say_calibration
from sts.reports.predictions import write_predictions
from sts.reports.trained import BEST_TRIAL, scores_for_card
from sts.search.address import read_address
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.search.workers import workers_beside
from sts.studies.sts.bench import STUDY, Bench, look_for_settings, make_bench
from sts.studies.sts.cohort import Cohort
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
# What is tracked of every epoch.
TRACKED: Final = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What TRAIN found."""

    model: Path
    """The folder of the model."""
    folder: Path
    """The folder of the run."""
    scores: dict[str, Scores]
    """On the holdout, pooled and by data set."""
    out_of_fold: dict[str, Scores]
    """Of the training cells, by the folds of the best trial."""
    trials: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Validated:
    """What the folds of the best trial say, and what the cells that were kept aside do."""

    searched: SearchResult
    out_of_fold: Predictions
    """Of the training cells, calibrated in each fold on cells that its network had not seen."""
    calibration: Calibration
    """Of the final network."""
    kept: Outputs
    """What the final network gives for the cells that were kept aside."""


def train(
    workspace: Workspace,
    job: TrainJob,
    *,
    data: Path,
    device: str = "auto",
    storage: str | None = None,
    wandb: Mode = "off",
    name: str | None = None,
    workers: int = 1,
) -> Trained:
    """Train a network from the cells in `data`; interrupted, the same call goes on.

    Parameters
    ----------
    name
        Of the model, in place of the freeze level that its folder is called by.
    workers
        Processes of this host that search together, each on a GPU of its own or all on the CPU;
        what follows the search is done by this one alone.
    """
    # Before the run writes down how it was called: an address is refused while it is in no file.
    read_address(storage)
    devices = share_devices(device, workers)
    bench = make_bench(job, data=data, device=devices[0])
    what = f"{job.architecture.backbone.name}-{job.architecture.freeze}"
    with start_run(workspace, study=STUDY, what=what, settings=job, resume=True) as run:
        tracker = track(wandb, folder=run.path, project=STUDY, name=what, settings=job)
        with _others(workspace, job, devices, data=data, storage=storage):
            searched = look_for_settings(workspace, bench, storage=storage)
        fitted = refit(bench, searched, run, tracker)
        validated = validate(bench, searched, fitted)
        trained = finish(workspace, bench, run, fitted, validated, name=name)
        tracker.finish({"balanced_accuracy": trained.scores[POOLED].balanced_accuracy.value})
    return replace(trained, folder=run.final)


def join(
    workspace: Workspace,
    job: TrainJob,
    *,
    data: Path,
    device: str = "auto",
    storage: str | None = None,
    workers: int = 1,
) -> None:
    """Take part in the search of another process until all trials are done."""
    read_address(storage)
    devices = share_devices(device, workers)
    bench = make_bench(job, data=data, device=devices[0])
    with _others(workspace, job, devices, data=data, storage=storage):
        look_for_settings(workspace, bench, storage=storage)


@contextlib.contextmanager
def _others(
    workspace: Workspace,
    job: TrainJob,
    devices: Sequence[str],
    *,
    data: Path,
    storage: str | None,
) -> Iterator[None]:
    """Let a process for each device but the first search beside this one."""
    shared = {
        "workspace": workspace,
        "job": job,
        "data": data,
        "storage": storage,
        "workers": len(devices),
    }
    others = [{**shared, "device": device} for device in devices[1:]]
    with workers_beside(_help, others), share_cores(len(devices), devices[0]):
        yield


def _help(
    workspace: Workspace,
    job: TrainJob,
    *,
    data: Path,
    device: str,
    storage: str | None,
    workers: int,
) -> None:
    """Search in a process of its own, one of several on this host."""
    bench = make_bench(job, data=data, device=device)
    with share_cores(workers, device):
        look_for_settings(workspace, bench, storage=storage)


def refit(bench: Bench, searched: SearchResult, run: Run, tracker: Tracker) -> Fitted:
    """Train on the training cells but for a part that tells when to stop, as in the folds."""
    settings = replace(bench.job.with_settings(searched.best), seed=bench.job.seed)
    counts = len(bench.fit_rows), len(bench.kept_rows)
    logger.info("refit on %d training cells, %d are kept aside", *counts)
    return fit(
        bench.job.architecture,
        bench.bank,
        bench.cohort.labels,
        train_rows=bench.fit_rows,
        validation_rows=bench.kept_rows,
        settings=settings,
        on_epoch=lambda epoch: tracker.log(
            {name: value for name, value in to_dict(epoch).items() if name in TRACKED},
            step=epoch.number,
        ),
        state=run.path / REFIT,
    )


def validate(bench: Bench, searched: SearchResult, fitted: Fitted) -> Validated:
    """Return what the folds say of the training cells, and calibrate on those kept aside."""
    kept = run_network(fitted.network, bench.bank.like(fitted.images), bench.kept_rows)
    calibration = calibrate(kept.logits, bench.cohort.labels[bench.kept_rows])
    say_calibration(calibration)
    return Validated(
        searched=searched,
        out_of_fold=predict_out_of_fold(bench.cohort, searched),
        calibration=calibration,
        kept=kept,
    )


def predict_out_of_fold(cohort: Cohort, searched: SearchResult) -> Predictions:
    """Return what each fold's network says of the cells it scored, at a temperature of its own."""
    folds = [fold.extras for fold in searched.best_trial.folds]
    found = [apply_temperature(np.array(fold["logits"]), fold["temperature"]) for fold in folds]
    rows = np.concatenate([fold["rows"] for fold in folds])
    return cohort.predictions(rows, np.concatenate(found))


def finish(
    workspace: Workspace,
    bench: Bench,
    run: Run,
    fitted: Fitted,
    validated: Validated,
    *,
    name: str | None = None,
) -> Trained:
    """Open the holdout, write the model and the report."""
    job, cohort = bench.job, bench.cohort
    rng = np.random.default_rng(job.seed)
    images = bench.bank.like(fitted.images)
    rows = cohort.open_holdout(f"TRAIN of {run.final.parent.name}, {run.final.name}")
    temperature = validated.calibration.temperature
    found = apply_temperature(run_network(fitted.network, images, rows).logits, temperature)
    predictions = cohort.predictions(rows, found)
    evaluated = Evaluated(predictions=predictions, scores=by_dataset(predictions, rng=rng))
    out_of_fold = by_dataset(validated.out_of_fold, rng=rng)
    trials = len(validated.searched.trials)
    card = ModelCard(
        name=job.architecture.backbone.name,
        architecture=job.architecture,
        images=fitted.images,
        dropout=fitted.settings.dropout,
        temperature=temperature,
        settings=fitted.settings,
        epochs=fitted.epochs,
        scores=scores_for_card(out_of_fold, evaluated.scores, trials=trials),
        data={
            "training_cells": len(cohort.train_rows),
            "kept_aside": len(bench.kept_rows),
            "holdout_cells": len(rows),
            "training_fingerprint": cohort.fingerprint(),
            "split": cohort.split.origin,
        },
    )
    folder = model_folder(workspace.models, job.architecture, name)
    model = Model(network=fitted.network, card=card, novelty=_novelty(bench, fitted, validated))
    card = save_model(folder, model)
    more = training_sections(
        run,
        validated.searched,
        out_of_fold=out_of_fold,
        calibration=validated.calibration,
        models=workspace.models,
    )
    write_test_report(run, card, evaluated, more=more)
    write_predictions(run.path / OUT_OF_FOLD, validated.out_of_fold)
    run.report(
        {
            "model": to_dict(card),
            "calibration": validated.calibration.to_dict(),
            "holdout": {name: each.to_dict() for name, each in evaluated.scores.items()},
            BEST_TRIAL: {name: each.to_dict() for name, each in out_of_fold.items()},
            "search": [to_dict(trial) for trial in _without_logits(validated.searched)],
        }
    )
    (run.path / REFIT).unlink(missing_ok=True)
    return Trained(
        model=folder,
        folder=run.path,
        scores=evaluated.scores,
        out_of_fold=out_of_fold,
        trials=trials,
    )


def _novelty(bench: Bench, fitted: Fitted, validated: Validated) -> Novelty:
    """Return how far the cells that were kept aside lie from those that were fitted."""
    seen = run_network(fitted.network, bench.bank.like(fitted.images), bench.fit_rows)
    return measure_novelty(seen.features, validated.kept.features)


def _without_logits(searched: SearchResult) -> Iterator[TrialRecord]:
    """Yield the trials as a report holds them: same settings, same seed, same text."""
    for trial in searched.trials:
        folds = tuple(
            FoldScore(fold.value, {"best_epoch": fold.extras["best_epoch"]}) for fold in trial.folds
        )
        yield replace(trial, folds=folds, duration_s=0.0, worker=None, attempts=0)
