"""The Mexican hat: its frequencies and kernels, its definition, and traces prepared for it.

`sum_directly` and `transform_by_pywt` are slow and in float64: references for the fast transforms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pywt
import torch
from torch import Tensor
from torch.nn import functional

from sts.base.types import Floats, Ints
from sts.signals.resample import BEFORE_S, RATE_HZ

FREQS_HZ: Final = np.arange(20.0, 200.0)
# Samples before the stimulus, whose mean is the baseline.
BASELINE_SAMPLES: Final = round(BEFORE_S * RATE_HZ)
# direct: the definition, on a trace without its baseline, continued by its edge values.
# pywt: the output of pywt.cwt for the raw trace, which it continues by zeros.
PARITIES: Final = ("direct", "pywt")
# Cycles of a hat in a time of one scale.
CENTRE_CYCLES: Final = 0.25
# Scales on either side of the middle; the rest of a hat weighs 1e-7 of it.
REACH_SCALES: Final = 6.0
# The default of pywt was 10 until its release 1.9 and is 12 since: 1.2 % of the coefficients.
PYWT_PRECISION: Final = 12


def check_traces(traces: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless `traces` contains floating-point rows of `shape`."""
    if traces.ndim != len(shape) + 1 or tuple(traces.shape[1:]) != shape:
        wanted = ", ".join(str(size) for size in ("n", *shape))
        raise ValueError(f"traces must be of shape ({wanted}), not {tuple(traces.shape)}")
    if not traces.is_floating_point():
        raise ValueError(f"traces must be floating-point mV, not {traces.dtype}")


def pad_traces(traces_mv: Tensor, pad: int, *, parity: str) -> Tensor:
    """Return traces (n, 4800) as (n, pad + 4800 + pad), continued as `parity` asks."""
    if parity == "pywt":
        return functional.pad(traces_mv, (pad, pad))
    # With a baseline of -70 mV the edges would be three times brighter than any spike, and float32
    # would lose digits.
    resting = traces_mv[:, :BASELINE_SAMPLES].mean(dim=1, keepdim=True)
    return functional.pad((traces_mv - resting)[:, None], (pad, pad), mode="replicate")[:, 0]


def move_rows(rows: Sequence[int] | Ints, device: torch.device) -> Tensor:
    """Return row numbers on `device`; a GPU does not wait for them."""
    index = torch.from_numpy(np.array(rows, dtype=np.int64))
    if device.type != "cuda":
        return index
    # From pageable memory the copy would wait until the GPU has finished all its work.
    return index.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class Kernels:
    """Weights of one kernel for each frequency: coefficient[b] = sum of weights * x[b + lag]."""

    weights: Floats
    """(frequencies, 2 * widest reach + 1) float64, lag 0 in the middle, 0 beyond the reach."""
    reach: Ints
    """(frequencies,) largest lag of each kernel."""

    @property
    def middle(self) -> int:
        """Return the column of lag 0."""
        return int(self.weights.shape[1]) // 2


def compute_scales() -> Floats:
    """Return the scales, in samples, at which the centre frequencies of hats are `FREQS_HZ`."""
    return np.asarray(CENTRE_CYCLES * RATE_HZ / FREQS_HZ, dtype=np.float64)


def psi(t: Floats) -> Floats:
    """Return the Mexican hat of unit energy at `t` scales from its middle."""
    height = 2 / (np.sqrt(3) * np.pi**0.25)
    return np.asarray(height * (1 - t**2) * np.exp(-(t**2) / 2), dtype=np.float64)


def hat_kernels(reach_scales: float = REACH_SCALES) -> Kernels:
    """Return the hats, sampled at every lag up to `reach_scales` scales."""
    kernels = []
    for scale in compute_scales():
        reach = int(np.ceil(reach_scales * scale))
        kernels.append(psi(np.arange(-reach, reach + 1) / scale) / np.sqrt(scale))
    return _stack_kernels(kernels)


def pywt_kernels() -> Kernels:
    """Return kernels that give the coefficients of `pywt.cwt(..., "mexh", precision=12)`."""
    integral, t = pywt.integrate_wavelet("mexh", precision=PYWT_PRECISION)
    return _stack_kernels([_sample_as_pywt(scale, integral, t) for scale in compute_scales()])


def sum_directly(trace_mv: Floats) -> Floats:
    """Return W(a, b) = a^(-1/2) sum_t x(t) psi((t - b) / a), (frequencies, samples) in float64.

    First the baseline is removed and the ends are continued by their edge values.
    """
    trace = np.asarray(trace_mv, dtype=np.float64)
    kernels = hat_kernels()
    rested = np.pad(trace - trace[:BASELINE_SAMPLES].mean(), kernels.middle, mode="edge")
    # np.convolve sums directly. It reverses the kernel, which does not change a hat.
    return np.stack([np.convolve(rested, weights, mode="valid") for weights in kernels.weights])


def transform_by_pywt(traces_mv: Floats, *, method: str = "conv") -> Floats:
    """Return the output of `pywt.cwt` for traces (..., samples), (frequencies, ..., samples)."""
    coefficients, _ = pywt.cwt(
        traces_mv,
        compute_scales(),
        "mexh",
        sampling_period=1 / RATE_HZ,
        method=method,
        precision=PYWT_PRECISION,
    )
    return np.asarray(coefficients)


def _sample_as_pywt(scale: float, integral: Floats, t: Floats) -> Floats:
    """Return the kernel that pywt uses at `scale`, padded so that lag 0 is in the middle."""
    # pywt stretches the integral of the wavelet by picking samples (indices rounded down),
    # convolves, and then takes differences. This equals one convolution with the differences of
    # the picked samples.
    picked = np.arange(scale * (t[-1] - t[0]) + 1) / (scale * (t[1] - t[0]))
    samples = integral[picked.astype(int)[picked < len(integral)]][::-1]
    taps = -np.sqrt(scale) * np.diff(samples, prepend=0.0, append=0.0)
    # pywt then cuts the ends: at the front half of the surplus, rounded down, and one more.
    latest = 1 + (len(samples) - 2) // 2
    by_lag = taps[::-1]
    first_lag = latest - (len(taps) - 1)
    reach = max(latest, -first_lag)
    return np.pad(by_lag, (reach + first_lag, reach - latest))


def _stack_kernels(kernels: list[Floats]) -> Kernels:
    reach = np.array([len(kernel) // 2 for kernel in kernels])
    weights = np.zeros((len(kernels), 2 * reach.max() + 1))
    for row, kernel in zip(weights, kernels, strict=True):
        edge = (len(row) - len(kernel)) // 2
        row[edge : len(row) - edge] = kernel
    return Kernels(weights, reach)
