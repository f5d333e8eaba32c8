"""Networks at work: logits, probabilities, and the features their heads see."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from sts.base.types import Floats, Ints
from sts.learning.device import multiply_in
from sts.networks.backbones import both_outputs
from sts.networks.images import Inputs
from sts.networks.schedule import in_order
from sts.scalograms.sources import Rows
from sts.scalograms.traces import indices_on

BATCH: Final = {"cpu": 32, "cuda": 256}


def predict(network: nn.Module, inputs: Inputs, rows: Rows, *, temperature: float = 1.0) -> Floats:
    """Return class probabilities (len(rows), classes), in the order of `rows`.

    Parameters
    ----------
    inputs
        An image bank with the mean and deviation of the network: `bank.like(fitted.images)`, or
        one made with the settings that the network's model was stored with.
    temperature
        What logits are divided by, from calibration.
    """
    scaled = logits(network, inputs, rows) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def logits(network: nn.Module, inputs: Inputs, rows: Rows) -> Floats:
    """Return logits (len(rows), classes) as float64, computed in float32 on any device."""
    found: list[Tensor] = []
    _look(network, inputs, rows, lambda output: found.append(both_outputs(output)[0]))
    return _stacked(found)


def features(network: nn.Module, head: nn.Module, inputs: Inputs, rows: Rows) -> Floats:
    """Return what the head of `network` is given (len(rows), features)."""
    given: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        given.append(arguments[0].detach())

    hook = head.register_forward_pre_hook(keep)
    try:
        _look(network, inputs, rows, lambda output: None)
    finally:
        hook.remove()
    return _stacked(given)


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


def feature_bank(
    network: nn.Module, head: nn.Module, inputs: Inputs, rows: Rows, *, cells: int
) -> FeatureBank:
    """Return the features of `rows`, addressed as the cells of `inputs` are."""
    found = torch.from_numpy(features(network, head, inputs, rows)).float()
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


def _look(network: nn.Module, inputs: Inputs, rows: Rows, take: Callable[[Any], None]) -> None:
    """Show `rows` to the network in batches and hand on what it gives."""
    if len(rows) == 0:
        raise ValueError("no rows to look at: give at least one")
    size = BATCH.get(inputs.device.type, BATCH["cpu"])
    with evaluating(network), torch.no_grad(), multiply_in("float32", inputs.device):
        for images in inputs.batches(in_order(np.asarray(rows), size)):
            take(network(images))


def _stacked(parts: list[Tensor]) -> Floats:
    return np.asarray(torch.cat(parts).double().cpu().numpy())
