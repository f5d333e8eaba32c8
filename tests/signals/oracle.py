"""Spikes by plain loops over the definitions: slow, and independent of the code under test."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.signal import bessel, filtfilt

from sts.base.types import Floats


@dataclass
class SlowSpike:
    """One spike on its way through the definitions; -1 is missing."""

    rise: int
    peak: int
    upstroke: int = -1
    threshold: int = -1
    trough: int = -1
    downstroke: int = -1
    fast_trough: int = -1
    slow_trough: int = -1
    clipped: bool = False


def slope_of(voltage_mv: Floats, rate_hz: float, cutoff_hz: float) -> list[float]:
    """Return dV/dt of the whole sweep, filtered where the rate allows it."""
    smooth = np.asarray(voltage_mv, dtype=np.float64)
    if cutoff_hz < rate_hz / 2:
        smooth = filtfilt(*bessel(4, 2 * cutoff_hz / rate_hz, "low"), smooth)
    return [float(b - a) * rate_hz / 1000 for a, b in itertools.pairwise(smooth)]


def slow_spikes(voltage_mv: Floats, rate_hz: float, *, start: int, end: int) -> list[SlowSpike]:
    """Return the spikes from `start` to `end`."""
    v = [float(each) for each in voltage_mv]
    slope = slope_of(voltage_mv, rate_hz, 10_000)
    end = min(end, len(v) - 1)
    spikes = _separate(v, slope, _rises(slope, start, end), end)
    spikes = [s for s in spikes if v[s.peak] >= -30 and v[s.peak] - v[s.rise] >= 2]
    if not spikes:
        return []
    target = _threshold_level(slope, spikes)
    _set_thresholds(slope, spikes, target)
    spikes = _merged(spikes)
    spikes = [s for s in spikes if _in_time(v, slope, spikes, s, rate_hz)]
    for spike in spikes:
        spike.upstroke = _top(slope, spike.threshold, spike.peak)
    _follow(v, slope, slope_of(voltage_mv, rate_hz, 1000), spikes, end, rate_hz)
    return spikes


def _top(values: list[float], start: int, stop: int) -> int:
    return max(range(start, stop), key=lambda k: (values[k], -k))


def _bottom(values: list[float], start: int, stop: int) -> int:
    return min(range(start, stop), key=lambda k: (values[k], k))


def _rises(slope: list[float], start: int, end: int) -> list[int]:
    crossings = [k for k in range(start, end - 1) if slope[k] < 20 <= slope[k + 1]]
    kept = crossings[:1]
    for before, this in itertools.pairwise(crossings):
        if any(slope[k] < 0 for k in range(before, this)):
            kept.append(this)
    return kept


def _separate(v: list[float], slope: list[float], rises: list[int], end: int) -> list[SlowSpike]:
    if not rises:
        return []
    peaks = [_top(v, a, b) for a, b in zip(rises, [*rises[1:], end], strict=True)]
    kept_rises, kept_peaks = rises[:1], []
    for peak, rise in zip(peaks[:-1], rises[1:], strict=True):
        if any(slope[k] < 0 for k in range(peak, rise)):
            kept_peaks.append(peak)
            kept_rises.append(rise)
    kept_peaks += peaks[-1:]
    return [SlowSpike(rise=a, peak=b) for a, b in zip(kept_rises, kept_peaks, strict=True)]


def _threshold_level(slope: list[float], spikes: list[SlowSpike]) -> float:
    for spike in spikes:
        if spike.upstroke < 0:
            spike.upstroke = _top(slope, spike.rise, spike.peak)
    return 0.05 * sum(slope[s.upstroke] for s in spikes) / len(spikes)


def _set_thresholds(slope: list[float], spikes: list[SlowSpike], target: float) -> None:
    earliest = 0
    for spike in spikes:
        spike.threshold = spike.upstroke
        while spike.threshold > earliest and slope[spike.threshold] > target:
            spike.threshold -= 1
        earliest = spike.upstroke


def _merged(spikes: list[SlowSpike]) -> list[SlowSpike]:
    merged = spikes[:1]
    last_peak = spikes[0].peak
    for spike in spikes[1:]:
        if spike.threshold <= last_peak + 1:
            merged[-1].peak, merged[-1].upstroke = spike.peak, spike.upstroke
        else:
            merged.append(spike)
        last_peak = spike.peak
    return merged


def _in_time(
    v: list[float], slope: list[float], spikes: list[SlowSpike], spike: SlowSpike, rate_hz: float
) -> bool:
    longest = 0.005 * rate_hz
    if spike.peak - spike.threshold < longest:
        return True
    target = _threshold_level(slope, spikes)
    for k in range(spike.upstroke, round(spike.peak - longest), -1):
        if slope[k] <= target:
            spike.threshold = k
            return True
    peak = _top(v, spike.threshold, min(len(v), round(spike.threshold + 2 * longest)))
    later = [s.threshold for s in spikes if s.threshold > spike.threshold]
    if peak - spike.threshold < longest and peak < min(later, default=len(v)):
        spike.peak = peak
        return True
    return False


def _follow(
    v: list[float],
    slope: list[float],
    gentle: list[float],
    spikes: list[SlowSpike],
    end: int,
    rate_hz: float,
) -> None:
    """Find what follows every peak."""
    last = spikes[-1]
    last.clipped = all(v[k] > v[last.threshold] + 1 for k in range(last.peak, end + 1))
    for spike, following in zip(spikes, [*spikes[1:], None], strict=True):
        if spike.clipped:
            continue
        stop = end if following is None else following.threshold
        spike.trough = _bottom(v, spike.peak, stop)
        spike.downstroke = _bottom(slope, spike.peak, max(spike.trough, spike.peak + 1))
        steepest = _bottom(slope, spike.peak, stop)
        over = [k for k in range(steepest, stop) if slope[k] >= 0.01 * slope[steepest]]
        if not over:
            spike.clipped = True
            continue
        spike.fast_trough = over[0]
        if spike is not last:
            spike.slow_trough = _slow_trough(v, gentle, over[0], stop, rate_hz)


def _slow_trough(v: list[float], gentle: list[float], fast: int, stop: int, rate_hz: float) -> int:
    begin = fast
    rising = next((k for k in range(fast, stop) if gentle[k] >= 0.5), None)
    if rising is not None and rising - fast < 0.002 * rate_hz:
        top = next((k for k in range(rising, stop) if gentle[k] <= 0), None)
        if top is not None and top - fast <= 0.005 * rate_hz and v[top] - v[fast] <= 10:
            begin = top if v[top] - min(v[top:stop]) >= 0.5 else fast
    lowest = _bottom(v, begin, stop)
    return lowest if v[begin] - v[lowest] >= 0.5 else -1
