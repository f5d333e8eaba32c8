"""TRAIN of a network: its folds, its refit, and the processes that search beside each other."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.base.tracking import Mode, Tracker
from sts.base.types import Floats
from sts.base.workspace import Workspace
from sts.evaluation.calibration import apply_temperature, calibrate
from sts.evaluation.predictions import Predictions
from sts.learning.device import share_cores, share_devices
from sts.networks.checkpoint import Model, ModelCard
from sts.networks.novelty import measure_network_novelty
from sts.networks.predict import run_network
from sts.networks.train import fit
from sts.reports.figures.training import FoldCurves, draw_curves
from sts.reports.page import Block, Picture
from sts.scalograms.bank import ImageBank
from sts.search.address import read_address
from sts.search.trials import FoldScore, SearchResult
from sts.search.workers import workers_beside
from sts.studies.classify.networks.cells import NetworkCohort, load_sweeps
from sts.studies.classify.networks.model import NetworkModel
from sts.studies.classify.networks.settings import NetworkJob
from sts.studies.classify.training import (
    DIGITS,
    REFIT,
    Experiment,
    Trained,
    look_for_settings,
    train,
)

# What is tracked of every epoch.
TRACKED: Final = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkExperiment(Experiment):
    """A network and the images of its cells; it is stopped by those that are kept aside."""

    job: NetworkJob
    cohort: NetworkCohort
    bank: ImageBank

    study: ClassVar[str] = "sts"

    @property
    def about(self) -> dict[str, Any]:
        """Return what scores depend on besides what is searched."""
        return {
            "architecture": to_dict(self.job.architecture),
            "images": to_dict(self.bank.settings),
            "base": to_dict(self.job.base),
            "group_by": self.job.group_by,
            "cells": self.cohort.fingerprint(),
        }

    def score(self, found: dict[str, Any], number: int) -> FoldScore:
        """Train on one fold and return its balanced accuracy."""
        fold = self.folds[number]
        fitted = fit(
            self.job.architecture,
            self.bank,
            self.cohort.truth,
            train_rows=fold.fit,
            validation_rows=fold.validation,
            settings=replace(self.job.configured(found), seed=self.job.seed + number),
        )
        images = self.bank.like(fitted.images)
        found_logits = run_network(fitted.network, images, fold.scored).logits
        unseen = run_network(fitted.network, images, fold.validation).logits
        calibration = calibrate(unseen, self.cohort.truth[fold.validation])
        truth = self.cohort.truth[fold.scored]
        return FoldScore(
            float(balanced_accuracy_score(truth, found_logits.argmax(axis=1))),
            {
                "best_epoch": fitted.best_epoch,
                "curves": [to_dict(epoch) for epoch in fitted.curves],
                "rows": fold.scored.tolist(),
                "logits": np.round(found_logits, DIGITS).tolist(),
                "temperature": calibration.temperature,
            },
        )

    def refit(
        self, found: dict[str, Any], run: Run, tracker: Tracker
    ) -> tuple[NetworkModel, Floats]:
        """Train on the training cells but for a part that tells when to stop, as in the folds."""
        job = self.job
        fitted = fit(
            job.architecture,
            self.bank,
            self.cohort.truth,
            train_rows=self.fit_rows,
            validation_rows=self.kept_rows,
            settings=replace(job.configured(found), seed=job.seed),
            on_epoch=lambda epoch: tracker.log(
                {name: value for name, value in to_dict(epoch).items() if name in TRACKED},
                step=epoch.number,
            ),
            state=run.path / REFIT,
        )
        card = ModelCard(
            name=job.architecture.backbone.name,
            architecture=job.architecture,
            images=fitted.images,
            dropout=fitted.settings.dropout,
            settings=fitted.settings,
            epochs=fitted.epochs,
        )
        plain = Model(network=fitted.network, card=card)
        model = NetworkModel(model=plain, bank=self.bank.like(fitted.images))
        kept = model.look(self.kept_rows)
        # How far the cells that were kept aside lie from those that were fitted.
        novelty = measure_network_novelty(model.look(self.fit_rows).features, kept.features)
        return replace(model, model=replace(plain, novelty=novelty)), kept.logits

    def predict_out_of_fold(self, searched: SearchResult) -> Predictions:
        """Return what each fold's network says of the cells it scored, at its own temperature.

        That comes from cells which the network had not seen either: those that told when to stop.
        """
        folds = [fold.extras for fold in searched.best_trial.folds]
        found = [apply_temperature(np.array(fold["logits"]), fold["temperature"]) for fold in folds]
        rows = np.concatenate([fold["rows"] for fold in folds])
        return self.cohort.predictions(rows, np.concatenate(found))

    def draw_curves(self, run: Run, searched: SearchResult) -> list[Block]:
        """Draw losses and accuracies by epoch, fold by fold."""
        folds = [_fold_curves(fold.extras) for fold in searched.best_trial.folds]
        curves = draw_curves(run.figures / "curves", folds)
        return [Picture(files=curves, caption="Every fold, with mean and spread.")]


def _fold_curves(extras: Mapping[str, Any]) -> FoldCurves:
    epochs = extras["curves"]
    return FoldCurves(
        train_loss=[epoch["train_loss"] for epoch in epochs],
        train_accuracy=[epoch["train_accuracy"] for epoch in epochs],
        validation_loss=[epoch["validation_loss"] for epoch in epochs],
        validation_accuracy=[epoch["validation_accuracy"] for epoch in epochs],
        best_epoch=extras["best_epoch"],
    )


def prepare_network(job: NetworkJob, *, data: Path, device: str = "auto") -> NetworkExperiment:
    """Load the cells and divide them; images are made when they are first asked for."""
    cohort = load_sweeps(data, group_by=job.group_by, seed=job.seed)
    images = job.architecture.images(job.image_size)
    fit_rows, kept_rows = cohort.keep_aside(group_by=job.group_by, seed=job.seed)
    return NetworkExperiment(
        job=job,
        cohort=cohort,
        bank=cohort.bank(images, device),
        folds=cohort.folds(job.trials.folds, group_by=job.group_by, seed=job.seed),
        fit_rows=fit_rows,
        kept_rows=kept_rows,
    )


def train_scalogram_network(
    workspace: Workspace,
    job: NetworkJob,
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
    workers
        Processes of this host that search together, each on a GPU of its own or all on the CPU;
        what follows the search is done by this one alone.
    """
    devices = share_devices(device, workers)
    experiment = prepare_network(job, data=data, device=devices[0])
    beside = _others(workspace, job, devices, data=data, storage=storage)
    return train(workspace, experiment, storage=storage, wandb=wandb, name=name, beside=beside)


def join_search(
    workspace: Workspace,
    job: NetworkJob,
    *,
    data: Path,
    device: str = "auto",
    storage: str | None = None,
    workers: int = 1,
) -> None:
    """Take part in the search of another process until all trials are done."""
    read_address(storage)
    devices = share_devices(device, workers)
    experiment = prepare_network(job, data=data, device=devices[0])
    with _others(workspace, job, devices, data=data, storage=storage):
        look_for_settings(workspace, experiment, storage=storage)


@contextlib.contextmanager
def _others(
    workspace: Workspace,
    job: NetworkJob,
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
    job: NetworkJob,
    *,
    data: Path,
    device: str,
    storage: str | None,
    workers: int,
) -> None:
    """Search in a process of its own, one of several on this host."""
    experiment = prepare_network(job, data=data, device=device)
    with share_cores(workers, device):
        look_for_settings(workspace, experiment, storage=storage)
