"""Apply trained networks to images: one pass returns logits and the features before the head."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sts.base.types import Floats, Ints
from sts.evaluation.calibration import apply_temperature
from sts.learning.device import multiply_in
from sts.networks.backbones import find_head, split_outputs
from sts.networks.settings import cut_batches
from sts.scalograms.image import RowNumbers
from sts.scalograms.wavelet import move_rows

# Number of images in a batch.
PREDICTION_BATCH: Final = {"cpu": 32, "cuda": 256}


class Inputs(Protocol):
    """The inputs of a network, by row."""

    @property
    def device(self) -> torch.device:
        """Return the device of the inputs."""

    def batches(self, rows: Sequence[Ints]) -> Iterator[Tensor]:
        """Yield the inputs of every batch of rows; the next batch can overwrite a batch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """The outputs of one pass of a network, in the order of the rows."""

    logits: Floats
    """(rows, classes) float64, computed in float32 on any device."""
    features: Floats
    """(rows, features) float64: the inputs of the head."""


def run_network(network: nn.Module, inputs: Inputs, rows: RowNumbers) -> Outputs:
    """Run a network once on `rows` and return logits and features.

    Parameters
    ----------
    inputs
        An image bank with the mean and deviation of the network: `bank.like(fitted.images)`, or a
        bank with the image settings that are stored with the model.
    """
    if len(rows) == 0:
        raise ValueError("no rows to run on: give at least one")
    logits: list[Tensor] = []
    features: list[Tensor] = []

    def keep(head: nn.Module, arguments: tuple[Any, ...]) -> None:
        features.append(arguments[0])

    batches = cut_batches(
        np.asarray(rows), PREDICTION_BATCH.get(inputs.device.type, PREDICTION_BATCH["cpu"])
    )
    hook = find_head(network).register_forward_pre_hook(keep)
    try:
        with evaluation_mode(network), torch.no_grad(), multiply_in("float32", inputs.device):
            for images in inputs.batches(batches):
                logits.append(split_outputs(network(images))[0])
    finally:
        hook.remove()
    arrays = [torch.cat(parts).double().cpu().numpy() for parts in (logits, features)]
    return Outputs(logits=arrays[0], features=arrays[1])


def predict(
    network: nn.Module, inputs: Inputs, rows: RowNumbers, *, temperature: float = 1.0
) -> Floats:
    """Return class probabilities (len(rows), classes), in the order of `rows`.

    Parameters
    ----------
    temperature
        Divisor of the logits, from calibration.
    """
    return apply_temperature(run_network(network, inputs, rows).logits, temperature)


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Features of cells instead of their images: the inputs for the head of a frozen network."""

    values: Tensor
    """(cells, features); unused rows can have any values."""

    @property
    def device(self) -> torch.device:
        """Return the device of the features."""
        return self.values.device

    def batches(self, rows: Sequence[Ints]) -> Iterator[Tensor]:
        """Yield the features of every batch of rows."""
        for some in rows:
            yield self.values[move_rows(some, self.device)]


def compute_feature_bank(
    network: nn.Module, inputs: Inputs, rows: RowNumbers, *, cells: int
) -> FeatureBank:
    """Return the features of `rows`, under the row numbers of `inputs`."""
    features = torch.from_numpy(run_network(network, inputs, rows).features).float()
    values = torch.zeros((cells, features.shape[1]))
    values[move_rows(rows, values.device)] = features
    return FeatureBank(values.to(inputs.device))


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Set a network to evaluation mode inside the block, and restore the modes of all layers."""
    before = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
