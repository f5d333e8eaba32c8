"""Traces of a population, where they come from, and what is done to them before use."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d
from scipy.signal import resample_poly

from sts.base.errors import StsError
from sts.base.types import Floats, Ints

# A frame rate is matched by a fraction of no larger numbers; resampling costs with their size.
MOST_UP: Final = 1000
# The baseline follows what is slower than this.
BASELINE_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Simultaneous traces of some neurons."""

    name: str
    traces: Floats
    """(neurons, frames) float32."""
    rate_hz: float
    neurons: tuple[str, ...]
    unit: str = ""
    spikes: Ints | None = None
    """(neurons, frames) where the truth is known: spikes in each frame."""
    origin: str = ""
    """Which reader it came through."""

    @property
    def seconds(self) -> float:
        """Return how long it is."""
        return float(self.traces.shape[1] / self.rate_hz)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is done to traces, in this order."""

    detrend: bool = False
    """Take off a baseline that follows 60 s."""
    relative: bool = False
    """Divide by that baseline: dF/F."""
    rate_hz: float | None = None
    """Resample to this frame rate; None keeps the recording's."""


def check_recording(recording: Recording) -> Recording:
    """Return a recording that can be worked with, or say in one line why it cannot."""
    traces, name = recording.traces, recording.name
    if traces.ndim != 2:
        raise StsError(
            f"{name} holds an array of {traces.ndim} dimensions: (neurons, frames) is wanted"
        )
    if len(traces) < 2:
        raise StsError(f"{name} holds {len(traces)} neuron: a population of at least 2 is wanted")
    if not np.isfinite(recording.rate_hz) or recording.rate_hz <= 0:
        raise StsError(f"{name} has no frame rate: give it with --rate FRAMES_A_SECOND")
    if (wrong := np.flatnonzero(~np.isfinite(traces).all(axis=1))).size:
        raise StsError(
            f"neuron {recording.neurons[wrong[0]]} of {name} has NaN or infinite values "
            f"({wrong.size} such neurons): leave them out or fill them in"
        )
    if (wrong := np.flatnonzero(np.ptp(traces, axis=1) == 0)).size:
        raise StsError(
            f"neuron {recording.neurons[wrong[0]]} of {name} is constant ({wrong.size} such "
            "neurons): leave it out"
        )
    if recording.spikes is not None and recording.spikes.shape != traces.shape:
        raise StsError(f"{name} has spikes of another shape than its traces")
    return replace(recording, traces=np.ascontiguousarray(traces, dtype=np.float32))


def prepare(recording: Recording, preparation: Preparation) -> Recording:
    """Return a recording detrended, as dF/F and resampled, as far as that is asked for."""
    if preparation.detrend or preparation.relative:
        baseline = slow_baseline(recording.traces, recording.rate_hz)
        traces = recording.traces - baseline
        if preparation.relative:
            if (baseline <= 0).any():
                raise StsError(
                    f"the baseline of {recording.name} is not above 0 everywhere: these traces "
                    "are relative already, leave --relative out"
                )
            traces /= baseline
        unit = "dF/F" if preparation.relative else recording.unit
        recording = replace(recording, traces=traces.astype(np.float32), unit=unit)
    if preparation.rate_hz is not None and preparation.rate_hz != recording.rate_hz:
        recording = resampled(recording, preparation.rate_hz)
    return recording


def slow_baseline(traces: Floats, rate_hz: float) -> Floats:
    """Return the lower envelope of smoothed traces: the largest of the smallest within 60 s."""
    frames = max(int(BASELINE_S * rate_hz), 1)
    smooth = gaussian_filter1d(traces.astype(np.float64), rate_hz, axis=1)
    lowest = minimum_filter1d(smooth, frames, axis=1)
    return np.asarray(maximum_filter1d(lowest, frames, axis=1))


def resampled(recording: Recording, rate_hz: float) -> Recording:
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
        spikes=spikes,
    )


def _fraction(ratio: float) -> tuple[int, int]:
    """Return the fraction of small numbers nearest to a ratio of frame rates."""
    found = Fraction(ratio).limit_denominator(MOST_UP)
    if found == 0:
        raise StsError("the frame rate asked for is less than a thousandth of the recording's")
    return found.numerator, found.denominator
