"""TRAIN of a network: its settings, folds and refit, and processes that search together."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from sts.base.errors import StsError
from sts.base.runs import Run
from sts.base.settings import from_dict, to_dict
from sts.base.tracking import Mode, Tracker
from sts.base.types import Floats
from sts.base.workspace import Workspace
from sts.evaluation.calibration import apply_temperature, calibrate
from sts.evaluation.predictions import Predictions
from sts.learning.device import count_cores, share_cores, share_devices, use_cores
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import Model, ModelCard, model_folder
from sts.networks.novelty import measure_network_novelty
from sts.networks.predict import run_network
from sts.networks.settings import SPACE, TrainSettings
from sts.networks.train import fit
from sts.reports.figures.training import CURVES, FoldCurves, draw_curves, write_curves
from sts.reports.page import Block, Picture
from sts.scalograms.bank import ImageBank
from sts.search.address import read_address
from sts.search.trials import Choice, Float, FoldScore, Int, Parameter, SearchResult, SearchSettings
from sts.studies.classify.models import TrainJob, read_settings
from sts.studies.classify.networks.folds import FoldProcesses
from sts.studies.classify.networks.model import NetworkCohort, NetworkModel, load_sweeps
from sts.studies.classify.training import (
    LOGIT_DIGITS,
    REFIT,
    Experiment,
    Score,
    Trained,
    search_settings,
    train,
)

PARAMETER_KINDS: Final[dict[str, Callable[..., Parameter]]] = {
    "choice": Choice,
    "log_float": partial(Float, log=True),
    "int": Int,
}
# Settings of the demo, by the number of the network.
# Wide enough to separate spikes. In 12 rows ResNet18 learns nearly as much as in 32, in less time;
# InceptionV3 and DenseNet121 need more height, MobileNetV2 was not tried.
DEMO_SIZE: Final = {1: (12, 384), 2: (80, 240), 3: (32, 384), 4: (32, 384), 5: None}
# Random weights need a rate that increases, then decreases; small networks need more epochs.
DEMO_EPOCHS: Final = {1: 6, 2: 6, 3: 6, 4: 12, 5: 20}
DEMO_RATE: Final = {1: 1e-3, 2: 1e-3, 3: 1e-3, 4: 3e-3, 5: 3e-3}
# The folds of smaller images are trained side by side: a fit of larger ones uses all cores, and
# several at once need much memory.
SMALL_PIXELS: Final = 2**14
# Images of a fold, in all epochs, for which it pays to start a process: it takes some seconds.
LEAST_IMAGES: Final = 4000
# Values of an epoch that are tracked.
TRACKED: Final = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, kw_only=True)
class NetworkJob(TrainJob):
    """All settings of the training of a network; it depends only on them and on the cells."""

    architecture: Architecture
    image_size: tuple[int, int] | None = None
    """Height and width of the images; None: the network's own."""
    one_sweep: bool = False
    """Train on the rheobase sweep of each cell alone."""
    base: TrainSettings = field(default_factory=TrainSettings)
    """The settings that the search does not vary, and its initial values."""
    varied: tuple[str, ...] = tuple(SPACE)
    """The settings that the search varies; empty if all are given."""

    @property
    def run_name(self) -> str:
        """Return the name of the network in the names of runs."""
        return f"{self.architecture.backbone.name}-{self.architecture.freeze}"

    @property
    def is_fixed(self) -> bool:
        """Tell whether the settings are given, so that there is no search."""
        return not self.varied

    @property
    def space(self) -> dict[str, Parameter]:
        """Return the search space; a single point if the settings are given."""
        space: dict[str, Parameter] = {}
        for name, (kind, *rest) in SPACE.items():
            fixed = Choice((getattr(self.base, name),))
            space[name] = PARAMETER_KINDS[kind](*rest) if name in self.varied else fixed
        return space

    def make_settings(self, values: Mapping[str, Any]) -> TrainSettings:
        """Return the settings of a training with these values of the searched ones."""
        return from_dict(TrainSettings, {**to_dict(self.base), **values})

    def folder(self, models: Path, name: str | None) -> Path:
        """Return the folder of the model, under its own name or its freeze level."""
        return model_folder(models, self.architecture, name)


