"""Traces of a population and what is wanted of them before anything else is done."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Bools, Floats, Ints

# Frame rates that a recording of calcium can have, by a wide margin.
SLOWEST_HZ: Final = 0.01
FASTEST_HZ: Final = 100_000.0


@dataclass(frozen=True, kw_only=True, eq=False)
class CalciumRecording:
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
    notes: tuple[str, ...] = ()
    """What the reader had to choose."""
    lengths: tuple[int, ...] = ()
    """Frames of each neuron, behind which its last one stands again; () where all have as many."""

    @property
    def seconds(self) -> float:
        """Return how long it is."""
        return float(self.traces.shape[1] / self.rate_hz)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file is to be read."""

    rate_hz: float | None = None
    """Frames a second; None: what the file says."""
    series: str = ""
    """Which RoiResponseSeries or array of a file that has several; "" takes the likeliest."""
    transpose: bool = False
    """Arrays are (frames, neurons)."""
    least: int = 2
    """Neurons that are needed."""
    cut: bool = True
    """Rows of different lengths are cut to the shortest, else filled up to the longest."""

    def __post_init__(self) -> None:
        """Refuse a rate that is none."""
        if self.rate_hz is not None and not 0 < self.rate_hz < np.inf:
            raise StsError(f"a frame rate must be above 0 Hz, not {self.rate_hz:g}")


def check_recording(recording: CalciumRecording, *, least: int = 2) -> CalciumRecording:
    """Return a recording that can be worked with, or say in one line why it cannot."""
    traces, name = recording.traces, recording.name
    if traces.ndim != 2:
        raise StsError(
            f"{name} holds an array of {traces.ndim} dimensions: (neurons, frames) is wanted"
        )
    if len(traces) < least:
        wanted = "a population of at least 2 is wanted" if least == 2 else f"{least} are wanted"
        raise StsError(f"{name} holds {len(traces)} neuron: {wanted}")
    if traces.shape[1] < 2:
        raise StsError(
            f"{name} holds {len(traces)} neurons of {traces.shape[1]} frames: if these are frames "
            "of neurons, give --transpose"
        )
    if not np.isfinite(recording.rate_hz) or recording.rate_hz <= 0:
        raise StsError(f"{name} has no frame rate: give it with --rate FRAMES_A_SECOND")
    if not SLOWEST_HZ <= recording.rate_hz <= FASTEST_HZ:
        raise StsError(
            f"{name} has {recording.rate_hz:g} frames a second, which no microscope makes: give "
            "the true rate with --rate"
        )
    with np.errstate(over="ignore"):
        traces = np.ascontiguousarray(traces, dtype=np.float32)
    wrong: Bools = np.asarray(~np.isfinite(traces).all(axis=1))
    if wrong.any():
        raise StsError(
            f"{_first(recording, wrong)} has NaN or infinite values ({wrong.sum()} such "
            "neurons): leave them out or fill them in"
        )
    constant: Bools = np.asarray(np.ptp(traces, axis=1) == 0)
    if constant.any():
        raise StsError(
            f"{_first(recording, constant)} is constant ({constant.sum()} such neurons): leave it "
            "out"
        )
    if recording.spikes is not None:
        _check_spikes(recording, recording.spikes)
    return replace(recording, traces=traces)


def _first(recording: CalciumRecording, wrong: Bools) -> str:
    return f"neuron {recording.neurons[int(np.argmax(wrong))]} of {recording.name}"


def _check_spikes(recording: CalciumRecording, spikes: Ints) -> None:
    if spikes.shape != recording.traces.shape:
        raise StsError(f"{recording.name} has spikes of another shape than its traces")
    if spikes.dtype.kind not in "iuf" or not np.isfinite(spikes).all() or (spikes < 0).any():
        raise StsError(
            f"the spikes of {recording.name} are no counts: whole numbers from 0 are wanted"
        )
