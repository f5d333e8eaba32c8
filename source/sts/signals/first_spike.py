"""The features of a sweep's first spike, and their mean over sweeps."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from sts.base.types import Ints
from sts.signals.spikes import Spikes

SPIKE_FEATURES: Final = (
    "upstroke_downstroke_ratio",
    "peak_v",
    "peak_t",
    "trough_v",
    "trough_t",
    "fast_trough_v",
    "fast_trough_t",
    "slow_trough_v",
    "slow_trough_t",
    "threshold_v",
    "threshold_i",
    "threshold_t",
)


def first_spike(spikes: Spikes, *, onset: int, rate_hz: float) -> dict[str, float]:
    """Return the features of the first spike but its current, times in s from the onset."""

    def seconds(indices: Ints) -> float:
        return (int(indices[0]) - onset) / rate_hz if indices[0] >= 0 else np.nan

    return {
        "upstroke_downstroke_ratio": float(spikes.upstroke_downstroke_ratio[0]),
        "peak_v": float(spikes.peak_v[0]),
        "peak_t": seconds(spikes.peak_index),
        "trough_v": float(spikes.trough_v[0]),
        "trough_t": seconds(spikes.trough_index),
        "fast_trough_v": float(spikes.fast_trough_v[0]),
        "fast_trough_t": seconds(spikes.fast_trough_index),
        "slow_trough_v": float(spikes.slow_trough_v[0]),
        "slow_trough_t": seconds(spikes.slow_trough_index),
        "threshold_v": float(spikes.threshold_v[0]),
        "threshold_t": seconds(spikes.threshold_index),
    }


def mean_values(sweeps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every feature over the sweeps that have it; none from no sweeps."""
    if not sweeps:
        return {}
    table = np.array([[sweep[name] for name in SPIKE_FEATURES] for sweep in sweeps])
    with warnings.catch_warnings():
        # A column without a value has a missing mean.
        warnings.simplefilter("ignore", RuntimeWarning)
        means = np.nanmean(table, axis=0)
    return dict(zip(SPIKE_FEATURES, means.tolist(), strict=True))