def make_network_job(
    architecture: Architecture,
    *,
    group_by: str,
    seed: int,
    file: Path | None = None,
    trials: int | None = None,
    folds: int | None = None,
    image_size: tuple[int, int] | None = None,
    one_sweep: bool = False,
    base: TrainSettings | None = None,
    varied: tuple[str, ...] = tuple(SPACE),
    **changed: Any,
) -> NetworkJob:
    """Return the job of a command line; None leaves the default.

    Parameters
    ----------
    file
        JSON with training settings; with it there is no search.
    changed
        Fields of TrainSettings.
    """
    replaced = {name: value for name, value in changed.items() if value is not None}
    base = from_dict(TrainSettings, {**to_dict(base or TrainSettings()), **replaced})
    return NetworkJob(
        architecture=architecture,
        image_size=image_size,
        one_sweep=one_sweep,
        group_by=group_by,
        search=SearchSettings(trials=trials or 50, folds=folds or 3, seed=seed),
        base=base if file is None else read_network_settings(file, base),
        varied=varied if file is None else (),
        seed=seed,
    )


def demo_job(architecture: Architecture, **given: Any) -> NetworkJob:
    """Return a short search on small images; values from the command line replace its own."""
    number = architecture.number
    short: dict[str, Any] = {
        "image_size": DEMO_SIZE[number],
        "trials": 1,
        "folds": 2,
        "epochs": DEMO_EPOCHS[number],
    }
    wanted = short | {name: value for name, value in given.items() if value is not None}
    base = TrainSettings(
        schedule="one_cycle",
        learning_rate=DEMO_RATE[number],
        patience=DEMO_EPOCHS[number],
        batch=32,
    )
    return make_network_job(architecture, base=base, varied=("dropout",), **wanted)


