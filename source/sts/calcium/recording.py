"""Traces of a population: as a reader returns them, checked, and prepared for use."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d
from scipy.signal import resample_poly

from sts.base.errors import StsError, one_of
from sts.base.settings import Positive, check_fields
from sts.base.types import Floats, Ints

# Accepted frame rates; those of microscopes are well within these limits.
SLOWEST_HZ: Final = 0.01
FASTEST_HZ: Final = 100_000.0
# Largest array of a file: a thousand neurons for five hours at 30 Hz.
MAX_RECORDING_BYTES: Final = 4 * 2**30
# Largest relative difference of two frame rates that count as equal.
SAME_RATE: Final = 0.01
# Most spikes of a neuron in a frame: a neuron fires at most some hundred times a second.
MOST_SPIKES: Final = 10_000
# Units of traces in percent.
PERCENT: Final = ("%", "percent", "per cent", "percentage", "percent df/f", "df/f (%)", "% df/f")
# Longest name that is kept of a file.
MAX_LETTERS: Final = 80
# Largest denominator and value of the ratio of two frame rates; large ones make resampling slow.
MOST_UP: Final = 1000
MOST_TIMES: Final = 100
# Width of the filters that find the baseline.
BASELINE_FILTER_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, eq=False)
class CalciumRecording:
    """Simultaneous traces of a population."""

    name: str
    traces: Floats
    """(neurons, frames) float32."""
    rate_hz: float
    neurons: tuple[str, ...]
    unit: str = ""
    spikes: Ints | None = None
    """(neurons, frames) number of true spikes in each frame; None if they are not known."""
    origin: str = ""
    """The reader that read it."""
    notes: tuple[str, ...] = ()
    """Choices that the reader made, for the user."""
    lengths: tuple[int, ...] = ()
    """Frames of each neuron; its last one is repeated behind them. (): all are equally long."""
    stretches: tuple[int, ...] = ()
    """Frames of each stretch that was recorded without a pause, in order. (): all are one."""
    positions: Ints | None = None
    """(frames,) place of the animal, in bins; None if it is not known."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read a file."""

    rate_hz: Positive | None = None
    """Frames per second; None: the rate in the file."""
    series: str = ""
    """Series, array or session to read if a file has several; "": the most likely one."""
    transpose: bool = False
    """Arrays are (frames, neurons)."""
    least: int = 2
    """Smallest number of neurons."""
    cut: bool = True
    """Cut rows of different lengths to the shortest, instead of filling them up to the longest."""

    def __post_init__(self) -> None:
        """Refuse an impossible rate."""
        check_fields(self)


