"""Spikes of one sweep and their shapes, by the definitions of the Allen Institute (IPFX).

A spike starts where dV/dt of the filtered voltage exceeds a criterion, and peaks at the highest
voltage before the next such rise. Its threshold is the last sample before the steepest rise at
which dV/dt is still below a share of the mean largest dV/dt of all spikes. The fast trough is where
the fall of the spike ends, the trough is the lowest voltage before the next threshold, and the slow
trough is a later minimum. The width is measured halfway between fast trough and peak.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import signal

from sts.base.types import Bools, Floats, Ints

# Cutoff of the low-pass filter of the voltage.
FILTER_HZ: Final = 10_000.0
# Time around the interval that is also filtered: the filters settle within a few ms.
MARGIN_S: Final = 20e-3
# The fall of a spike ends where dV/dt has returned to this share of its minimum.
FALL_OVER: Final = 0.01
# A spike is complete when the voltage returns to this distance from its threshold.
RETURN_MV: Final = 1.0
# Smallest depth of a slow trough below the voltage where its decline starts.
SLOW_TROUGH_MV: Final = 0.5
# An after-depolarisation is a rise of at least this many mV/ms after a slow filter. It starts soon
# after the fast trough, and its top is close to the trough in time and voltage.
SLOW_FILTER_HZ: Final = 1000.0
SLOW_RISE_MV_PER_MS: Final = 0.5
RISE_WITHIN_S: Final = 0.002
TOP_WITHIN_S: Final = 0.005
TOP_WITHIN_MV: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Detection:
    """The criteria of a spike; the defaults are those of the Allen Institute."""

    min_rise: float = 20.0
    """Smallest dV/dt in mV/ms."""
    threshold_fraction: float = 0.05
    """At the threshold, dV/dt is this share of the mean largest upstroke."""
    min_peak_mv: float = -30.0
    min_height_mv: float = 2.0
    max_rise_s: float = 0.005
    """Longest time from the threshold to the peak."""


USUAL: Final = Detection()


@dataclass(frozen=True, kw_only=True, eq=False)
class Spikes:
    """The spikes of one sweep in time order: arrays of equal length, with indices of the sweep.

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
    """Width at half of the height above the fast trough."""
    clipped: Bools
    """True if the interval ends before the spike: its troughs are missing."""

    def __len__(self) -> int:
        return len(self.threshold_index)

    @property
    def upstroke_downstroke_ratio(self) -> Floats:
        """Return the ratio of upstroke to downstroke, both positive."""
        return -self.upstroke / self.downstroke


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rises:
    """Indices of thresholds, largest dV/dt and peaks of the same spikes."""

    thresholds: Ints
    upstrokes: Ints
    peaks: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class _Troughs:
    """Indices of downstroke and troughs after each peak, -1 where one is missing."""

    downstrokes: Ints
    fast: Ints
    slow: Ints
    lowest: Ints
    clipped: Bools


_NONE: Final = np.empty(0, dtype=np.intp)
_NO_RISES: Final = _Rises(thresholds=_NONE, upstrokes=_NONE, peaks=_NONE)
_NO_TROUGHS: Final = _Troughs(
    downstrokes=_NONE, fast=_NONE, slow=_NONE, lowest=_NONE, clipped=_NONE.astype(np.bool_)
)


def find_spikes(
    voltage_mv: Floats, rate_hz: float, *, start: int, end: int, detection: Detection = USUAL
) -> Spikes:
    """Return the spikes that start and peak in the samples from `start` until before `end`."""
    end = min(end, len(voltage_mv) - 1)
    rises, troughs, offset = _NO_RISES, _NO_TROUGHS, 0
    v: Floats = np.empty(0)
    dvdt: Floats = np.empty(0)
    if end - start >= 2 and voltage_mv[start:end].max() >= detection.min_peak_mv:
        margin = round(MARGIN_S * rate_hz)
        offset = max(0, start - margin)
        v = voltage_mv[offset : end + 1 + margin].astype(np.float64)
        dvdt = derivative(v, rate_hz)
        window = (start - offset, end - offset)
        rises = _find_rises(v, dvdt, window=window, rate_hz=rate_hz, detection=detection)
        if len(rises.thresholds):
            troughs = _find_troughs(v, dvdt, rises, end=window[1], rate_hz=rate_hz)
    return Spikes(
        threshold_index=rises.thresholds + offset,
        threshold_v=v[rises.thresholds],
        peak_index=rises.peaks + offset,
        peak_v=v[rises.peaks],
        upstroke=dvdt[rises.upstrokes],
        downstroke=_take_values(dvdt, troughs.downstrokes),
        fast_trough_index=_shift(troughs.fast, offset),
        fast_trough_v=_take_values(v, troughs.fast),
        slow_trough_index=_shift(troughs.slow, offset),
        slow_trough_v=_take_values(v, troughs.slow),
        trough_index=_shift(troughs.lowest, offset),
        trough_v=_take_values(v, troughs.lowest),
        width_ms=_measure_half_widths_ms(v, rises, troughs, rate_hz=rate_hz),
        clipped=troughs.clipped,
    )


