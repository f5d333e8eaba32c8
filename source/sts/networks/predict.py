"""Networks at work: one pass gives logits and the features that heads see."""

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
from sts.networks.backbones import both_outputs, head_of
from sts.networks.settings import cut_batches
from sts.scalograms.image import Rows
from sts.scalograms.traces import indices_on

BATCH: Final = {"cpu": 32, "cuda": 256}


class Inputs(Protocol):
    """What a network is fed with, by row."""

    @property
    def device(self) -> torch.device:
        """Return where the inputs are."""

    def batches(self, rows: Sequence[Ints]) -> Iterator[Tensor]:
        """Yield the inputs of every batch of rows; each may be overwritten by the next."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """What one pass of a network gives, row by row in the order that was asked for."""

    logits: Floats
    """(rows, classes) float64, computed in float32 on any device."""
    features: Floats
    """(rows, features) float64: what the head was given."""


def run_network(network: nn.Module, inputs: Inputs, rows: Rows) -> Outputs:
    """Show `rows` to a network once and return all that is asked of it.

    Parameters
    ----------
    inputs
        An image bank with the mean and deviation of the network: `bank.like(fitted.images)`, or
        one made with the settings that the network's model was stored with.
    """
    if len(rows) == 0:
        raise ValueError("no rows to look at: give at least one")
    logits: list[Tensor] = []
    features: list[Tensor] = []

    def keep(head: nn.Module, arguments: tuple[Any, ...]) -> None:
        features.append(arguments[0])

    batches = cut_batches(np.asarray(rows), BATCH.get(inputs.device.type, BATCH["cpu"]))
    hook = head_of(network).register_forward_pre_hook(keep)
    try:
        with evaluating(network), torch.no_grad(), multiply_in("float32", inputs.device):
            for images in inputs.batches(batches):
                logits.append(both_outputs(network(images))[0])
    finally:
        hook.remove()
    return Outputs(logits=_stack(logits), features=_stack(features))


def predict(network: nn.Module, inputs: Inputs, rows: Rows, *, temperature: float = 1.0) -> Floats:
    """Return class probabilities (len(rows), classes), in the order of `rows`.

    Parameters
    ----------
    temperature
        What logits are divided by, from calibration.
    """
    return apply_temperature(run_network(network, inputs, rows).logits, temperature)


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Features of cells in place of their images: what a head of a frozen network is fed with."""

    values: Tensor
    """(cells, features); rows that nobody asks for may hold anything."""

    @property
    def device(self) -> torch.device:
        """Return where the features are."""
        return self.values.device

    def batches(self, rows: Sequence[Ints]) -> Iterator[Tensor]:
        """Yield the features of every batch of rows."""
        for some in rows:
            yield self.values[indices_on(some, self.device)]


def feature_bank(network: nn.Module, inputs: Inputs, rows: Rows, *, cells: int) -> FeatureBank:
    """Return the features of `rows`, addressed as the cells of `inputs` are."""
    found = torch.from_numpy(run_network(network, inputs, rows).features).float()
    values = torch.zeros((cells, found.shape[1]))
    values[indices_on(rows, values.device)] = found
    return FeatureBank(values.to(inputs.device))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode inside the block, each of its layers back after it."""
    before = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def _stack(parts: list[Tensor]) -> Floats:
    return np.asarray(torch.cat(parts).double().cpu().numpy())
