"""Traces to scalograms at full resolution, by batched real FFT in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sts.base.errors import one_of
from sts.base.types import Floats
from sts.scalograms.traces import PARITIES, check_traces, on_device, padded
from sts.scalograms.wavelet import FREQS_HZ, Kernels, hat_kernels, pywt_kernels
from sts.signals.resample import SAMPLES

# Lengths at which the FFT libraries are quick; most kernels fit into the shorter one.
POINTS: Final = (5120, 5400)
# A chunk of 60 rows stays in a core's cache; a whole batch at once takes 3.5 times as long, most of
# it page faults. A GPU wants more work for each launch.
ROWS: Final = 60
CHUNK_BYTES: Final = {"cpu": 2**22, "cuda": 2**28}
# Traces whose spectra are held at a time.
BLOCK: Final = 128


@dataclass(frozen=True)
class Chunk:
    """Some rows of the scalograms of some traces."""

    traces: slice
    rows: slice
    coefficients: Tensor
    """(traces, rows, 4800)."""


@dataclass(frozen=True)
class _Band:
    """Frequencies that are transformed together."""

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
        self._bands = tuple(_bands(kernels, parity, self.device))

    @torch.no_grad()
    def __call__(self, traces_mv: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return (n, 180, 4800) coefficients of traces (n, 4800), in `out` where one is given."""
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
        for start in range(0, len(traces_mv), BLOCK):
            block = on_device(traces_mv[start : start + BLOCK], self.device)
            for points in POINTS:
                bands = [band for band in self._bands if band.points == points]
                yield from self._block(block, start, bands, points)

    def _block(self, block: Tensor, start: int, bands: list[_Band], points: int) -> Iterator[Chunk]:
        pad = (points - SAMPLES) // 2
        spectra = torch.fft.rfft(padded(block, pad, parity=self.parity))[:, None]
        for band in bands:
            count = _traces_a_chunk(band, self.device)
            shape = (min(count, len(block)), *band.spectrum.shape)
            product = torch.empty(shape, dtype=torch.complex64, device=self.device)
            for at in range(0, len(block), count):
                some = spectra[at : at + count]
                filtered = torch.mul(some, band.spectrum, out=product[: len(some)])
                coefficients = torch.fft.irfft(filtered, n=points)[..., pad : pad + SAMPLES]
                yield Chunk(slice(start + at, start + at + len(some)), band.rows, coefficients)


def scalograms_of(
    traces_mv: Floats, *, parity: str = "direct", device: torch.device | str = "cpu"
) -> Floats:
    """Return (n, 180, 4800) coefficients of traces (n, 4800) as float32 numpy arrays."""
    traces = torch.from_numpy(np.ascontiguousarray(traces_mv, dtype=np.float32))
    return np.asarray(Transform(parity, device)(traces).cpu().numpy())


def _bands(kernels: Kernels, parity: str, device: torch.device) -> Iterator[_Band]:
    # The circle of an FFT joins both ends. Zeros may be shared by them, edge values may not.
    ends = 2 if parity == "direct" else 1
    needed = SAMPLES + ends * kernels.reach
    points = np.array([next(size for size in POINTS if size >= n) for n in needed])
    for size in POINTS:
        (rows,) = np.nonzero(points == size)
        for some in np.array_split(rows, -(-len(rows) // ROWS)):
            spectrum = torch.from_numpy(_spectrum(kernels.weights[some], size))
            yield _Band(slice(int(some[0]), int(some[-1]) + 1), size, spectrum.to(device))


def _spectrum(weights: Floats, points: int) -> Floats:
    """Return what a trace's spectrum is multiplied with, (rows, points // 2 + 1)."""
    middle = weights.shape[1] // 2
    circle = np.zeros((len(weights), points))
    circle[:, : middle + 1] = weights[:, middle:]
    circle[:, points - middle :] = weights[:, :middle]
    # conj: the weights are indexed by lag, a correlation, where a product of spectra convolves.
    return np.conj(np.fft.rfft(circle)).astype(np.complex64)


def _traces_a_chunk(band: _Band, device: torch.device) -> int:
    # The product and its inverse, about 4 bytes a point each.
    one = 8 * band.points * len(band.spectrum)
    return max(1, CHUNK_BYTES.get(device.type, CHUNK_BYTES["cpu"]) // one)
