"""Saliency: the parts of a scalogram that determine the decision of a network.

Maps are (cells, 2, H, W): one for each sweep, over the same axes as the scalograms. The values of
all colours of an image that show a sweep are added up in the map of that sweep.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from sts.base.types import Floats, Ints
from sts.networks.backbones import Architecture, make_network, place_network, split_outputs
from sts.networks.predict import evaluation_mode
from sts.networks.settings import cut_batches
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import SWEEPS_PER_CELL, RowNumbers
from sts.scalograms.wavelet import FREQS_HZ
from sts.signals.resample import BEFORE_S, WINDOW_S

# Steps of the integral of integrated gradients.
GRADIENT_STEPS: Final = 32
# Seed of the random weights for comparison; not 0, which is the default of a training.
RANDOM: Final = 20180810
# Number of images in a batch.
SALIENCY_BATCH: Final = {"cpu": 16, "cuda": 128}
# Parts of the window, in seconds from the onset of a stimulus of 1 s.
TIMES_S: Final = {
    "before": (-BEFORE_S, 0.0),
    "first 100 ms": (0.0, 0.1),
    "during": (0.1, 0.9),
    "last 100 ms": (0.9, 1.0),
    "after": (1.0, WINDOW_S - BEFORE_S),
}
# Bands of about an octave. A row of a scalogram includes half a hertz on either side.
_BANDS_HZ: Final = {
    "20-40 Hz": (FREQS_HZ[0] - 0.5, 40.0),
    "40-80 Hz": (40.0, 80.0),
    "80-140 Hz": (80.0, 140.0),
    "140-200 Hz": (140.0, FREQS_HZ[-1] + 0.5),
}
SWEEP_NAMES: Final = ("rheobase sweep", "second sweep")


def gradient(network: nn.Module, bank: ImageBank, rows: RowNumbers, targets: Ints) -> Floats:
    """Return the derivative of the logit of each cell's target class by every coefficient.

    Simonyan et al. (2014), signed.
    """
    deviation = torch.tensor(bank.settings.deviation or (1.0, 1.0, 1.0), device=bank.device)

    def explain(images: Tensor, wanted: Tensor) -> Tensor:
        return _differentiate(network, images, wanted) / deviation[:, None, None]

    return _make_maps(network, bank, rows, targets, explain)


def integrated_gradients(
    network: nn.Module,
    bank: ImageBank,
    rows: RowNumbers,
    targets: Ints,
    *,
    steps: int = GRADIENT_STEPS,
) -> Floats:
    """Return the contribution of every coefficient to the logit of each cell's target class.

    Sundararajan et al. (2017), with the image of a constant trace as baseline. A map adds up to
    the difference between the two logits, up to the error of an integral of `steps` midpoints.
    """

    def explain(images: Tensor, wanted: Tensor) -> Tensor:
        dark = bank.dark()
        way = images - dark
        total = torch.zeros_like(images)
        for step in range(steps):
            total += _differentiate(network, dark + (step + 0.5) / steps * way, wanted)
        return way * total / steps

    return _make_maps(network, bank, rows, targets, explain)


SALIENCY_METHODS: Final[dict[str, Callable[[nn.Module, ImageBank, RowNumbers, Ints], Floats]]] = {
    "gradient": gradient,
    "integrated gradients": integrated_gradients,
}


def normalise_maps(maps: Floats) -> Floats:
    """Return the absolute values of maps, divided so that they sum to one in every cell."""
    sizes = np.abs(maps.astype(np.float64))
    sums = sizes.sum(axis=(1, 2, 3), keepdims=True)
    return np.asarray(sizes / np.where(sums > 0, sums, 1))


def average_classes(maps: Floats, classes: Ints, count: int) -> dict[int, Floats]:
    """Return the mean normalised map (2, H, W) of each class that has cells."""
    normalised = normalise_maps(maps)
    return {c: normalised[classes == c].mean(axis=0) for c in range(count) if (classes == c).any()}


def correlate_with_random(
    architecture: Architecture,
    bank: ImageBank,
    rows: RowNumbers,
    targets: Ints,
    maps: dict[str, Floats],
) -> dict[str, float]:
    """Return the correlation of `maps` with those of the same network with random weights.

    By method: the mean over cells of Spearman's rank correlation of absolute values (Adebayo et
    al., 2018). A map that stays the same does not show what the network has learnt. Integrated
    gradients contain the image itself, so they stay similar to some degree.
    """
    untrained = make_network(replace(architecture, weights="none"), seed=RANDOM)
    random = place_network(untrained, bank.device)
    return {
        name: correlate_ranks(map_, SALIENCY_METHODS[name](random, bank, rows, targets))
        for name, map_ in maps.items()
    }


def correlate_ranks(maps: Floats, others: Floats) -> float:
    """Return the mean over cells of Spearman's correlation of the absolute values of maps."""
    pairs = zip(np.abs(maps), np.abs(others), strict=True)
    correlations = [
        np.corrcoef(rankdata(one.ravel()), rankdata(other.ravel()))[0, 1] for one, other in pairs
    ]
    return float(np.mean(correlations))


