"""What is done to traces before use: a baseline taken off, dF/F, another frame rate."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d
from scipy.signal import resample_poly

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.calcium.recording import CalciumRecording

# A frame rate is matched by a fraction of no larger numbers; resampling costs with their size.
MOST_UP: Final = 1000
MOST_TIMES: Final = 100
# The baseline follows what is slower than this.
BASELINE_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is done to traces, in this order."""

    detrend: bool = False
    """Take off a baseline that follows 60 s."""
    relative: bool = False
    """Divide by that baseline: dF/F."""
    rate_hz: float | None = None
    """Resample to this frame rate; None keeps the recording's."""

    def __post_init__(self) -> None:
        """Refuse a rate that is none."""
        if self.rate_hz is not None and not 0 < self.rate_hz < np.inf:
            raise StsError(f"a frame rate must be above 0 Hz, not {self.rate_hz:g}")


def prepare(recording: CalciumRecording, preparation: Preparation) -> CalciumRecording:
    """Return a recording detrended, as dF/F and resampled, as far as that is asked for."""
    if preparation.detrend or preparation.relative:
        baseline = slow_baseline(recording.traces, recording.rate_hz)
        traces = recording.traces - baseline
        if preparation.relative:
            if low := np.flatnonzero((baseline <= 0).any(axis=1)).tolist():
                raise StsError(
                    f"the baseline of neuron {recording.neurons[low[0]]} of {recording.name} is "
                    f"not above 0 everywhere ({len(low)} such neurons), dF/F needs that: these "
                    "traces may be relative already, leave --relative out"
                )
            traces /= baseline
        unit = "dF/F" if preparation.relative else recording.unit
        recording = replace(recording, traces=traces.astype(np.float32), unit=unit)
    if preparation.rate_hz is not None and preparation.rate_hz != recording.rate_hz:
        recording = resample_recording(recording, preparation.rate_hz)
    return recording


def slow_baseline(traces: Floats, rate_hz: float) -> Floats:
    """Return the lower envelope of smoothed traces: the largest of the smallest within 60 s."""
    frames = max(int(BASELINE_S * rate_hz), 1)
    smooth = gaussian_filter1d(traces.astype(np.float64), rate_hz, axis=1)
    lowest = minimum_filter1d(smooth, frames, axis=1)
    return np.asarray(maximum_filter1d(lowest, frames, axis=1))


def resample_recording(recording: CalciumRecording, rate_hz: float) -> CalciumRecording:
    """Return a recording at another frame rate, its spikes counted anew."""
    up, down = _fraction(rate_hz / recording.rate_hz)
    traces = resample_poly(recording.traces.astype(np.float64), up, down, axis=1, padtype="line")
    spikes = recording.spikes
    if spikes is not None:
        rows, frames = np.nonzero(spikes)
        at = np.minimum((frames * up) // down, traces.shape[1] - 1)
        counted = np.zeros(traces.shape, dtype=np.int64)
        np.add.at(counted, (rows, at), spikes[rows, frames])
        spikes = counted
    return replace(
        recording,
        traces=traces.astype(np.float32),
        rate_hz=recording.rate_hz * up / down,
        lengths=tuple(min(n * up // down, traces.shape[1]) for n in recording.lengths),
        spikes=spikes,
    )


def _fraction(ratio: float) -> tuple[int, int]:
    """Return the fraction of small numbers nearest to a ratio of frame rates."""
    found = Fraction(ratio).limit_denominator(MOST_UP)
    if found == 0:
        raise StsError("the frame rate asked for is less than a thousandth of the recording's")
    if found > MOST_TIMES:
        raise StsError(
            f"the frame rate asked for is more than {MOST_TIMES} times the recording's: nothing "
            "is known of what lies between so many frames"
        )
    return found.numerator, found.denominator
