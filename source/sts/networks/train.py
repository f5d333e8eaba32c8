"""The training loop of networks: epochs until the validation loss no longer falls."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from sts.base.errors import StsError
from sts.base.types import CLASSES, Floats, Ints
from sts.learning.checkpoint import TrainingFile, TrainingProgress, make_key
from sts.learning.device import draw_from_seed
from sts.networks.backbones import (
    Architecture,
    drop_auxiliary,
    head_of,
    make_network,
    placed,
)
from sts.networks.learner import Epoch, Learner
from sts.networks.predict import Inputs, feature_bank
from sts.networks.settings import TrainSettings
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings

logger = logging.getLogger("sts")

# A fit that was killed loses at most this and an epoch; writing more often would cost time.
KEEP_EVERY_S: Final = 20.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A network as it was in its best epoch, in evaluation mode on the bank's device."""

    network: nn.Module
    architecture: Architecture
    settings: TrainSettings
    images: ImageSettings
    """With the mean and deviation of the training rows: what to make images with from now on."""
    curves: tuple[Epoch, ...]
    best_epoch: int
    """Counted from 1; the last one where nothing was validated."""

    @property
    def epochs(self) -> int:
        """Return how many epochs were run."""
        return len(self.curves)


def fit(
    architecture: Architecture,
    bank: ImageBank,
    labels: Ints,
    *,
    train_rows: Ints,
    validation_rows: Ints | None = None,
    settings: TrainSettings,
    on_epoch: Callable[[Epoch], None] | None = None,
    state: Path | None = None,
) -> Fitted:
    """Train a network on `train_rows` and return it.

    With validation rows training stops early and the best epoch's network is returned; without,
    `settings.epochs` are run (`dataclasses.replace(settings, epochs=n)` for a refit). Images are
    standardised by `train_rows` alone. The same seed gives the same network on a CPU.

    Parameters
    ----------
    labels
        Index into the classes of every cell of the bank; rows that are not used may hold anything.
    on_epoch
        Called after every epoch.
    state
        A file that the fit is kept in now and then, and that the same fit goes on from after it
        was killed, to the same result; remove it once the model is written.

    Raises
    ------
    FloatingPointError
        The loss is not finite any more.
    """
    job = _Job(
        architecture=architecture,
        labels=np.asarray(labels, dtype=np.int64),
        rows=np.asarray(train_rows, dtype=np.int64),
        checked=np.asarray([] if validation_rows is None else validation_rows, dtype=np.int64),
        settings=settings,
    )
    _check(job, bank)
    bank = bank.standardised(job.rows)
    with draw_from_seed(settings.seed, bank.device):
        network, learner = _prepare(job, bank)
        done = _run(job, learner, _file(state, job, bank.settings), on_epoch)
    learner.take_best(done)
    return Fitted(
        network=_plain(network, job, bank.device),
        architecture=architecture,
        settings=settings,
        images=bank.settings,
        curves=done.records,
        best_epoch=done.best_record,
    )


def class_weights(labels: Ints, rows: Ints, classes: int) -> Floats:
    """Return a weight a class that makes all classes of `rows` count the same."""
    counts = np.bincount(np.asarray(labels)[rows], minlength=classes)
    return np.asarray(len(rows) / (classes * counts))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """What is to be fitted."""

    architecture: Architecture
    labels: Ints
    rows: Ints
    checked: Ints
    settings: TrainSettings


def _file(path: Path | None, job: _Job, images: ImageSettings) -> TrainingFile[Epoch]:
    key = make_key(job.architecture, job.settings, images, job.rows, job.checked, job.labels)
    return TrainingFile(path, key, Epoch, every_s=KEEP_EVERY_S)


def _run(
    job: _Job,
    learner: Learner,
    file: TrainingFile[Epoch],
    on_epoch: Callable[[Epoch], None] | None,
) -> TrainingProgress[Epoch]:
    done = file.restore(learner.state)
    if done.steps:
        logger.info("the fit goes on after epoch %d", done.steps)
    while done.steps < job.settings.epochs and done.since_best < job.settings.patience:
        done = learner.run_epoch(done, job.rows, job.checked)
        file.keep(learner.state, done)
        if on_epoch is not None:
            on_epoch(done.records[-1])
    if done.best is None:
        raise FloatingPointError("the validation loss was never finite: lower the learning rate")
    return done


def _check(job: _Job, bank: ImageBank) -> None:
    architecture, labels = job.architecture, job.labels
    architecture.check_side(min(bank.settings.height, bank.settings.width))
    if len(labels) != len(bank):
        raise ValueError(f"{len(labels)} labels for {len(bank)} cells")
    if len(np.intersect1d(job.rows, job.checked)):
        raise ValueError("a row cannot be trained on and validated with")
    used = labels[np.concatenate([job.rows, job.checked])]
    if len(used) and not 0 <= used.min() <= used.max() < architecture.classes:
        raise ValueError(f"labels must lie in 0..{architecture.classes - 1}")
    counts = np.bincount(labels[job.rows], minlength=architecture.classes)
    if absent := [_name(job, index) for index, count in enumerate(counts) if count == 0]:
        raise StsError(
            f"no cell of class {', '.join(absent)} among the {len(job.rows)} to train on: "
            "give more cells or use fewer folds"
        )


def _name(job: _Job, index: int) -> str:
    return CLASSES[index] if job.architecture.classes == len(CLASSES) else str(index)


def _prepare(job: _Job, bank: ImageBank) -> tuple[nn.Module, Learner]:
    """Return the network and what trains it, or its head alone where the rest is frozen."""
    frozen = job.architecture.freeze == "FULL"
    smallest = job.architecture.backbone.auxiliary_from
    side = min(bank.settings.height, bank.settings.width)
    network = make_network(
        job.architecture,
        dropout=job.settings.dropout,
        # It teaches the extractor, and its poolings need large images.
        auxiliary=not frozen and smallest is not None and side >= smallest,
        seed=job.settings.seed,
    )
    network = placed(network, bank.device)
    module: nn.Module = network
    inputs: Inputs = bank
    if job.settings.compile:
        _keep_plain(head_of(network))
    if frozen:
        # What a frozen extractor makes of an image never changes: it is made once.
        module = head_of(network)
        every = np.concatenate([job.rows, job.checked])
        inputs = feature_bank(network, bank, every, cells=len(bank))
    classes = job.architecture.classes
    weights: Floats = np.ones(classes)
    if job.settings.class_weights:
        weights = class_weights(job.labels, job.rows, classes)
    return network, Learner(module, inputs, job.labels, weights, job.settings)


def _keep_plain(head: nn.Module) -> None:
    """Let a compiled network call its head as it is.

    A search varies the dropout of the head: compiled too, every value of it would be compiled anew,
    and after eight of them torch compiles no more.
    """
    head.forward = torch.compiler.disable(head.forward)  # type: ignore[no-untyped-call]


def _plain(network: nn.Module, job: _Job, device: torch.device) -> nn.Module:
    """Return a network as `make_network` makes it, with the weights of the trained one."""
    drop_auxiliary(network)
    plain = make_network(replace(job.architecture, weights="none"), dropout=job.settings.dropout)
    plain.load_state_dict(network.state_dict())
    return placed(plain, device)