def _take_values(values: Floats, indices: Ints) -> Floats:
    """Return the values at some indices, NaN where an index is missing."""
    return np.where(indices >= 0, values[np.maximum(indices, 0)], np.nan)


def _shift(indices: Ints, offset: int) -> Ints:
    return np.where(indices >= 0, indices + offset, -1)


def filter_fits(rate_hz: float, cutoff_hz: float = FILTER_HZ) -> bool:
    """Tell whether the cutoff of the filter is below half the sampling rate."""
    return cutoff_hz < rate_hz / 2


def derivative(voltage_mv: Floats, rate_hz: float, *, cutoff_hz: float = FILTER_HZ) -> Floats:
    """Return dV/dt in mV/ms between successive samples, one fewer than there are samples.

    If the rate allows it, a fourth-order Bessel low-pass is applied first, in both directions.
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


def _find_rises(
    v: Floats, dvdt: Floats, *, window: tuple[int, int], rate_hz: float, detection: Detection
) -> _Rises:
    """Return thresholds, upstrokes and peaks of the spikes between the two samples of `window`."""
    starts, peaks = _find_starts_and_peaks(v, dvdt, window, detection)
    if not len(starts):
        return _NO_RISES
    upstrokes = _argmax_between(dvdt, starts, peaks)
    target = detection.threshold_fraction * dvdt[upstrokes].mean()
    thresholds = _find_thresholds(dvdt, upstrokes, target)
    # If a spike starts before the peak of the previous spike, both are one spike.
    overlaps = np.flatnonzero(thresholds[1:] <= peaks[:-1] + 1)
    rises = _Rises(
        thresholds=np.delete(thresholds, overlaps + 1),
        upstrokes=np.delete(upstrokes, overlaps),
        peaks=np.delete(peaks, overlaps),
    )
    rises = _correct_late_peaks(v, dvdt, rises, rate_hz=rate_hz, detection=detection)
    # The threshold is before the detected rise; dV/dt may be even larger between them.
    return _Rises(
        thresholds=rises.thresholds,
        upstrokes=_argmax_between(dvdt, rises.thresholds, rises.peaks),
        peaks=rises.peaks,
    )


def _find_starts_and_peaks(
    v: Floats, dvdt: Floats, window: tuple[int, int], detection: Detection
) -> tuple[Ints, Ints]:
    """Return the last samples before dV/dt exceeds the criterion, and the peaks that follow."""
    start, end = window
    fast = dvdt[start:end] >= detection.min_rise
    starts = np.flatnonzero(fast[1:] & ~fast[:-1]) + start
    if not len(starts):
        return starts, starts
    peaks = _argmax_between(v, starts, np.append(starts[1:], end))
    # A second rise is another spike only if the voltage fell from the peak before it.
    falls = np.concatenate(([0], np.cumsum(dvdt < 0)))
    fell = falls[starts[1:]] > falls[peaks[:-1]]
    peaks = peaks[np.append(fell, True)]
    starts = starts[np.append(True, fell)]
    high = v[peaks] >= detection.min_peak_mv
    high &= v[peaks] - v[starts] >= detection.min_height_mv
    return starts[high], peaks[high]


def _argmax_between(values: Floats, starts: Ints, stops: Ints) -> Ints:
    """Return the index of the largest value from each start until before each stop."""
    return np.array(
        [values[a:b].argmax() + a for a, b in zip(starts, stops, strict=True)], dtype=np.intp
    )


def _find_thresholds(dvdt: Floats, upstrokes: Ints, target: float) -> Ints:
    """Return the last sample before each upstroke at which dV/dt is at most `target`.

    If there is none after the previous upstroke, the previous upstroke is returned.
    """
    slow = np.flatnonzero(dvdt[: upstrokes[-1] + 1] <= target)
    before = np.concatenate(([0], upstrokes[:-1]))
    place = np.searchsorted(slow, upstrokes, side="right") - 1
    nearest = slow[np.maximum(place, 0)] if len(slow) else before
    return np.where((place >= 0) & (nearest > before), nearest, before)


def _correct_late_peaks(
    v: Floats, dvdt: Floats, rises: _Rises, *, rate_hz: float, detection: Detection
) -> _Rises:
    """Correct spikes whose peak is too late after the threshold, or remove them."""
    longest = detection.max_rise_s * rate_hz
    late = np.flatnonzero(rises.peaks - rises.thresholds >= longest)
    if not len(late):
        return rises
    target = detection.threshold_fraction * dvdt[rises.upstrokes].mean()
    thresholds, peaks = rises.thresholds.copy(), rises.peaks.copy()
    removed = []
    for spike in late:
        # First try: the same peak with a threshold closer to it.
        earliest = max(0, round(peaks[spike] - longest))
        slow = np.flatnonzero(dvdt[rises.upstrokes[spike] : earliest : -1] <= target)
        if len(slow):
            thresholds[spike] = rises.upstrokes[spike] - slow[0]
            continue
        # Second try: the same threshold with a peak closer to it.
        begin = thresholds[spike]
        peak = v[begin : round(begin + 2 * longest)].argmax() + begin
        following = thresholds[spike + 1] if spike + 1 < len(thresholds) else len(v)
        if peak - begin < longest and peak < following:
            peaks[spike] = peak
        else:
            removed.append(spike)
    return _Rises(
        thresholds=np.delete(thresholds, removed),
        upstrokes=np.delete(rises.upstrokes, removed),
        peaks=np.delete(peaks, removed),
    )


def _find_troughs(v: Floats, dvdt: Floats, rises: _Rises, *, end: int, rate_hz: float) -> _Troughs:
    """Return the troughs of each spike before the next threshold, or before `end` for the last."""
    stops = np.append(rises.thresholds[1:], end)
    clipped = np.zeros(len(stops), dtype=np.bool_)
    lowest = np.full(len(stops), -1)
    downstrokes = lowest.copy()
    fast = lowest.copy()
    after_last = v[rises.peaks[-1] : end + 1]
    clipped[-1] = not after_last.min() <= v[rises.thresholds[-1]] + RETURN_MV
    for spike, (peak, stop) in enumerate(zip(rises.peaks, stops, strict=True)):
        if clipped[spike] or stop <= peak + 1:
            clipped[spike] = True
            continue
        lowest[spike] = v[peak:stop].argmin() + peak
        downstrokes[spike] = dvdt[peak : max(lowest[spike], peak + 1)].argmin() + peak
        fast[spike] = _find_fast_trough(dvdt, peak, stop)
        clipped[spike] = fast[spike] < 0
    slow = _find_slow_troughs(v, fast, stops, rate_hz)
    return _Troughs(downstrokes=downstrokes, fast=fast, slow=slow, lowest=lowest, clipped=clipped)


def _find_fast_trough(dvdt: Floats, peak: int, stop: int) -> int:
    """Return the first sample at which the fall of a spike has ended, or -1."""
    steepest = int(dvdt[peak:stop].argmin()) + peak
    over = dvdt[steepest:stop] >= FALL_OVER * dvdt[steepest]
    first = int(over.argmax())
    return steepest + first if over[first] else -1


def _find_slow_troughs(v: Floats, fast: Ints, stops: Ints, rate_hz: float) -> Ints:
    """Return the slow trough of every spike, -1 without one or for the last spike (unreliable)."""
    slow = np.full(len(fast), -1)
    inner = np.flatnonzero(fast[:-1] >= 0)
    if not len(inner):
        return slow
    margin = round(MARGIN_S * rate_hz)
    offset = max(0, int(fast[inner[0]]) - margin)
    stop = int(stops[inner[-1]]) + margin
    slow_dvdt = derivative(v[offset:stop], rate_hz, cutoff_hz=SLOW_FILTER_HZ)
    for spike in inner:
        begin = _find_after_depolarisation(v, slow_dvdt, fast[spike], stops[spike], offset, rate_hz)
        minimum = int(v[begin : stops[spike]].argmin()) + begin
        if v[begin] - v[minimum] >= SLOW_TROUGH_MV:
            slow[spike] = minimum
    return slow


def _find_after_depolarisation(
    v: Floats, slow_dvdt: Floats, fast: int, stop: int, offset: int, rate_hz: float
) -> int:
    """Return the top of the after-depolarisation between two spikes, else the fast trough."""
    rising = slow_dvdt[fast - offset : stop - offset] >= SLOW_RISE_MV_PER_MS
    begin = int(rising.argmax())
    if not rising[begin] or begin >= RISE_WITHIN_S * rate_hz:
        return fast
    # Without a fall after it, it is the rise of the next spike.
    falling = slow_dvdt[fast + begin - offset : stop - offset] <= 0
    first = int(falling.argmax())
    top = fast + begin + first
    near = v[top] - v[fast] <= TOP_WITHIN_MV and top - fast <= TOP_WITHIN_S * rate_hz
    falls = v[top] - v[top:stop].min() >= SLOW_TROUGH_MV
    return top if falling[first] and near and falls else fast


def _measure_half_widths_ms(
    v: Floats, rises: _Rises, troughs: _Troughs, *, rate_hz: float
) -> Floats:
    """Return the width of each spike halfway between fast trough and peak.

    If this level is below the threshold (a shallow spike), halfway between threshold and peak.
    """
    widths = np.full(len(rises.peaks), np.nan)
    for spike in np.flatnonzero(~troughs.clipped):
        threshold, peak = rises.thresholds[spike], rises.peaks[spike]
        level = (v[peak] + v[troughs.fast[spike]]) / 2
        if level < v[threshold]:
            level = (v[peak] + v[threshold]) / 2
        before = np.flatnonzero(v[threshold + 1 : peak + 1] <= level)
        after = np.flatnonzero(v[peak : troughs.fast[spike]] <= level)
        if len(before) and len(after):
            widths[spike] = peak + after[0] - (threshold + 1 + before[-1])
    return widths * (1000 / rate_hz)
