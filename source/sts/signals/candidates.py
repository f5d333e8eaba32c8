"""From dV/dt, behind the low-pass of the spike definitions, to thresholds, upstrokes and peaks."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import signal

from sts.base.types import Floats, Ints

FILTER_HZ: Final = 10_000.0


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What counts as a spike; the defaults are those of the Allen Institute."""

    min_rise: float = 20.0
    """Least dV/dt in mV/ms."""
    threshold_fraction: float = 0.05
    """The threshold lies where dV/dt is this share of the mean largest upstroke."""
    min_peak_mv: float = -30.0
    min_height_mv: float = 2.0
    max_rise_s: float = 0.005
    """A peak comes sooner than this after its threshold."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Thresholds, upstrokes and peaks of the same spikes, as indices."""

    thresholds: Ints
    upstrokes: Ints
    peaks: Ints


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


def find_candidates(
    v: Floats, dvdt: Floats, *, window: tuple[int, int], rate_hz: float, detection: Detection
) -> Candidates:
    """Return the spikes between the two samples of `window`."""
    rises, peaks = _rises_and_peaks(v, dvdt, window, detection)
    if not len(rises):
        return Candidates(thresholds=rises, upstrokes=rises, peaks=peaks)
    upstrokes = _largest(dvdt, rises, peaks)
    target = detection.threshold_fraction * dvdt[upstrokes].mean()
    thresholds = _thresholds(dvdt, upstrokes, target)
    found = _without_overlaps(thresholds, upstrokes, peaks)
    found = _without_late_peaks(v, dvdt, found, rate_hz=rate_hz, detection=detection)
    # The refined threshold lies before the rise, where dV/dt may have been larger still.
    return Candidates(
        thresholds=found.thresholds,
        upstrokes=_largest(dvdt, found.thresholds, found.peaks),
        peaks=found.peaks,
    )


def _rises_and_peaks(
    v: Floats, dvdt: Floats, window: tuple[int, int], detection: Detection
) -> tuple[Ints, Ints]:
    """Return where dV/dt is about to pass the criterion, and the peaks that follow."""
    start, end = window
    fast = dvdt[start:end] >= detection.min_rise
    rises = np.flatnonzero(fast[1:] & ~fast[:-1]) + start
    if not len(rises):
        return rises, rises
    stops = np.append(rises[1:], end)
    peaks = np.array(
        [v[a:b].argmax() + a for a, b in zip(rises, stops, strict=True)], dtype=np.intp
    )
    # A second rise is another spike only if the voltage fell from the peak before it.
    falls = np.concatenate(([0], np.cumsum(dvdt < 0)))
    fell = falls[rises[1:]] > falls[peaks[:-1]]
    peaks = peaks[np.append(fell, True)]
    rises = rises[np.append(True, fell)]
    high = v[peaks] >= detection.min_peak_mv
    high &= v[peaks] - v[rises] >= detection.min_height_mv
    return rises[high], peaks[high]


def _largest(dvdt: Floats, starts: Ints, stops: Ints) -> Ints:
    """Return where dV/dt is largest from each start to before each stop."""
    return np.array(
        [dvdt[a:b].argmax() + a for a, b in zip(starts, stops, strict=True)], dtype=np.intp
    )


def _thresholds(dvdt: Floats, upstrokes: Ints, target: float) -> Ints:
    """Return the last sample before each upstroke at which dV/dt is at most `target`.

    Where there is none after the upstroke before, that upstroke takes its place.
    """
    slow = np.flatnonzero(dvdt[: upstrokes[-1] + 1] <= target)
    before = np.concatenate(([0], upstrokes[:-1]))
    place = np.searchsorted(slow, upstrokes, side="right") - 1
    nearest = slow[np.maximum(place, 0)] if len(slow) else before
    return np.where((place >= 0) & (nearest > before), nearest, before)


def _without_overlaps(thresholds: Ints, upstrokes: Ints, peaks: Ints) -> Candidates:
    """Merge spikes of which the second begins before the first has peaked."""
    overlaps = np.flatnonzero(thresholds[1:] <= peaks[:-1] + 1)
    return Candidates(
        thresholds=np.delete(thresholds, overlaps + 1),
        upstrokes=np.delete(upstrokes, overlaps),
        peaks=np.delete(peaks, overlaps),
    )


def _without_late_peaks(
    v: Floats, dvdt: Floats, found: Candidates, *, rate_hz: float, detection: Detection
) -> Candidates:
    """Mend spikes whose peak comes too long after the threshold, or drop them."""
    longest = detection.max_rise_s * rate_hz
    late = np.flatnonzero(found.peaks - found.thresholds >= longest)
    if not len(late):
        return found
    target = detection.threshold_fraction * dvdt[found.upstrokes].mean()
    thresholds, peaks = found.thresholds.copy(), found.peaks.copy()
    lost = []
    for spike in late:
        # First the peak is believed, and a threshold looked for near it.
        earliest = max(0, round(peaks[spike] - longest))
        slow = np.flatnonzero(dvdt[found.upstrokes[spike] : earliest : -1] <= target)
        if len(slow):
            thresholds[spike] = found.upstrokes[spike] - slow[0]
            continue
        # Then the threshold, and a peak looked for near that.
        begin = thresholds[spike]
        peak = v[begin : round(begin + 2 * longest)].argmax() + begin
        following = thresholds[spike + 1] if spike + 1 < len(thresholds) else len(v)
        if peak - begin < longest and peak < following:
            peaks[spike] = peak
        else:
            lost.append(spike)
    return Candidates(
        thresholds=np.delete(thresholds, lost),
        upstrokes=np.delete(found.upstrokes, lost),
        peaks=np.delete(peaks, lost),
    )
