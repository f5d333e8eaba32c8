"""Transform and resize as one banded linear operator: traces straight to small scalograms.

Both are linear. The resize along time is taken over to the traces: for each column of the image a
window of the trace is cut out where the column lies, interpolated. The resize along frequency is
taken over to the kernels: one a row of the image. What remains is a product of windows and kernels,
in bands of rows, since high frequencies need the middle of a window only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sts.base.types import Bools, Floats, Ints
from sts.scalograms.resize import Taps, bilinear, second_difference
from sts.scalograms.traces import padded
from sts.scalograms.wavelet import FREQS_HZ, Kernels, hat_kernels, pywt_kernels
from sts.signals.resample import SAMPLES

# Half a scale less than at full resolution: 10 % quicker, and still 1e-5 from it.
REACH_SCALES: Final = 5.5
# A band ends where its kernels need less than this part of its widest: eight bands, 14 % of the
# products for nothing; more bands cost more in calls than they save.
BAND_SHARE: Final = 0.75
# Antialiasing by second differences loses digits as columns get denser, and gains little.
SPARSEST: Final = SAMPLES // 4
# Columns that are tried to be taken together; rarely is there anything regular beyond.
FARTHEST: Final = 64


@dataclass(frozen=True)
class _Band:
    """Rows of the image that use the same part of every window."""

    rows: slice
    lags: slice
    kernels: Tensor
    """(rows, lags)."""


@dataclass(frozen=True)
class _Run:
    """Columns of the image whose windows begin at equal distances."""

    columns: slice
    count: int
    first: int
    stride: int
    offsets: tuple[int, ...]
    """Samples that are summed, counted from where a window begins."""
    weights: tuple[Tensor, ...]
    """(columns, 1) each."""


class FusedOperator:
    """The scalogram of traces, resized to `height` x `width`."""

    def __init__(
        self, height: int, width: int, *, antialias: bool, parity: str, device: torch.device
    ) -> None:
        self.height, self.width, self.parity = height, width, parity
        kernels = hat_kernels(REACH_SCALES) if parity == "direct" else pywt_kernels()
        columns = bilinear(SAMPLES, width, antialias=antialias)
        weights = kernels.weights
        if antialias and parity == "direct" and width < SPARSEST:
            columns, weights = second_difference(columns), _second_sum(weights)
        # A hat is even: adding each window's halves together halves the products.
        self._fold = parity == "direct"
        self._reach = kernels.middle
        rows = bilinear(len(FREQS_HZ), height, antialias=antialias).dense(len(FREQS_HZ))
        self._bands = tuple(_bands(rows @ weights, _row_reach(rows, kernels), self._fold, device))
        self._pad = self._reach + _overhang(columns)
        self._runs = tuple(_runs(columns, self._pad - self._reach, device))

    @property
    def bytes_a_trace(self) -> int:
        """Return the working memory that one trace takes."""
        lags = 2 * self._reach + 1
        return 4 * self.width * (lags + self._reach + self.height)

    def chunks(self, traces_mv: Tensor, size: int) -> Iterator[Tensor]:
        """Yield (height, size, width) coefficients of `size` float32 traces (n, 4800) at a time.

        Each piece is overwritten by the next.
        """
        size = min(size, len(traces_mv))
        lags = 2 * self._reach + 1
        windows = traces_mv.new_empty(size, self.width, lags)
        image = traces_mv.new_empty(self.height, size * self.width)
        for start in range(0, len(traces_mv), max(size, 1)):
            some = padded(traces_mv[start : start + size], self._pad, parity=self.parity)
            flat = self._fill(windows[: len(some)], some).view(-1, lags)
            part = image[:, : len(flat)]
            for band in self._bands:
                torch.mm(band.kernels, flat[:, band.lags].T, out=part[band.rows])
            yield part.view(-1, len(some), self.width)

    def _fill(self, windows: Tensor, traces: Tensor) -> Tensor:
        """Write what each column sees of each trace into windows (n, width, lags)."""
        n, length = traces.shape
        lags = windows.shape[2]
        for run in self._runs:
            size, stride = (n, run.count, lags), (length, run.stride, 1)
            sources = [traces.as_strided(size, stride, run.first + k) for k in run.offsets]
            _weigh(windows[:, run.columns], sources, run.weights)
        if self._fold:
            windows[..., self._reach :] += windows[..., : self._reach + 1].flip(-1)
        return windows


def _weigh(target: Tensor, sources: list[Tensor], weights: tuple[Tensor, ...]) -> None:
    """Write the weighted sum of `sources` into `target`."""
    if len(sources) == 2:
        # Two weights always sum to one; a third quicker than the sum below.
        torch.lerp(sources[0], sources[1], weights[1], out=target)
        return
    torch.mul(sources[0], weights[0], out=target)
    for source, weight in zip(sources[1:], weights[1:], strict=True):
        target.addcmul_(source, weight)


def _second_sum(weights: Floats) -> Floats:
    """Return even kernels whose second differences are the even kernels `weights`."""
    middle = weights.shape[1] // 2
    # Summed from the left end to the middle and mirrored: no rounding piles up at the right end.
    rising = np.cumsum(np.cumsum(weights[:, :middle], axis=1), axis=1)
    rising = np.pad(rising, ((0, 0), (1, 0)))
    return np.concatenate([rising, rising[:, -2::-1]], axis=1)


def _row_reach(rows: Floats, kernels: Kernels) -> Ints:
    used: Bools = rows != 0
    return np.asarray(np.where(used, kernels.reach, 0).max(axis=1))


def _bands(weights: Floats, reach: Ints, fold: bool, device: torch.device) -> Iterator[_Band]:
    middle = weights.shape[1] // 2
    start = 0
    for stop in range(1, len(reach) + 1):
        widest = int(reach[start])
        if stop < len(reach) and reach[stop] >= BAND_SHARE * widest:
            continue
        lags = slice(middle if fold else middle - widest, middle + widest + 1)
        kernels = weights[start:stop, lags].copy()
        if fold:
            # The fold counts the middle twice.
            kernels[:, 0] /= 2
        tensor = torch.from_numpy(kernels.astype(np.float32)).to(device)
        yield _Band(slice(start, stop), lags, tensor)
        start = stop


def _overhang(columns: Taps) -> int:
    """Return by how many samples the taps stick out of a trace, at the worse end."""
    last = columns.first.max() + columns.weights.shape[1] - 1
    return int(max(0, -columns.first.min(), last - (SAMPLES - 1)))


def _runs(columns: Taps, shift: int, device: torch.device) -> Iterator[_Run]:
    apart, stride = _regular(columns.first)
    for phase in range(apart):
        members = np.arange(phase, len(columns.first), apart)
        breaks = np.flatnonzero(np.diff(columns.first[members]) != stride) + 1
        for some in np.split(members, breaks):
            weights = columns.weights[some]
            (used,) = np.nonzero(np.any(weights != 0, axis=0))
            tensors = torch.tensor(weights.T[used, :, None], dtype=torch.float32, device=device)
            yield _Run(
                columns=slice(int(some[0]), int(some[-1]) + 1, apart),
                count=len(some),
                first=int(columns.first[some[0]]) + shift,
                stride=stride,
                offsets=tuple(used.tolist()),
                weights=tuple(tensors),
            )


def _regular(first: Ints) -> tuple[int, int]:
    """Return how many columns apart windows most often begin equally many samples apart.

    The fewest runs, that is: at 299 columns 17 of neighbours, whose windows begin 16 or 17 samples
    apart, at 224 columns 7 of every seventh.
    """
    found = {}
    for apart in range(1, min(len(first), FARTHEST) + 1):
        steps = first[apart:] - first[:-apart]
        stride = int(np.bincount(steps).argmax()) if len(steps) else 1
        found[apart] = (apart + int((steps != stride).sum()), apart, stride)
    _, apart, stride = min(found.values())
    return apart, stride
