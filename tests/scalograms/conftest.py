"""Traces that scalograms are made of, with spikes, a step and a resting potential."""

import numpy as np
import pytest

from sts.base.types import Floats
from sts.signals.resample import RATE_HZ, SAMPLES


def spiking(rng: np.random.Generator) -> Floats:
    """A cell at -70 mV that is depolarised for a second and fires; ends elsewhere than it began."""
    time_ms = np.arange(SAMPLES) / RATE_HZ * 1e3
    trace = -70 + rng.normal(scale=0.2, size=SAMPLES)
    trace[400:4400] += 20 * (1 - np.exp(-np.arange(4000) / 60))
    trace[4400:] += 8
    for spike_ms in 105 + np.cumsum(rng.uniform(12, 60, size=40)):
        if spike_ms < 1095:
            trace += 90 * np.exp(-0.5 * ((time_ms - spike_ms) / 0.3) ** 2)
    return trace


@pytest.fixture(scope="session")
def traces() -> Floats:
    """Five cells of two sweeps, (5, 2, 4800) float32."""
    rng = np.random.default_rng(20)
    cells = [[spiking(rng), spiking(rng)] for _ in range(5)]
    return np.asarray(cells, dtype=np.float32)
