"""The rhythm of a spike train: intervals, rate and adaptation."""

import numpy as np

from sts.base.types import Floats
from sts.signals.protocol import LongSquare
from sts.signals.spikes import Spikes


def intervals_ms(spikes: Spikes, rate_hz: float) -> Floats:
    """Return the intervals between successive thresholds."""
    return np.diff(spikes.threshold_index) * (1000 / rate_hz)


def adaptation(intervals: Floats) -> float:
    """Return the mean normalised difference of successive intervals, NaN for fewer than two."""
    if len(intervals) < 2:
        return np.nan
    return float(np.mean(np.diff(intervals) / (intervals[1:] + intervals[:-1])))


def rate_per_s(square: LongSquare) -> float:
    """Return the spikes of a long square per second of its step."""
    begins = square.spikes.threshold_index
    step = square.step
    return float(np.sum((begins >= step.onset) & (begins <= step.end)) / step.duration_s)
