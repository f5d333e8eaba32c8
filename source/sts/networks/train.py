"""The training of networks: epochs until the validation loss no longer decreases."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sts.base.errors import StsError
from sts.base.types import CLASSES, Floats, Ints
from sts.learning.device import (
    cast_to,
    draw_from_seed,
    keep_freed_memory,
    mix_seeds,
    multiply_in,
)
from sts.learning.recorded import RecordedStep
from sts.learning.training import TrainingFile, TrainingProgress, TrainingState, make_key
from sts.networks.backbones import (
    AUXILIARY_SHARE,
    Architecture,
    drop_auxiliary,
    find_head,
    make_network,
    place_network,
    split_outputs,
)
from sts.networks.predict import Inputs, compute_feature_bank, evaluation_mode
from sts.networks.settings import TrainSettings, cut_batches, epoch_batches, learning_rate, momentum
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings
from sts.scalograms.wavelet import move_rows

logger = logging.getLogger("sts")

# Smallest relative decrease of the validation loss that is better (Amprimo et al., 2025).
GAIN: Final = 0.05
# Time between two writes of a fit's state: a kill loses at most this and one epoch.
KEEP_FIT_EVERY_S: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One point of the loss curves."""

    number: int
    """Number of the epoch, from 1."""
    learning_rate: float
    """Learning rate at the start of the epoch."""
    train_loss: float
    train_accuracy: float
    """Both during training, with dropout."""
    validation_loss: float | None
    validation_accuracy: float | None
    better: bool
    """Whether the validation loss decreased by at least `GAIN`."""


