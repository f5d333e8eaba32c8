"""One epoch of training and validation: the layers that learn, their optimiser and their data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sts.base.types import Floats, Ints
from sts.learning.checkpoint import TrainingProgress, TrainingState
from sts.learning.device import cast_to, draw_from_seed, mix_seeds, multiply_in
from sts.networks.backbones import AUXILIARY_SHARE, both_outputs
from sts.networks.predict import Inputs, evaluating
from sts.networks.settings import TrainSettings, cut_batches, epoch_batches, learning_rate, momentum
from sts.scalograms.traces import indices_on

# A validation loss is better when it is lower by this part (Amprimo et al., 2025).
GAIN: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One point of the loss curves."""

    number: int
    """Counted from 1."""
    learning_rate: float
    """At the beginning of the epoch."""
    train_loss: float
    train_accuracy: float
    """Both while it was training, with dropout."""
    validation_loss: float | None
    validation_accuracy: float | None
    better: bool
    """Whether the validation loss was low enough to count as better."""


class Learner:
    """The layers that learn, with their optimiser, inputs and labels."""

    def __init__(
        self,
        module: nn.Module,
        inputs: Inputs,
        labels: Ints,
        weights: Floats,
        settings: TrainSettings,
    ) -> None:
        self._device = inputs.device
        self._module, self._inputs, self._settings = module, inputs, settings
        self._labels = np.asarray(labels, dtype=np.int64)
        self._weights = weights
        self._targets = torch.from_numpy(self._labels).to(self._device)
        self._target_weights = torch.tensor(weights, dtype=torch.float32, device=self._device)
        # Not dynamic: shapes that are known make faster kernels, and there is one batch size a fit.
        self._forward = torch.compile(module, dynamic=False) if settings.compile else module
        learned = [value for value in module.parameters() if value.requires_grad]
        self._optimizer = torch.optim.Adam(learned, lr=settings.learning_rate, fused=True)
        self.state = TrainingState(
            networks={"learner": module}, optimisers={"learner": self._optimizer}
        )

    def run_epoch(
        self, done: TrainingProgress[Epoch], rows: Ints, checked: Ints
    ) -> TrainingProgress[Epoch]:
        """Return what is done after one more epoch."""
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
        """Go through all batches once; return mean loss and accuracy on the way."""
        self._module.train()
        batches = epoch_batches(rows, self._settings, epoch)
        targets = self.targets_of(batches)
        sums = torch.zeros(4, dtype=torch.float64, device=self._device)
        for step, images in enumerate(self._inputs.batches(batches)):
            self._set_rate(epoch, step / len(batches))
            sums += self.backward(images, batches[step], targets[step])
            self._optimizer.step()
            self._optimizer.zero_grad()
        return self._means(sums)

    def targets_of(self, batches: Sequence[Ints]) -> tuple[Tensor, ...]:
        """Return the classes of every batch, sent to the device at once and not in each step."""
        every = self._targets[indices_on(np.concatenate(batches), self._device)]
        return torch.split(every, [len(batch) for batch in batches])

    def backward(self, images: Tensor, batch: Ints, targets: Tensor) -> Tensor:
        """Add the gradients of a batch's weighted mean loss; return its sums."""
        # A compiled network is compiled for whole batches; an odd last one goes the plain way.
        forward = self._forward if len(batch) == self._settings.batch else self._module
        with multiply_in(self._settings.precision, self._device):
            with cast_to(self._settings.precision, self._device):
                output = forward(images)
            logits, auxiliary = both_outputs(output)
            loss = self._loss(logits, targets)
            total = loss
            if auxiliary is not None:
                total = loss + AUXILIARY_SHARE * self._loss(auxiliary, targets)
            weight = float(self._weights[self._labels[batch]].sum())
            (total / weight).backward()  # type: ignore[no-untyped-call]
        return self._sums(loss.detach(), logits.detach(), targets)

    def take_best(self, done: TrainingProgress[Epoch]) -> None:
        """Go back to the best epoch, where one was kept."""
        if done.best_state:
            self._module.load_state_dict(done.best_state)

    @torch.no_grad()
    def _validate(self, rows: Ints) -> tuple[float, float]:
        """Return loss and accuracy of `rows`."""
        batches, precision = cut_batches(rows, 2 * self._settings.batch), self._settings.precision
        targets = self.targets_of(batches)
        sums = torch.zeros(4, dtype=torch.float64, device=self._device)
        with evaluating(self._module):
            for some, images in zip(targets, self._inputs.batches(batches), strict=True):
                # Not around the images: they are made in float32, whatever layers multiply in.
                with multiply_in(precision, self._device), cast_to(precision, self._device):
                    logits = both_outputs(self._module(images))[0]
                sums += self._sums(self._loss(logits, some), logits, some)
        loss, accuracy = self._means(sums)
        return (loss if math.isfinite(loss) else math.inf), accuracy

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits.float(), targets, weight=self._target_weights, reduction="sum"
        )

    def _sums(self, loss: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """Return loss, its weight, right answers and answers, which add up over batches."""
        # Kept on the device: asking for a number makes a GPU wait.
        right = (logits.argmax(dim=1) == targets).sum()
        weight = self._target_weights[targets].sum()
        count = torch.full_like(weight, len(targets))
        return torch.stack([loss.double(), weight.double(), right.double(), count.double()])

    def _means(self, sums: Tensor) -> tuple[float, float]:
        loss, weight, right, count = sums.tolist()
        return loss / weight, right / count

    def _set_rate(self, epoch: int, progress: float) -> None:
        for some in self._optimizer.param_groups:
            some["lr"] = learning_rate(self._settings, epoch, progress)
            some["betas"] = (momentum(self._settings, epoch, progress), some["betas"][1])
