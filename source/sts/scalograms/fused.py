"""Transform and resize as one banded linear operator: traces straight to small scalograms.

Both steps are linear. Resizing along time is applied to the traces: for each column of the image,
a window of the trace is cut out at the place of the column, interpolated. Resizing along frequency
is applied to the kernels: one for each row of the image. What remains is a product of windows and
kernels, in bands of rows, since high frequencies need only the middle of a window.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sts.base.types import Floats, Ints
from sts.scalograms.wavelet import FREQS_HZ, hat_kernels, pad_traces, pywt_kernels
from sts.signals.resample import SAMPLES

# Half a scale less than at full resolution: 10 % faster, and the error stays at 1e-5.
FUSED_REACH_SCALES: Final = 5.5
# A band ends where its kernels need less than this fraction of its widest one. This gives eight
# bands and 14 % of needless products; more bands cost more in calls than they save.
BAND_SHARE: Final = 0.75
# Most columns for which antialiasing uses second differences: denser ones lose digits.
SPARSEST: Final = SAMPLES // 4
# Largest number of columns between two windows that are cut out in one call.
FARTHEST_COLUMNS: Final = 64


@dataclass(frozen=True)
class Taps:
    """Weights of a resize: output[i] = sum over k of weights[i, k] * input[first[i] + k]."""

    first: Ints
    """(outputs,) may be outside of the input if the weight is 0."""
    weights: Floats
    """(outputs, taps) float64."""

    def dense(self, size: int) -> Floats:
        """Return the weights as a matrix (outputs, size)."""
        matrix = np.zeros((len(self.first), size))
        for k, column in enumerate(self.weights.T):
            (used,) = np.nonzero(column)
            matrix[used, self.first[used] + k] += column[used]
        return matrix


def bilinear(size: int, outputs: int, *, antialias: bool) -> Taps:
    """Return the weights of `interpolate(mode="bilinear", align_corners=False)` on one axis."""
    at = np.arange(outputs)
    exact = (at + 0.5) * (size / outputs) - 0.5
    # torch computes positions in float32, up to 3e-4 of a sample from the exact ones: at 299
    # columns that is 1.2e-4 of the largest coefficient. The mean of both is within 1e-4 of each.
    single = np.float32(size) / np.float32(outputs) * (at.astype(np.float32) + np.float32(0.5))
    position = (exact + (single - np.float32(0.5))) / 2
    if antialias and outputs < size:
        scale = size / outputs
        first = np.floor(exact - scale).astype(int)
        sources = first[:, None] + np.arange(int(np.ceil(2 * scale)) + 2)
        weights = np.clip(1 - np.abs(sources - position[:, None]) / scale, 0, None)
        weights[(sources < 0) | (sources >= size)] = 0
        return Taps(first, weights / weights.sum(axis=1, keepdims=True))
    # Two taps, the first of which may be the last sample: then the second has weight 0.
    first = np.floor(np.clip(exact, 0, size - 1)).astype(int)
    beyond = np.clip(position, 0, size - 1) - first
    return Taps(first, np.stack([1 - beyond, beyond], axis=1))


def second_difference(taps: Taps) -> Taps:
    """Return taps for an input that have the same result as `taps` for its second difference."""
    # A triangle is straight except at three corners: dozens of taps become six.
    wide = np.diff(np.pad(taps.weights, ((0, 0), (2, 2))), n=2, axis=1)
    tiny = np.abs(wide) < 1e-12 * np.abs(wide).max()
    return Taps(taps.first - 1, np.where(tiny, 0.0, wide))


@dataclass(frozen=True)
class _Band:
    """Rows of the image that use the same part of every window."""

    rows: slice
    lags: slice
    kernels: Tensor
    """(rows, lags)."""


@dataclass(frozen=True)
class _Run:
    """Columns of the image whose windows start at equal distances."""

    columns: slice
    count: int
    first: int
    stride: int
    offsets: tuple[int, ...]
    """Samples that are summed, counted from the start of a window."""
    weights: tuple[Tensor, ...]
    """(columns, 1) each."""


class FusedOperator:
    """The scalogram of traces, resized to `height` x `width`."""

    def __init__(
        self, height: int, width: int, *, antialias: bool, parity: str, device: torch.device
    ) -> None:
        self.height, self.width, self.parity = height, width, parity
        kernels = hat_kernels(FUSED_REACH_SCALES) if parity == "direct" else pywt_kernels()
        columns = bilinear(SAMPLES, width, antialias=antialias)
        weights = kernels.weights
        if antialias and parity == "direct" and width < SPARSEST:
            columns, weights = second_difference(columns), _sum_twice(weights)
        # A hat is even: adding the halves of each window together halves the products.
        self._fold = parity == "direct"
        self._reach = kernels.middle
        rows = bilinear(len(FREQS_HZ), height, antialias=antialias).dense(len(FREQS_HZ))
        reach = np.where(rows != 0, kernels.reach, 0).max(axis=1)
        self._bands = tuple(_make_bands(rows @ weights, reach, self._fold, device))
        # Samples by which the taps reach beyond the ends of a trace.
        last = columns.first.max() + columns.weights.shape[1] - 1
        overhang = int(max(0, -columns.first.min(), last - (SAMPLES - 1)))
        self._pad = self._reach + overhang
        self._runs = tuple(_make_runs(columns, overhang, device))

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
            some = pad_traces(traces_mv[start : start + size], self._pad, parity=self.parity)
            flat = self._fill(windows[: len(some)], some).view(-1, lags)
            part = image[:, : len(flat)]
            for band in self._bands:
                torch.mm(band.kernels, flat[:, band.lags].T, out=part[band.rows])
            yield part.view(-1, len(some), self.width)

    def _fill(self, windows: Tensor, traces: Tensor) -> Tensor:
        """Write the part of each trace that each column needs into windows (n, width, lags)."""
        n, length = traces.shape
        lags = windows.shape[2]
        for run in self._runs:
            size, stride = (n, run.count, lags), (length, run.stride, 1)
            sources = [traces.as_strided(size, stride, run.first + k) for k in run.offsets]
            target, weights = windows[:, run.columns], run.weights
            if len(sources) == 2:
                # Two weights always sum to one; this is a third faster than the sum below.
                torch.lerp(sources[0], sources[1], weights[1], out=target)
                continue
            torch.mul(sources[0], weights[0], out=target)
            for source, weight in zip(sources[1:], weights[1:], strict=True):
                target.addcmul_(source, weight)
        if self._fold:
            windows[..., self._reach :] += windows[..., : self._reach + 1].flip(-1)
        return windows


def _sum_twice(weights: Floats) -> Floats:
    """Return even kernels whose second differences are the even kernels `weights`."""
    middle = weights.shape[1] // 2
    # Summed from the left end to the middle and mirrored, so that no rounding error grows at the
    # right end.
    rising = np.cumsum(np.cumsum(weights[:, :middle], axis=1), axis=1)
    rising = np.pad(rising, ((0, 0), (1, 0)))
    return np.concatenate([rising, rising[:, -2::-1]], axis=1)


def _make_bands(weights: Floats, reach: Ints, fold: bool, device: torch.device) -> Iterator[_Band]:
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


def _make_runs(columns: Taps, shift: int, device: torch.device) -> Iterator[_Run]:
    distance, stride = _find_period(columns.first)
    for phase in range(distance):
        members = np.arange(phase, len(columns.first), distance)
        breaks = np.flatnonzero(np.diff(columns.first[members]) != stride) + 1
        for some in np.split(members, breaks):
            weights = columns.weights[some]
            (used,) = np.nonzero(np.any(weights != 0, axis=0))
            tensors = torch.tensor(weights.T[used, :, None], dtype=torch.float32, device=device)
            yield _Run(
                columns=slice(int(some[0]), int(some[-1]) + 1, distance),
                count=len(some),
                first=int(columns.first[some[0]]) + shift,
                stride=stride,
                offsets=tuple(used.tolist()),
                weights=tuple(tensors),
            )


def _find_period(first: Ints) -> tuple[int, int]:
    """Return a number of columns and of samples after which the windows repeat, in fewest runs.

    At 299 columns these are 17 runs of neighbours, whose windows begin 16 or 17 samples from each
    other; at 224 columns 7 runs of every seventh column.
    """
    runs = {}
    for distance in range(1, min(len(first), FARTHEST_COLUMNS) + 1):
        steps = first[distance:] - first[:-distance]
        stride = int(np.bincount(steps).argmax()) if len(steps) else 1
        runs[distance] = (distance + int((steps != stride).sum()), distance, stride)
    _, distance, stride = min(runs.values())
    return distance, stride
