"""Where attention lies, in numbers: shares of a map before, during and after the stimulus."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Floats, Ints
from sts.networks.saliency import shares
from sts.scalograms.wavelet import FREQS_HZ
from sts.signals.resample import BEFORE_S, WINDOW_S

# Seconds from the onset of a stimulus of 1 s.
TIMES_S: Final = {
    "before": (-BEFORE_S, 0.0),
    "first 100 ms": (0.0, 0.1),
    "during": (0.1, 0.9),
    "last 100 ms": (0.9, 1.0),
    "after": (1.0, WINDOW_S - BEFORE_S),
}
# About an octave each. A row of a scalogram reaches half a hertz to either side.
BANDS_HZ: Final = {
    "20-40 Hz": (FREQS_HZ[0] - 0.5, 40.0),
    "40-80 Hz": (40.0, 80.0),
    "80-140 Hz": (80.0, 140.0),
    "140-200 Hz": (140.0, FREQS_HZ[-1] + 0.5),
}
SWEEP_NAMES: Final = ("rheobase sweep", "second sweep")


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Shares that sum to one each, averaged over cells; `even` is what a blank map would have."""

    cells: int
    times: dict[str, float]
    bands: dict[str, float]
    sweeps: dict[str, float]
    even_times: dict[str, float]
    even_bands: dict[str, float]


def attention(maps: Floats) -> Attention:
    """Return where the attention of maps (cells, 2, H, W) lies; every cell counts the same."""
    mean = shares(maps).mean(axis=0)
    height, width = mean.shape[1:]
    edges_s = np.linspace(-BEFORE_S, WINDOW_S - BEFORE_S, width + 1)
    edges_hz = np.linspace(FREQS_HZ[0] - 0.5, FREQS_HZ[-1] + 0.5, height + 1)
    return Attention(
        cells=len(maps),
        times=_within(mean.sum(axis=(0, 1)), edges_s, TIMES_S),
        bands=_within(mean.sum(axis=(0, 2)), edges_hz, BANDS_HZ),
        sweeps=dict(zip(SWEEP_NAMES, mean.sum(axis=(1, 2)).tolist(), strict=True)),
        even_times=_within(np.full(width, 1 / width), edges_s, TIMES_S),
        even_bands=_within(np.full(height, 1 / height), edges_hz, BANDS_HZ),
    )


def attention_by_class(maps: Floats, classes: Ints, names: tuple[str, ...]) -> dict[str, Attention]:
    """Return the attention of the cells of each class that has any, by name."""
    return {
        name: attention(maps[classes == index])
        for index, name in enumerate(names)
        if (classes == index).any()
    }


def _within(
    values: Floats, edges: Floats, parts: dict[str, tuple[float, float]]
) -> dict[str, float]:
    """Return the sum of `values` in each part; a pixel on a border is divided by its area."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return {
        name: float(np.interp(end, edges, sums) - np.interp(start, edges, sums))
        for name, (start, end) in parts.items()
    }
