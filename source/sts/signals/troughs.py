"""What follows a spike's peak: downstroke, fast, slow and lowest trough, and the width."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Bools, Floats, Ints
from sts.signals.candidates import Candidates, derivative

# The spike is over where dV/dt has come back to this share of the downstroke.
OVER: Final = 0.01
# A spike is complete once the voltage is this near to its threshold again.
RETURN_MV: Final = 1.0
# A slow trough lies at least this far below what came before it.
FURTHER_MV: Final = 0.5
# After-depolarisation: a rise of 0.5 mV/ms behind a 1 kHz filter, soon after the fast trough.
SLOW_FILTER_HZ: Final = 1000.0
RISE: Final = 0.5
RISE_WITHIN_S: Final = 0.002
TOP_WITHIN_S: Final = 0.005
TOP_WITHIN_MV: Final = 10.0
# The slow filter has forgotten what lies further away.
MARGIN_S: Final = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Troughs:
    """Indices of what follows each peak, -1 where it is missing."""

    downstrokes: Ints
    fast: Ints
    slow: Ints
    lowest: Ints
    clipped: Bools


def find_troughs(
    v: Floats, dvdt: Floats, found: Candidates, *, end: int, rate_hz: float
) -> Troughs:
    """Return what follows each peak before the next threshold, or before `end` for the last."""
    stops = np.append(found.thresholds[1:], end)
    clipped = np.zeros(len(stops), dtype=np.bool_)
    lowest = np.full(len(stops), -1)
    downstrokes = lowest.copy()
    fast = lowest.copy()
    clipped[-1] = not _returns(v[found.peaks[-1] : end + 1], v[found.thresholds[-1]])
    for spike, (peak, stop) in enumerate(zip(found.peaks, stops, strict=True)):
        if clipped[spike] or stop <= peak + 1:
            clipped[spike] = True
            continue
        lowest[spike] = v[peak:stop].argmin() + peak
        downstrokes[spike] = dvdt[peak : max(lowest[spike], peak + 1)].argmin() + peak
        fast[spike] = _fast_trough(dvdt, peak, stop)
        clipped[spike] = fast[spike] < 0
    slow = _slow_troughs(v, fast, stops, rate_hz)
    return Troughs(downstrokes=downstrokes, fast=fast, slow=slow, lowest=lowest, clipped=clipped)


def _returns(tail: Floats, threshold_mv: float) -> bool:
    return bool(tail.min() <= threshold_mv + RETURN_MV)


def _fast_trough(dvdt: Floats, peak: int, stop: int) -> int:
    """Return the first sample at which the spike's fall is over, or -1."""
    steepest = int(dvdt[peak:stop].argmin()) + peak
    over = dvdt[steepest:stop] >= OVER * dvdt[steepest]
    first = int(over.argmax())
    return steepest + first if over[first] else -1


def _slow_troughs(v: Floats, fast: Ints, stops: Ints, rate_hz: float) -> Ints:
    """Return the later minimum of every spike that has one; the last one's is not reliable."""
    slow = np.full(len(fast), -1)
    inner = np.flatnonzero(fast[:-1] >= 0)
    if not len(inner):
        return slow
    margin = round(MARGIN_S * rate_hz)
    offset = max(0, int(fast[inner[0]]) - margin)
    stop = int(stops[inner[-1]]) + margin
    gentle = derivative(v[offset:stop], rate_hz, cutoff_hz=SLOW_FILTER_HZ)
    for spike in inner:
        begin = _after_depolarisation(v, gentle, fast[spike], stops[spike], offset, rate_hz)
        minimum = int(v[begin : stops[spike]].argmin()) + begin
        if v[begin] - v[minimum] >= FURTHER_MV:
            slow[spike] = minimum
    return slow


def _after_depolarisation(
    v: Floats, gentle: Floats, fast: int, stop: int, offset: int, rate_hz: float
) -> int:
    """Return the top of the after-depolarisation between two spikes, or else the fast trough."""
    rising = gentle[fast - offset : stop - offset] >= RISE
    begin = int(rising.argmax())
    if not rising[begin] or begin >= RISE_WITHIN_S * rate_hz:
        return fast
    # Without a reversal the rise is the next spike's.
    turned = gentle[fast + begin - offset : stop - offset] <= 0
    first = int(turned.argmax())
    top = fast + begin + first
    near = v[top] - v[fast] <= TOP_WITHIN_MV and top - fast <= TOP_WITHIN_S * rate_hz
    falls = v[top] - v[top:stop].min() >= FURTHER_MV
    return top if turned[first] and near and falls else fast


def half_widths_ms(v: Floats, found: Candidates, troughs: Troughs, *, rate_hz: float) -> Floats:
    """Return each spike's width halfway between fast trough and peak.

    Where that is below the threshold, as after a shallow spike, halfway from the threshold.
    """
    widths = np.full(len(found.peaks), np.nan)
    for spike in np.flatnonzero(~troughs.clipped):
        threshold, peak = found.thresholds[spike], found.peaks[spike]
        level = (v[peak] + v[troughs.fast[spike]]) / 2
        if level < v[threshold]:
            level = (v[peak] + v[threshold]) / 2
        before = np.flatnonzero(v[threshold + 1 : peak + 1] <= level)
        after = np.flatnonzero(v[peak : troughs.fast[spike]] <= level)
        if len(before) and len(after):
            widths[spike] = peak + after[0] - (threshold + 1 + before[-1])
    return widths * (1000 / rate_hz)