class Learner:
    """The layers that are trained, with their optimiser, inputs and labels."""

    def __init__(
        self,
        module: nn.Module,
        inputs: Inputs,
        labels: Ints,
        weights: Floats,
        settings: TrainSettings,
    ) -> None:
        self._device = inputs.device
        if self._device.type == "cpu":
            keep_freed_memory()
        self._module, self._inputs, self._settings = module, inputs, settings
        self._targets = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(self._device)
        self._weights = torch.tensor(weights, dtype=torch.float64, device=self._device)
        self._target_weights = self._weights.float()
        self._recorded: RecordedStep | None = None
        # Not dynamic: fixed shapes give faster kernels, and a fit has only one batch size.
        self._forward = torch.compile(module, dynamic=False) if settings.compile else module
        learned = [value for value in module.parameters() if value.requires_grad]
        self._optimizer = torch.optim.Adam(learned, lr=settings.learning_rate, fused=True)
        self.state = TrainingState(
            networks={"learner": module}, optimisers={"learner": self._optimizer}
        )

    def run_epoch(
        self, done: TrainingProgress[Epoch], rows: Ints, checked: Ints
    ) -> TrainingProgress[Epoch]:
        """Run one more epoch and return the progress after it."""
        epoch = done.steps
        with draw_from_seed(mix_seeds(self._settings.seed, epoch), self._device):
            train_loss, train_accuracy = self._train(rows, epoch)
        if not math.isfinite(train_loss):
            raise FloatingPointError(
                f"the training loss is {train_loss} in epoch {epoch + 1}: lower the learning rate"
            )
        loss, accuracy = self._validate(checked) if len(checked) else (None, None)
        better = loss is None or done.is_better(loss, gain=GAIN)
        record = Epoch(
            number=epoch + 1,
            learning_rate=learning_rate(self._settings, epoch, 0.0),
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=loss,
            validation_accuracy=accuracy,
            better=better,
        )
        done = replace(done, steps=epoch + 1)
        if loss is None:
            return done.add(record, better=better)
        return done.add(record, better=better, score=loss, network=self._module)

    def _train(self, rows: Ints, epoch: int) -> tuple[float, float]:
        """Train on all batches once and return mean loss and accuracy."""
        self._module.train()
        settings = self._settings
        batches = epoch_batches(rows, settings, epoch)
        targets = self.select_targets(batches)
        sums = torch.zeros(4, dtype=torch.float64, device=self._device)
        for step, images in enumerate(self._inputs.batches(batches)):
            progress = step / len(batches)
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate(settings, epoch, progress)
                group["betas"] = (momentum(settings, epoch, progress), group["betas"][1])
            sums += self.backward(images, targets[step])
            self._optimizer.step()
            self._optimizer.zero_grad()
        return self._means(sums)

    def select_targets(self, batches: Sequence[Ints]) -> tuple[Tensor, ...]:
        """Return the classes of every batch, moved to the device in one copy."""
        every = self._targets[move_rows(np.concatenate(batches), self._device)]
        return torch.split(every, [len(batch) for batch in batches])

    def backward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Add the gradients of the weighted mean loss of a batch; return its sums."""
        # A smaller last batch is neither recorded nor compiled.
        if len(targets) != self._settings.batch:
            return self._add_gradients(self._module, images, targets)
        if self._device.type != "cuda" or self._settings.compile:
            return self._add_gradients(self._forward, images, targets)
        if self._recorded is None:
            step = partial(self._add_gradients, self._module)
            self._recorded = RecordedStep(self._module, step, (images, targets))
        return self._recorded.replay(images, targets)

    def _add_gradients(
        self, forward: Callable[[Tensor], object], images: Tensor, targets: Tensor
    ) -> Tensor:
        with multiply_in(self._settings.precision, self._device):
            with cast_to(self._settings.precision, self._device):
                output = forward(images)
            logits, auxiliary = split_outputs(output)
            loss = self._loss(logits, targets)
            total = loss
            if auxiliary is not None:
                total = loss + AUXILIARY_SHARE * self._loss(auxiliary, targets)
            weight = self._weights[targets].sum().float()
            (total / weight).backward()  # type: ignore[no-untyped-call]
        return self._sums(loss.detach(), logits.detach(), targets)

    def take_best(self, done: TrainingProgress[Epoch]) -> None:
        """Load the weights of the best epoch, if there are any."""
        if done.best_state:
            self._module.load_state_dict(done.best_state)

    @torch.no_grad()
    def _validate(self, rows: Ints) -> tuple[float, float]:
        """Return loss and accuracy of `rows`."""
        batches, precision = cut_batches(rows, 2 * self._settings.batch), self._settings.precision
        targets = self.select_targets(batches)
        sums = torch.zeros(4, dtype=torch.float64, device=self._device)
        with evaluation_mode(self._module):
            for some, images in zip(targets, self._inputs.batches(batches), strict=True):
                # The images are computed outside this block: they stay in float32.
                with multiply_in(precision, self._device), cast_to(precision, self._device):
                    logits = split_outputs(self._module(images))[0]
                sums += self._sums(self._loss(logits, some), logits, some)
        loss, accuracy = self._means(sums)
        return (loss if math.isfinite(loss) else math.inf), accuracy

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits.float(), targets, weight=self._target_weights, reduction="sum"
        )

    def _sums(self, loss: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """Return sums of loss, weights, correct predictions and predictions of a batch."""
        # The sums stay on the device: a copy of a number from a GPU would make it wait.
        right = (logits.argmax(dim=1) == targets).sum()
        weight = self._target_weights[targets].sum()
        count = torch.full_like(weight, len(targets))
        return torch.stack([loss.double(), weight.double(), right.double(), count.double()])

    def _means(self, sums: Tensor) -> tuple[float, float]:
        loss, weight, right, count = sums.tolist()
        return loss / weight, right / count


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A network with the weights of its best epoch, in evaluation mode on the bank's device."""

    network: nn.Module
    architecture: Architecture
    settings: TrainSettings
    images: ImageSettings
    """With the mean and deviation of the training rows; use them for all images from now on."""
    curves: tuple[Epoch, ...]
    best_epoch: int
    """Number of the best epoch, from 1; the last epoch without validation rows."""

    @property
    def epochs(self) -> int:
        """Return the number of epochs that were run."""
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

    With validation rows, training stops early and the network of the best epoch is returned;
    without, `settings.epochs` are run (`dataclasses.replace(settings, epochs=n)` for a refit).
    Images are standardised by `train_rows` only. On a CPU the same seed gives the same network.

    Parameters
    ----------
    labels
        Class index of every cell of the bank; unused rows can have any values.
    on_epoch
        Called after every epoch.
    state
        A file that the fit writes from time to time. After a kill the same fit resumes from it and
        gives the same result. Remove it when the model is written.

    Raises
    ------
    FloatingPointError
        The loss is no longer finite.
    """
    job = _Job(
        architecture=architecture,
        labels=np.asarray(labels, dtype=np.int64),
        rows=np.asarray(train_rows, dtype=np.int64),
        checked=np.asarray([] if validation_rows is None else validation_rows, dtype=np.int64),
        settings=settings,
    )
    _check_job(job, bank)
    bank = bank.standardise(job.rows)
    key = make_key(architecture, settings, bank.settings, job.rows, job.checked, job.labels)
    file = TrainingFile(state, key, Epoch, every_s=KEEP_FIT_EVERY_S)
    with draw_from_seed(settings.seed, bank.device):
        network, learner = _prepare(job, bank)
        done = _run_epochs(job, learner, file, on_epoch)
    learner.take_best(done)
    return Fitted(
        network=_rebuild(network, job, bank.device),
        architecture=architecture,
        settings=settings,
        images=bank.settings,
        curves=done.records,
        best_epoch=done.best_record,
    )


def balance_classes(labels: Ints, rows: Ints, classes: int) -> Floats:
    """Return one weight for each class, so that all classes of `rows` have the same total."""
    counts = np.bincount(np.asarray(labels)[rows], minlength=classes)
    return np.asarray(len(rows) / (classes * counts))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """The arguments of a fit."""

    architecture: Architecture
    labels: Ints
    rows: Ints
    checked: Ints
    settings: TrainSettings


def _run_epochs(
    job: _Job,
    learner: Learner,
    file: TrainingFile[Epoch],
    on_epoch: Callable[[Epoch], None] | None,
) -> TrainingProgress[Epoch]:
    done = file.restore(learner.state)
    if done.steps:
        logger.info("the fit resumes after epoch %d", done.steps)
    while done.steps < job.settings.epochs and done.since_best < job.settings.patience:
        done = learner.run_epoch(done, job.rows, job.checked)
        file.keep(learner.state, done)
        if on_epoch is not None:
            on_epoch(done.records[-1])
    if done.best is None:
        raise FloatingPointError("the validation loss was never finite: lower the learning rate")
    return done


def _check_job(job: _Job, bank: ImageBank) -> None:
    architecture, labels = job.architecture, job.labels
    architecture.check_size(bank.settings.height, bank.settings.width)
    if len(labels) != len(bank):
        raise ValueError(f"{len(labels)} labels for {len(bank)} cells")
    if len(np.intersect1d(job.rows, job.checked)):
        raise ValueError("a row cannot be trained on and validated with")
    used = labels[np.concatenate([job.rows, job.checked])]
    if len(used) and not 0 <= used.min() <= used.max() < architecture.classes:
        raise ValueError(f"labels must lie in 0..{architecture.classes - 1}")
    counts = np.bincount(labels[job.rows], minlength=architecture.classes)
    if absent := np.flatnonzero(counts == 0).tolist():
        named = architecture.classes == len(CLASSES)
        names = ", ".join(CLASSES[index] if named else str(index) for index in absent)
        raise StsError(
            f"no cell of class {names} among the {len(job.rows)} to train on: "
            "give more cells or use fewer folds"
        )


def _prepare(job: _Job, bank: ImageBank) -> tuple[nn.Module, Learner]:
    """Return the network and the learner that trains it, or only its head if the rest is frozen."""
    frozen = job.architecture.freeze == "FULL"
    smallest = job.architecture.backbone.auxiliary_from
    side = min(bank.settings.height, bank.settings.width)
    network = make_network(
        job.architecture,
        dropout=job.settings.dropout,
        # It trains only the extractor, and its poolings need large images.
        auxiliary=not frozen and smallest is not None and side >= smallest,
        seed=job.settings.seed,
    )
    network = place_network(network, bank.device)
    head: nn.Module = find_head(network)
    module: nn.Module = network
    inputs: Inputs = bank
    if job.settings.compile:
        # A search varies the dropout of the head: torch would compile the network again for every
        # value, and stops compiling after eight of them.
        head.forward = torch.compiler.disable(head.forward)  # type: ignore[no-untyped-call]
    if frozen:
        # The features of a frozen extractor never change: they are computed once.
        module = head
        every = np.concatenate([job.rows, job.checked])
        inputs = compute_feature_bank(network, bank, every, cells=len(bank))
    classes = job.architecture.classes
    weights: Floats = np.ones(classes)
    if job.settings.class_weights:
        weights = balance_classes(job.labels, job.rows, classes)
    return network, Learner(module, inputs, job.labels, weights, job.settings)


def _rebuild(network: nn.Module, job: _Job, device: torch.device) -> nn.Module:
    """Return a new network from `make_network` with the weights of the trained one."""
    drop_auxiliary(network)
    rebuilt = make_network(replace(job.architecture, weights="none"), dropout=job.settings.dropout)
    rebuilt.load_state_dict(network.state_dict())
    return place_network(rebuilt, device)
