"""Spikes of one sweep and their shapes, by the definitions of the Allen Institute (IPFX)."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Bools, Floats, Ints
from sts.signals.candidates import Candidates, Detection, derivative, find_candidates
from sts.signals.troughs import Troughs, find_troughs, half_widths_ms

ALLEN: Final = Detection()
# The filters forget within a few ms: more of the sweep around the interval changes nothing.
MARGIN_S = 20e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Spikes:
    """The spikes of one sweep in time order: arrays of one length, indices into the sweep.

    A missing index is -1, a missing value NaN.
    """

    threshold_index: Ints
    threshold_v: Floats
    peak_index: Ints
    peak_v: Floats
    upstroke: Floats
    """Largest dV/dt between threshold and peak, mV/ms."""
    downstroke: Floats
    """Smallest dV/dt between peak and trough, mV/ms, negative."""
    fast_trough_index: Ints
    fast_trough_v: Floats
    slow_trough_index: Ints
    slow_trough_v: Floats
    trough_index: Ints
    trough_v: Floats
    width_ms: Floats
    """Width at half of the height over the fast trough."""
    clipped: Bools
    """True where the interval ends before the spike does: its troughs are missing."""

    def __len__(self) -> int:
        return len(self.threshold_index)

    @property
    def upstroke_downstroke_ratio(self) -> Floats:
        """Return how much faster each spike rises than it falls."""
        return -self.upstroke / self.downstroke


def find_spikes(
    voltage_mv: Floats, rate_hz: float, *, start: int, end: int, detection: Detection = ALLEN
) -> Spikes:
    """Return the spikes that begin and peak in the samples from `start` to before `end`."""
    end = min(end, len(voltage_mv) - 1)
    if end - start < 2 or voltage_mv[start:end].max() < detection.min_peak_mv:
        return _no_spikes()
    margin = round(MARGIN_S * rate_hz)
    offset = max(0, start - margin)
    v = voltage_mv[offset : end + 1 + margin].astype(np.float64)
    dvdt = derivative(v, rate_hz)
    window = (start - offset, end - offset)
    found = find_candidates(v, dvdt, window=window, rate_hz=rate_hz, detection=detection)
    if not len(found.thresholds):
        return _no_spikes()
    troughs = find_troughs(v, dvdt, found, end=window[1], rate_hz=rate_hz)
    return _spikes(v, dvdt, found, troughs, offset=offset, rate_hz=rate_hz)


def _spikes(
    v: Floats, dvdt: Floats, found: Candidates, troughs: Troughs, *, offset: int, rate_hz: float
) -> Spikes:
    return Spikes(
        threshold_index=found.thresholds + offset,
        threshold_v=v[found.thresholds],
        peak_index=found.peaks + offset,
        peak_v=v[found.peaks],
        upstroke=dvdt[found.upstrokes],
        downstroke=_at(dvdt, troughs.downstrokes),
        fast_trough_index=_moved(troughs.fast, offset),
        fast_trough_v=_at(v, troughs.fast),
        slow_trough_index=_moved(troughs.slow, offset),
        slow_trough_v=_at(v, troughs.slow),
        trough_index=_moved(troughs.lowest, offset),
        trough_v=_at(v, troughs.lowest),
        width_ms=half_widths_ms(v, found, troughs, rate_hz=rate_hz),
        clipped=troughs.clipped,
    )


def _at(values: Floats, indices: Ints) -> Floats:
    return np.where(indices >= 0, values[np.maximum(indices, 0)], np.nan)


def _moved(indices: Ints, offset: int) -> Ints:
    return np.where(indices >= 0, indices + offset, -1)


def _no_spikes() -> Spikes:
    values, indices = np.empty(0), np.empty(0, dtype=np.intp)
    return Spikes(
        threshold_index=indices,
        threshold_v=values,
        peak_index=indices,
        peak_v=values,
        upstroke=values,
        downstroke=values,
        fast_trough_index=indices,
        fast_trough_v=values,
        slow_trough_index=indices,
        slow_trough_v=values,
        trough_index=indices,
        trough_v=values,
        width_ms=values,
        clipped=np.empty(0, dtype=np.bool_),
    )
