"""The stimulus, the spikes and the features of every sweep of a cell."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Floats
from sts.recordings.recording import Sweep
from sts.signals.analysis import AnalysedSweep, Analysis
from sts.signals.features import find_evoked_spikes, find_short_square_criteria
from sts.signals.spikes import Detection, Spikes, find_spikes

LONG_SQUARE: Final = "long square"
_SHORT_SQUARE: Final = "short square"
_RAMP: Final = "ramp"
NO_STIMULUS: Final = "not measured"


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredSweep:
    """What is measured on one sweep."""

    sweep: Sweep
    stimulus: str
    amplitude_pa: float
    """Of a step, relative to the holding current; of a ramp NaN."""
    holding_pa: float
    onset_s: float
    """Since the first sample of the sweep."""
    duration_s: float
    spikes: Spikes | None
    """None where no stimulus is known."""

    @property
    def spike_times_s(self) -> Floats:
        """Return the times of the spike thresholds since the first sample of the sweep."""
        if self.spikes is None:
            return np.empty(0)
        times: Floats = self.spikes.threshold_index / self.sweep.rate_hz
        return times

    @property
    def rate_per_s(self) -> float:
        """Return the number of spikes per second of a long square, NaN for others."""
        if self.stimulus != LONG_SQUARE:
            return np.nan
        return len(self.spike_times_s) / self.duration_s

    @property
    def latency_s(self) -> float:
        """Return the time from the onset to the first spike, NaN without one."""
        return float(self.spike_times_s[0] - self.onset_s) if len(self.spike_times_s) else np.nan

    @property
    def mean_interval_ms(self) -> float:
        """Return the mean interval between spikes, NaN for fewer than two."""
        times_s = self.spike_times_s
        return float(np.diff(times_s).mean() * 1000) if len(times_s) > 1 else np.nan

    def first(self, value: Callable[[Spikes], Floats]) -> float:
        """Return a value of the first spike, NaN without one."""
        return float(value(self.spikes)[0]) if self.spikes else np.nan


def measure_sweeps(analysis: Analysis) -> list[MeasuredSweep]:
    """Return what is measured on every sweep, by the definitions of the features of a cell."""
    short_squares = [
        (each.sweep, step)
        for each in analysis.sweeps
        if (step := each.stimulus.short_square) is not None
    ]
    criteria = find_short_square_criteria(short_squares) if short_squares else Detection()
    return [_measure_sweep(each, criteria) for each in analysis.sweeps]


def _measure_sweep(each: AnalysedSweep, criteria: Detection) -> MeasuredSweep:
    sweep, ramp = each.sweep, each.stimulus.ramp
    if (square := each.stimulus.long_square) is not None:
        kind, step, spikes = LONG_SQUARE, square, each.spikes
    elif (pulse := each.stimulus.short_square) is not None:
        kind, step = _SHORT_SQUARE, pulse
        spikes = find_evoked_spikes(sweep, pulse, criteria)
    elif ramp is not None:
        spikes = find_spikes(
            sweep.voltage_mv, sweep.rate_hz, start=ramp.onset, end=len(sweep.voltage_mv)
        )
        return MeasuredSweep(
            sweep=sweep,
            stimulus=_RAMP,
            amplitude_pa=np.nan,
            holding_pa=ramp.holding_pa,
            onset_s=ramp.onset / ramp.rate_hz,
            duration_s=(ramp.end - ramp.onset) / ramp.rate_hz,
            spikes=spikes,
        )
    else:
        unknown = dict.fromkeys(("amplitude_pa", "holding_pa", "onset_s", "duration_s"), np.nan)
        return MeasuredSweep(sweep=sweep, stimulus=NO_STIMULUS, spikes=None, **unknown)
    return MeasuredSweep(
        sweep=sweep,
        stimulus=kind,
        amplitude_pa=step.amplitude_pa,
        holding_pa=step.holding_pa,
        onset_s=step.onset_s,
        duration_s=step.duration_s,
        spikes=spikes,
    )
