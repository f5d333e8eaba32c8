"""Traces to scalograms at full resolution, by batched real FFT in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sts.base.errors import one_of
from sts.base.types import Floats
from sts.scalograms.wavelet import (
    FREQS_HZ,
    PARITIES,
    Kernels,
    check_traces,
    hat_kernels,
    pad_traces,
    pywt_kernels,
)
from sts.signals.resample import SAMPLES

# Lengths for which FFT libraries are fast; most kernels fit into the shorter one.
FFT_POINTS: Final = (5120, 5400)
# Rows of a chunk. 60 rows stay in a core's cache; a whole batch at once takes 3.5 times as long,
# mostly in page faults. A GPU needs more work for each launch.
ROWS: Final = 60
CHUNK_BYTES: Final = {"cpu": 2**22, "cuda": 2**28}
# Number of traces whose spectra are in memory at a time.
TRACES_AT_ONCE: Final = 128


@dataclass(frozen=True)
class Chunk:
    """Some rows of the scalograms of some traces."""

    traces: slice
    rows: slice
    coefficients: Tensor
    """(traces, rows, 4800)."""


@dataclass(frozen=True)
class _Band:
    """Frequencies that are transformed together, with FFTs of the same length."""

    rows: slice
    points: int
    spectrum: Tensor
    """(rows, points // 2 + 1) complex64."""


class Transform:
    """Signed Mexican-hat coefficients of traces, for 20 to 199 Hz and every sample."""

    def __init__(self, parity: str = "direct", device: torch.device | str = "cpu") -> None:
        self.parity = one_of(parity, PARITIES, "parity")
        self.device = torch.device(device)
        kernels = hat_kernels() if parity == "direct" else pywt_kernels()
        self._bands = tuple(_make_bands(kernels, parity, self.device))

    @torch.no_grad()
    def __call__(self, traces_mv: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return (n, 180, 4800) coefficients of traces (n, 4800), in `out` if it is given."""
        check_traces(traces_mv, (SAMPLES,))
        shape = (len(traces_mv), len(FREQS_HZ), SAMPLES)
        if out is None:
            out = torch.empty(shape, device=self.device)
        elif tuple(out.shape) != shape:
            raise ValueError(f"out must be of shape {shape}, not {tuple(out.shape)}")
        for chunk in self.chunks(traces_mv):
            out[chunk.traces, chunk.rows] = chunk.coefficients
        return out

    @torch.no_grad()
    def chunks(self, traces_mv: Tensor) -> Iterator[Chunk]:
        """Yield the coefficients of traces (n, 4800) in pieces of bounded size."""
        check_traces(traces_mv, (SAMPLES,))
        for start in range(0, len(traces_mv), TRACES_AT_ONCE):
            block = traces_mv[start : start + TRACES_AT_ONCE].to(self.device, torch.float32)
            for points in FFT_POINTS:
                bands = [band for band in self._bands if band.points == points]
                yield from self._block(block, start, bands, points)

    def _block(self, block: Tensor, start: int, bands: list[_Band], points: int) -> Iterator[Chunk]:
        pad = (points - SAMPLES) // 2
        spectra = torch.fft.rfft(pad_traces(block, pad, parity=self.parity))[:, None]
        room = CHUNK_BYTES.get(self.device.type, CHUNK_BYTES["cpu"])
        for band in bands:
            # The product and its inverse take about 4 bytes a point each.
            count = max(1, room // (8 * points * len(band.spectrum)))
            shape = (min(count, len(block)), *band.spectrum.shape)
            product = torch.empty(shape, dtype=torch.complex64, device=self.device)
            for at in range(0, len(block), count):
                some = spectra[at : at + count]
                filtered = torch.mul(some, band.spectrum, out=product[: len(some)])
                coefficients = torch.fft.irfft(filtered, n=points)[..., pad : pad + SAMPLES]
                yield Chunk(slice(start + at, start + at + len(some)), band.rows, coefficients)


def compute_scalograms(
    traces_mv: Floats, *, parity: str = "direct", device: torch.device | str = "cpu"
) -> Floats:
    """Return (n, 180, 4800) coefficients of traces (n, 4800) as float32 numpy arrays."""
    traces = torch.from_numpy(np.ascontiguousarray(traces_mv, dtype=np.float32))
    return np.asarray(Transform(parity, device)(traces).cpu().numpy())


def _make_bands(kernels: Kernels, parity: str, device: torch.device) -> Iterator[_Band]:
    # An FFT joins both ends of a trace. They may share zeros, but not edge values.
    ends = 2 if parity == "direct" else 1
    needed = SAMPLES + ends * kernels.reach
    points = np.array([next(size for size in FFT_POINTS if size >= n) for n in needed])
    for size in FFT_POINTS:
        (rows,) = np.nonzero(points == size)
        for some in np.array_split(rows, -(-len(rows) // ROWS)):
            spectrum = torch.from_numpy(_compute_spectrum(kernels.weights[some], size))
            yield _Band(slice(int(some[0]), int(some[-1]) + 1), size, spectrum.to(device))


def _compute_spectrum(weights: Floats, points: int) -> Floats:
    """Return the spectra of kernels, (rows, points // 2 + 1)."""
    middle = weights.shape[1] // 2
    circle = np.zeros((len(weights), points))
    circle[:, : middle + 1] = weights[:, middle:]
    circle[:, points - middle :] = weights[:, :middle]
    # conj: weights are indexed by lag, as in a correlation; a product of spectra convolves.
    return np.conj(np.fft.rfft(circle)).astype(np.complex64)