def read_network_settings(path: Path, base: TrainSettings) -> TrainSettings:
    """Return the training settings in a JSON file; settings that are missing come from `base`."""
    return from_dict(TrainSettings, {**to_dict(base), **read_settings(path)}, where=str(path))


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkExperiment(Experiment):
    """A network and the images of its cells; its refit stops early by the cells kept aside."""

    job: NetworkJob
    cohort: NetworkCohort
    bank: ImageBank
    data: Path
    """The folder of the cells, from which other processes load them."""

    study: ClassVar[str] = "sts"

    @property
    def search_name(self) -> str:
        """Return the name of the search: each data folder has its own.

        If other cells lie in the folder, the search is refused, also on a host that takes part.
        """
        return f"{self.job.search_name}-{self.data.resolve().name}"

    @property
    def depends_on(self) -> dict[str, Any]:
        """Return everything that scores depend on, except the searched settings."""
        return {
            "architecture": to_dict(self.job.architecture),
            "images": to_dict(self.bank.settings),
            "base": to_dict(self.job.base),
            "group_by": self.job.group_by,
            "cells": self.cohort.fingerprint(),
            "folds": self.folds_digest,
        }

    @property
    def cells_key(self) -> str:
        """Return a digest of the cells and of their folds."""
        return f"{self.cohort.fingerprint()} {self.folds_digest}"

    @contextlib.contextmanager
    def scoring(self) -> Iterator[Score]:
        """Provide the function that scores folds; on a CPU those of small images run in parallel.

        A fit of small images uses little more than one core.
        """
        images, cores, folds = self.bank.settings, count_cores(), len(self.folds)
        workers = min(folds, cores)
        small = images.height * images.width <= SMALL_PIXELS
        long = len(self.folds[0].fit) * self.job.base.epochs >= LEAST_IMAGES
        if workers == 1 or not small or not long or self.bank.device.type != "cpu":
            yield self.score
            return
        work = partial(_score_in_process, self.job, self.data, self.cells_key, cores // workers)
        with contextlib.closing(FoldProcesses(work, folds, workers=workers)) as score:
            yield score

    def score(self, values: dict[str, Any], number: int) -> FoldScore:
        """Train on one fold with these values of searched settings; return its score."""
        fold = self.folds[number]
        fitted = fit(
            self.job.architecture,
            self.bank,
            self.cohort.truth,
            train_rows=fold.fit,
            validation_rows=fold.validation,
            settings=replace(self.job.make_settings(values), seed=self.job.seed + number),
        )
        images = self.bank.like(fitted.images)
        logits = run_network(fitted.network, images, fold.scored).logits
        unseen = run_network(fitted.network, images, fold.validation).logits
        calibration = calibrate(unseen, self.cohort.truth[fold.validation])
        truth = self.cohort.truth[fold.scored]
        return FoldScore(
            float(balanced_accuracy_score(truth, logits.argmax(axis=1))),
            {
                "best_epoch": fitted.best_epoch,
                "curves": [to_dict(epoch) for epoch in fitted.curves],
                "rows": fold.scored.tolist(),
                "logits": np.round(logits, LOGIT_DIGITS).tolist(),
                "temperature": calibration.temperature,
            },
        )

    def refit(
        self, values: dict[str, Any], run: Run, tracker: Tracker
    ) -> tuple[NetworkModel, Floats]:
        """Train on the training cells; stop early by the kept cells, as in the folds."""
        job = self.job
        fitted = fit(
            job.architecture,
            self.bank,
            self.cohort.truth,
            train_rows=self.fit_rows,
            validation_rows=self.kept_rows,
            settings=replace(job.make_settings(values), seed=job.seed),
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
        kept = model.outputs(self.kept_rows)
        novelty = measure_network_novelty(model.outputs(self.fit_rows).features, kept.features)
        return replace(model, model=replace(plain, novelty=novelty)), kept.logits

    def predict_out_of_fold(self, searched: SearchResult) -> Predictions:
        """Return the predictions of each fold's scored cells, at the temperature of the fold.

        That temperature comes from cells that the network has not seen either: the validation
        cells of the fold.
        """
        folds = [fold.extras for fold in searched.best_trial.folds]
        probabilities = [
            apply_temperature(np.array(fold["logits"]), fold["temperature"]) for fold in folds
        ]
        rows = np.concatenate([fold["rows"] for fold in folds])
        return self.cohort.predictions(rows, np.concatenate(probabilities))

    def draw_curves(self, run: Run, searched: SearchResult) -> list[Block]:
        """Draw losses and accuracies by epoch for each fold."""
        folds = [
            FoldCurves(
                **{name: [epoch[name] for epoch in fold.extras["curves"]] for name in TRACKED},
                best_epoch=fold.extras["best_epoch"],
            )
            for fold in searched.best_trial.folds
        ]
        write_curves(run.path / CURVES, folds)
        curves = draw_curves(run.figures / "curves", folds)
        return [Picture(files=curves, caption="Every fold, with mean and spread.")]


def prepare_network(job: NetworkJob, *, data: Path, device: str = "auto") -> NetworkExperiment:
    """Load the cells and divide them; images are computed when they are first used."""
    cohort = load_sweeps(data, group_by=job.group_by, seed=job.seed)
    images = job.architecture.images(job.image_size, one_sweep=job.one_sweep)
    fit_rows, kept_rows = cohort.keep_aside(group_by=job.group_by, seed=job.seed)
    return NetworkExperiment(
        job=job,
        cohort=cohort,
        bank=cohort.bank(images, device),
        folds=cohort.folds(job.search_plan.folds, group_by=job.group_by, seed=job.seed),
        fit_rows=fit_rows,
        kept_rows=kept_rows,
        data=data,
    )


def _score_in_process(
    job: NetworkJob, data: Path, cells: str, cores: int, settings: dict[str, Any], fold: int
) -> FoldScore:
    with use_cores(cores):
        return _load_experiment(job, data, cells).score(settings, fold)


@lru_cache(maxsize=1)
def _load_experiment(job: NetworkJob, data: Path, cells: str) -> NetworkExperiment:
    """Return the experiment with the cells and folds of this key."""
    experiment = prepare_network(job, data=data, device="cpu")
    if experiment.cells_key != cells:
        raise StsError(f"the cells in {data} have changed since the search began: start it again")
    return experiment


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
    """Train a network on the cells in `data`; after an interruption the same call continues.

    Parameters
    ----------
    workers
        Processes of this host that search together, each on its own GPU or all on the CPU; only
        this process does the work after the search.
    """
    devices = share_devices(device, workers)
    experiment = prepare_network(job, data=data, device=devices[0])
    beside = _search_beside(workspace, job, devices, data=data, storage=storage)
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
    with _search_beside(workspace, job, devices, data=data, storage=storage):
        search_settings(workspace, experiment, storage=storage)


@contextlib.contextmanager
def _search_beside(
    workspace: Workspace,
    job: NetworkJob,
    devices: Sequence[str],
    *,
    data: Path,
    storage: str | None,
) -> Iterator[None]:
    """Let a process for each device but the first take part in the search of this one."""
    count = len(devices)
    if count == 1:
        with share_cores(1, devices[0]):
            yield
        return
    from sts.search.workers import workers_beside

    shared = {"workspace": workspace, "job": job, "data": data, "storage": storage}
    arguments = [{**shared, "workers": count, "device": device} for device in devices[1:]]
    with workers_beside(_search_in_process, arguments), share_cores(count, devices[0]):
        yield


def _search_in_process(
    workspace: Workspace,
    job: NetworkJob,
    *,
    data: Path,
    device: str,
    storage: str | None,
    workers: int,
) -> None:
    """Search in a separate process, one of several on this host."""
    experiment = prepare_network(job, data=data, device=device)
    with share_cores(workers, device):
        search_settings(workspace, experiment, storage=storage)
