"""Where in a scalogram a network finds its reasons, cell by cell.

Maps are (cells, 2, H, W): one for each sweep, over the same axes as the scalograms. The image's
third channel repeats the first sweep, so what it tells is added to the first sweep's map.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from sts.base.types import Floats, Ints
from sts.networks.backbones import Architecture, both_outputs, make_network, placed
from sts.networks.predict import evaluating
from sts.networks.settings import cut_batches
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import SWEEPS, Rows

STEPS: Final = 32
# The seed of random weights; not 0, which a network may have been trained from.
RANDOM: Final = 20180810
BATCH: Final = {"cpu": 16, "cuda": 128}


def gradient(network: nn.Module, bank: ImageBank, rows: Rows, targets: Ints) -> Floats:
    """Return how much each coefficient would raise the logit of each cell's target class.

    Simonyan et al. (2014), signed.
    """

    def slopes(images: Tensor, wanted: Tensor) -> Tensor:
        return _slopes(network, images, wanted) / _deviation(bank)

    return _maps(network, bank, rows, targets, slopes)


def integrated_gradients(
    network: nn.Module, bank: ImageBank, rows: Rows, targets: Ints, *, steps: int = STEPS
) -> Floats:
    """Return what each coefficient adds to the logit of each cell's target class.

    Sundararajan et al. (2017), from the image of a trace in which nothing happens. Maps add up to
    the difference between the two logits, but for the error of `steps` midpoints.
    """

    def contributions(images: Tensor, wanted: Tensor) -> Tensor:
        dark = bank.dark()
        way = images - dark
        total = torch.zeros_like(images)
        for step in range(steps):
            total += _slopes(network, dark + (step + 0.5) / steps * way, wanted)
        return way * total / steps

    return _maps(network, bank, rows, targets, contributions)


METHODS: Final[dict[str, Callable[[nn.Module, ImageBank, Rows, Ints], Floats]]] = {
    "gradient": gradient,
    "integrated gradients": integrated_gradients,
}


def shares(maps: Floats) -> Floats:
    """Return maps without sign whose values sum to one in every cell."""
    sizes = np.abs(maps.astype(np.float64))
    sums = sizes.sum(axis=(1, 2, 3), keepdims=True)
    return np.asarray(sizes / np.where(sums > 0, sums, 1))


def class_averages(maps: Floats, classes: Ints, count: int) -> dict[int, Floats]:
    """Return the mean share (2, H, W) over the cells of each class that has any.

    All cells count the same, and all windows begin 0.1 s before the stimulus.
    """
    parts = shares(maps)
    return {c: parts[classes == c].mean(axis=0) for c in range(count) if (classes == c).any()}


def random_correlation(
    architecture: Architecture, bank: ImageBank, rows: Rows, targets: Ints, maps: dict[str, Floats]
) -> dict[str, float]:
    """Return how alike `maps` and those of the same network with random weights are, by method.

    The mean over cells of Spearman's rank correlation of maps without sign (Adebayo et al., 2018).
    A map that stays the same does not tell what the network has learnt. Integrated gradients
    contain the image itself, so they keep some likeness.
    """
    untrained = make_network(replace(architecture, weights="none"), seed=RANDOM)
    random = placed(untrained, bank.device)
    return {
        name: rank_correlation(map_, METHODS[name](random, bank, rows, targets))
        for name, map_ in maps.items()
    }


def rank_correlation(maps: Floats, others: Floats) -> float:
    """Return the mean over cells of Spearman's correlation of maps without sign."""
    pairs = zip(np.abs(maps), np.abs(others), strict=True)
    found = [
        np.corrcoef(rankdata(one.ravel()), rankdata(other.ravel()))[0, 1] for one, other in pairs
    ]
    return float(np.mean(found))


def _maps(
    network: nn.Module,
    bank: ImageBank,
    rows: Rows,
    targets: Ints,
    explain: Callable[[Tensor, Tensor], Tensor],
) -> Floats:
    """Return what `explain` makes of images (n, 3, H, W), a sweep's channels added up."""
    whole = np.asarray(rows, dtype=np.int64)
    if len(whole) == 0 or len(whole) != len(targets):
        raise ValueError(f"{len(whole)} cells and {len(targets)} targets: give one for each cell")
    wanted = torch.as_tensor(np.asarray(targets, dtype=np.int64), device=bank.device)
    parts = []
    with evaluating(network):
        batches = cut_batches(whole, BATCH.get(bank.device.type, BATCH["cpu"]))
        for images in bank.batches(batches):
            found = explain(images, wanted[: len(images)])
            wanted = wanted[len(images) :]
            found[:, 0] += found[:, SWEEPS]
            parts.append(found[:, :SWEEPS].cpu().numpy())
    return np.concatenate(parts)


def _slopes(network: nn.Module, images: Tensor, wanted: Tensor) -> Tensor:
    """Return the gradient of each image's wanted logit."""
    images = images.detach().requires_grad_()
    logits = both_outputs(network(images))[0]
    # In evaluation mode no image sees another: one sum gives every image its own gradient.
    (found,) = torch.autograd.grad(logits.gather(1, wanted[:, None]).sum(), images)
    return found


def _deviation(bank: ImageBank) -> Tensor:
    """Return by what an image is a coefficient's multiple, (3, 1, 1)."""
    deviation = bank.settings.deviation or (1.0, 1.0, 1.0)
    return torch.tensor(deviation, device=bank.device)[:, None, None]
