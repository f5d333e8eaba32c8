"""The transform written down as it is defined, in float64: what the fast ones are held against."""

import numpy as np
import pywt

from sts.base.types import Floats
from sts.scalograms.traces import BASELINE
from sts.scalograms.wavelet import PYWT_PRECISION, hat_kernels, scales
from sts.signals.resample import RATE_HZ


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