def check_recording(recording: CalciumRecording, *, least: int = 2) -> CalciumRecording:
    """Return a recording with float32 traces, or raise if it cannot be used."""
    traces, name = recording.traces, recording.name
    if traces.ndim != 2:
        raise StsError(
            f"{name} contains an array of {traces.ndim} dimensions: (neurons, frames) is needed"
        )
    if len(traces) < least:
        wanted = "a population of at least 2 is needed" if least == 2 else f"{least} are needed"
        raise StsError(f"{name} contains {len(traces)} neuron: {wanted}")
    if traces.shape[1] < 2:
        raise StsError(
            f"{name} contains {len(traces)} neurons of {traces.shape[1]} frames: if these are "
            "frames of neurons, give --transpose"
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
    faults = {
        "has NaN or infinite values": (~np.isfinite(traces).all(axis=1), "or fill the gaps"),
        "is constant": (np.ptp(traces, axis=1) == 0, ""),
    }
    for fault, (wrong, remedy) in faults.items():
        if wrong.any():
            first = recording.neurons[int(np.argmax(wrong))]
            raise StsError(
                f"neuron {first} of {name} {fault} ({wrong.sum()} such neurons): "
                f"leave these out {remedy}".rstrip()
            )
    if recording.spikes is not None:
        _check_spikes(recording, recording.spikes)
        if recording.spikes.dtype.kind == "f":
            recording = replace(recording, spikes=recording.spikes.astype(np.int64))
    return replace(recording, traces=traces)


def _check_spikes(recording: CalciumRecording, spikes: Ints) -> None:
    if spikes.shape != recording.traces.shape:
        raise StsError(f"{recording.name} has spikes of another shape than its traces")
    whole = spikes.dtype.kind in "iu" or (spikes == np.trunc(spikes)).all()
    if not whole or not ((spikes >= 0) & (spikes <= MOST_SPIKES)).all():
        raise StsError(
            f"the spikes of {recording.name} are no counts: whole numbers from 0 to {MOST_SPIKES} "
            "are needed"
        )


def build_recording(
    path: Path,
    traces: Any,
    *,
    reading: Reading,
    origin: str,
    rate_hz: float | None = None,
    spikes: Any = None,
    neurons: Sequence[str] = (),
    unit: str = "",
    notes: tuple[str, ...] = (),
    lengths: tuple[int, ...] = (),
    stretches: tuple[int, ...] = (),
    positions: Ints | None = None,
) -> CalciumRecording:
    """Return a recording from the content of a file, not yet checked by `check_recording`.

    Parameters
    ----------
    rate_hz
        The rate in the file, None if there is none.
    """
    name = clean_text(path.name)
    array: Floats = _numbers(traces, "traces", name)
    counts: Ints | None = None if spikes is None else _numbers(spikes, "spikes", name)
    if reading.transpose:
        array, counts = array.T, None if counts is None else counts.T
    elif array.ndim == 2 and len(array) > array.shape[1]:
        shape = f"{len(array)} neurons of {array.shape[1]} frames"
        notes += (f"{name} is read as {shape}: give --transpose if it is the other way round",)
    if unit.lower() in PERCENT:
        array, unit = array / np.float32(100), "dF/F"
        notes += (f"the percent of {name} are divided by 100",)
    if reading.rate_hz and rate_hz is not None and abs(rate_hz / reading.rate_hz - 1) > SAME_RATE:
        stated = f"{name} states {rate_hz:g} frames a second"
        notes += (f"{stated}: the {reading.rate_hz:g} of --rate are used instead",)
    count = len(array) if array.ndim else 0
    names = [clean_text(neuron) for neuron in neurons]
    return CalciumRecording(
        name=name,
        traces=array,
        rate_hz=reading.rate_hz or (math.nan if rate_hz is None else rate_hz),
        neurons=tuple(names if len(names) == count else map(str, range(count))),
        unit=clean_text(unit),
        spikes=counts,
        origin=clean_text(origin),
        notes=notes,
        lengths=lengths,
        stretches=stretches,
        positions=positions,
    )


def _numbers(values: Any, what: str, name: str) -> Any:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise StsError(f"{name} contains no numbers where {what} are needed")
    return array


def choose_series(names: Sequence[str], reading: Reading, what: str, path: Path) -> str:
    """Return the name of the series to read: the one asked for, else the first."""
    if reading.series:
        return one_of(reading.series, names, f"{what} of {clean_text(path.name)}")
    return names[0]


def clean_text(text: str) -> str:
    """Return text on one line, without control characters."""
    words = " ".join(str(text)[: 4 * MAX_LETTERS].split())
    return "".join(letter for letter in words if letter.isprintable())[:MAX_LETTERS]


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Steps that are applied to traces, in this order."""

    detrend: bool = False
    """Subtract the slow baseline."""
    relative: bool = False
    """Subtract the slow baseline and divide by it: dF/F."""
    rate_hz: Positive | None = None
    """Resample to this frame rate; None keeps the rate of the recording."""

    def __post_init__(self) -> None:
        """Refuse an impossible rate."""
        check_fields(self)


def prepare(recording: CalciumRecording, preparation: Preparation) -> CalciumRecording:
    """Return a recording after the steps of the preparation."""
    if preparation.detrend or preparation.relative:
        baseline = find_baseline(recording.traces, recording.rate_hz)
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
        recording = _resample(recording, preparation.rate_hz)
    return recording


def find_baseline(traces: Floats, rate_hz: float) -> Floats:
    """Return the lower envelope of smoothed traces: the maximum of the minimum within 60 s."""
    frames = max(int(BASELINE_FILTER_S * rate_hz), 1)
    smooth = gaussian_filter1d(traces.astype(np.float64), rate_hz, axis=1)
    lowest = minimum_filter1d(smooth, frames, axis=1)
    return np.asarray(maximum_filter1d(lowest, frames, axis=1))


def _resample(recording: CalciumRecording, rate_hz: float) -> CalciumRecording:
    """Return a recording at another frame rate, with the spikes of each new frame."""
    if len(recording.stretches) > 1:
        raise StsError(f"{recording.name} has pauses between its stretches: it cannot be resampled")
    ratio = Fraction(rate_hz / recording.rate_hz).limit_denominator(MOST_UP)
    if ratio == 0:
        raise StsError("the frame rate asked for is less than a thousandth of the recording's")
    if ratio > MOST_TIMES:
        raise StsError(
            f"the frame rate asked for is more than {MOST_TIMES} times the recording's: nothing "
            "is known about the time between two frames"
        )
    up, down = ratio.numerator, ratio.denominator
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
