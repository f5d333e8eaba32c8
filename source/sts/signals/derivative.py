"""How fast the voltage changes, behind the low-pass filter that the spike definitions ask for."""

from functools import lru_cache

import numpy as np
from scipy import signal

from sts.base.types import Floats

FILTER_HZ = 10_000.0


def filter_fits(rate_hz: float, cutoff_hz: float = FILTER_HZ) -> bool:
    """Tell whether the filter's cutoff lies below half the sampling rate."""
    return cutoff_hz < rate_hz / 2


def derivative(voltage_mv: Floats, rate_hz: float, *, cutoff_hz: float = FILTER_HZ) -> Floats:
    """Return dV/dt in mV/ms between successive samples, one fewer than there are samples.

    A fourth-order Bessel low-pass runs forwards and backwards first, where the rate allows it.
    """
    voltage = np.asarray(voltage_mv, dtype=np.float64)
    if filter_fits(rate_hz, cutoff_hz) and len(voltage) > 1:
        b, a = _low_pass(cutoff_hz / (rate_hz / 2))
        padding = min(3 * len(a), len(voltage) - 1)
        voltage = signal.filtfilt(b, a, voltage, padlen=padding)
    return np.diff(voltage) * (rate_hz / 1000)


@lru_cache(maxsize=32)
def _low_pass(share: float) -> tuple[Floats, Floats]:
    """Return the filter for a cutoff at a share of half the sampling rate."""
    b, a = signal.bessel(4, share, "low")
    return b, a
