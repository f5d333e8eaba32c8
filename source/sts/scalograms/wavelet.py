"""The Mexican hat: its frequencies, scales and sampled kernels, and the transform as defined.

`direct_sum` and `by_pywt` are slow, in float64: what the fast ones are held against.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pywt

from sts.base.types import Floats, Ints
from sts.scalograms.traces import BASELINE
from sts.signals.resample import RATE_HZ

FREQS_HZ: Final = np.arange(20.0, 200.0)
# A hat has this many cycles in a time of one scale.
CENTRE_CYCLES: Final = 0.25
# Scales to either side of the middle; what is cut off there weighs 1e-7 of a hat.
REACH_SCALES: Final = 6.0
# pywt's default was 10 until its release 1.9 and is 12 since: 1.2 % of the coefficients.
PYWT_PRECISION: Final = 12


@dataclass(frozen=True)
class Kernels:
    """Weights of one kernel a frequency, by lag: coefficient[b] = sum of weights * x[b + lag]."""

    weights: Floats
    """(frequencies, 2 * widest reach + 1) float64, lag 0 in the middle, 0 where not in use."""
    reach: Ints
    """(frequencies,) largest lag in use."""

    @property
    def middle(self) -> int:
        """Return the column of lag 0."""
        return int(self.weights.shape[1]) // 2


def scales(freqs_hz: Floats = FREQS_HZ, rate_hz: float = RATE_HZ) -> Floats:
    """Return the scale, in samples, at which a hat's centre frequency is `freqs_hz`."""
    return np.asarray(CENTRE_CYCLES * rate_hz / freqs_hz, dtype=np.float64)


def psi(t: Floats) -> Floats:
    """Return the Mexican hat of unit energy at `t` scales from its middle."""
    height = 2 / (np.sqrt(3) * np.pi**0.25)
    return np.asarray(height * (1 - t**2) * np.exp(-(t**2) / 2), dtype=np.float64)


def hat_kernels(reach_scales: float = REACH_SCALES) -> Kernels:
    """Return the hats themselves, sampled at every lag up to `reach_scales` scales."""
    return _stacked([_hat(scale, reach_scales) for scale in scales()])


def pywt_kernels() -> Kernels:
    """Return the kernels that `pywt.cwt(..., "mexh", precision=12)` amounts to."""
    integral, t = pywt.integrate_wavelet("mexh", precision=PYWT_PRECISION)
    return _stacked([_by_pywt(scale, integral, t) for scale in scales()])


def direct_sum(trace_mv: Floats) -> Floats:
    """Return W(a, b) = a^(-1/2) sum_t x(t) psi((t - b) / a), (frequencies, samples) in float64.

    The baseline is removed and the ends are continued by their edge values first.
    """
    trace = np.asarray(trace_mv, dtype=np.float64)
    kernels = hat_kernels()
    rested = np.pad(trace - trace[:BASELINE].mean(), kernels.middle, mode="edge")
    # np.convolve sums directly; that it turns the kernel round does not matter to a hat.
    return np.stack([np.convolve(rested, weights, mode="valid") for weights in kernels.weights])


def by_pywt(traces_mv: Floats, *, method: str = "conv") -> Floats:
    """Return what `pywt.cwt` gives for traces (..., samples), (frequencies, ..., samples)."""
    coefficients, _ = pywt.cwt(
        traces_mv,
        scales(),
        "mexh",
        sampling_period=1 / RATE_HZ,
        method=method,
        precision=PYWT_PRECISION,
    )
    return np.asarray(coefficients)


def _hat(scale: float, reach_scales: float) -> Floats:
    reach = int(np.ceil(reach_scales * scale))
    lags = np.arange(-reach, reach + 1)
    return np.asarray(psi(lags / scale) / np.sqrt(scale), dtype=np.float64)


def _by_pywt(scale: float, integral: Floats, t: Floats) -> Floats:
    """Return the kernel that pywt uses at `scale`, padded to be odd with lag 0 in its middle."""
    # pywt stretches the wavelet's integral by picking samples, rounding indices down, convolves,
    # and takes differences after: one convolution with the differences of the picked samples.
    picked = np.arange(scale * (t[-1] - t[0]) + 1) / (scale * (t[1] - t[0]))
    samples = integral[picked.astype(int)[picked < len(integral)]][::-1]
    taps = -np.sqrt(scale) * np.diff(samples, prepend=0.0, append=0.0)
    # It then cuts the ends: floor of half the surplus in front, past one difference it never takes.
    latest = 1 + (len(samples) - 2) // 2
    by_lag = taps[::-1]
    first_lag = latest - (len(taps) - 1)
    reach = max(latest, -first_lag)
    return np.pad(by_lag, (reach + first_lag, reach - latest))


def _stacked(kernels: list[Floats]) -> Kernels:
    reach = np.array([len(kernel) // 2 for kernel in kernels])
    weights = np.zeros((len(kernels), 2 * reach.max() + 1))
    for row, kernel in zip(weights, kernels, strict=True):
        edge = (len(row) - len(kernel)) // 2
        row[edge : len(row) - edge] = kernel
    return Kernels(weights, reach)