def _make_maps(
    network: nn.Module,
    bank: ImageBank,
    rows: RowNumbers,
    targets: Ints,
    explain: Callable[[Tensor, Tensor], Tensor],
) -> Floats:
    """Return the output of `explain` for images (n, 3, H, W), the colours of a sweep added up."""
    whole = np.asarray(rows, dtype=np.int64)
    if len(whole) == 0 or len(whole) != len(targets):
        raise ValueError(f"{len(whole)} cells and {len(targets)} targets: give one for each cell")
    wanted = torch.as_tensor(np.asarray(targets, dtype=np.int64), device=bank.device)
    parts = []
    with evaluation_mode(network):
        batches = cut_batches(whole, SALIENCY_BATCH.get(bank.device.type, SALIENCY_BATCH["cpu"]))
        for images in bank.batches(batches):
            gradients = explain(images, wanted[: len(images)])
            wanted = wanted[len(images) :]
            maps = torch.zeros_like(gradients[:, :SWEEPS_PER_CELL])
            for colour, sweep in enumerate(bank.settings.colours):
                maps[:, sweep] += gradients[:, colour]
            parts.append(maps.cpu().numpy())
    return np.concatenate(parts)


def _differentiate(network: nn.Module, images: Tensor, wanted: Tensor) -> Tensor:
    """Return the gradient of the wanted logit of each image."""
    images = images.detach().requires_grad_()
    logits = split_outputs(network(images))[0]
    # In evaluation mode images do not depend on each other: the gradient of the sum of logits
    # contains the gradient of each image.
    (gradient,) = torch.autograd.grad(logits.gather(1, wanted[:, None]).sum(), images)
    return gradient


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Shares of attention, averaged over cells; each group sums to one.

    `even_times` and `even_bands` are the shares of an even map.
    """

    cells: int
    times: dict[str, float]
    bands: dict[str, float]
    sweeps: dict[str, float]
    even_times: dict[str, float]
    even_bands: dict[str, float]


def measure_attention(maps: Floats) -> Attention:
    """Return the shares of attention of maps (cells, 2, H, W), with equal weights of all cells."""
    mean = normalise_maps(maps).mean(axis=0)
    height, width = mean.shape[1:]
    edges_s = np.linspace(-BEFORE_S, WINDOW_S - BEFORE_S, width + 1)
    edges_hz = np.linspace(FREQS_HZ[0] - 0.5, FREQS_HZ[-1] + 0.5, height + 1)
    return Attention(
        cells=len(maps),
        times=_sum_parts(mean.sum(axis=(0, 1)), edges_s, TIMES_S),
        bands=_sum_parts(mean.sum(axis=(0, 2)), edges_hz, _BANDS_HZ),
        sweeps=dict(zip(SWEEP_NAMES, mean.sum(axis=(1, 2)).tolist(), strict=True)),
        even_times=_sum_parts(np.full(width, 1 / width), edges_s, TIMES_S),
        even_bands=_sum_parts(np.full(height, 1 / height), edges_hz, _BANDS_HZ),
    )


def measure_attention_by_class(
    maps: Floats, classes: Ints, names: tuple[str, ...]
) -> dict[str, Attention]:
    """Return the attention of each class that has cells, by name."""
    return {
        name: measure_attention(maps[classes == index])
        for index, name in enumerate(names)
        if (classes == index).any()
    }


def _sum_parts(
    values: Floats, edges: Floats, parts: dict[str, tuple[float, float]]
) -> dict[str, float]:
    """Return the sum of `values` in each part; a pixel on a border is divided by its area."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return {
        name: float(np.interp(end, edges, sums) - np.interp(start, edges, sums))
        for name, (start, end) in parts.items()
    }
