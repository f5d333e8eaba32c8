"""Readers of calcium with true spikes: the formats of Cascade (.mat) and spikefinder (.csv)."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from sts.base import guard
from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.calcium.recording import FASTEST_HZ, CalciumRecording, Reading, build_recording, clean_text

# Variable of a Cascade file, and fields of its structures: times, traces, spike times.
VARIABLE: Final = "CAttached"
FIELDS: Final = ("fluo_time", "fluo_mean", "events_AP")
# Spike times of Cascade are in units of 0.1 ms.
PER_S: Final = 1e4
# Frame rate of spikefinder, and ends of its file names.
SPIKEFINDER_HZ: Final = 100.0
CALCIUM: Final = ".calcium.csv"
SPIKES: Final = ".spikes.csv"
# Rounding error of a time, in frames.
TIME_ROUNDING: Final = 1e-6
# Longest first line of a table in bytes.
MAX_HEADER: Final = 2**20
# Largest file; the largest of the published ones takes 2 MB.
MAX_TRUTH_BYTES: Final = 256 * 2**20
# Most frames of a trial: a day at 100 Hz.
MOST_FRAMES: Final = 10_000_000
# Errors of scipy for damaged files; of version 7.3 it says that it is not implemented.
_MATLAB_ERRORS: Final = (
    MatReadError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    NotImplementedError,
    MemoryError,
)


@dataclass(frozen=True, eq=False)
class CascadeTrial:
    """Calcium and true spikes of one neuron, recorded without a pause."""

    times_s: Floats
    traces: Floats
    spikes_s: Floats

    @property
    def rate_hz(self) -> float:
        """Return the frame rate."""
        return float(1 / np.median(np.diff(self.times_s)))

    @property
    def seconds(self) -> float:
        """Return the duration."""
        return float(self.times_s[-1] - self.times_s[0])

    def at(self, rate_hz: float) -> tuple[Floats, Ints]:
        """Return trace and spike counts (frames,) on an even grid with another rate."""
        # Without TIME_ROUNDING the last frame could be lost.
        frames = int(self.seconds * rate_hz + TIME_ROUNDING) + 1
        grid = self.times_s[0] + np.arange(frames) / rate_hz
        edges = np.append(grid, grid[-1] + 1 / rate_hz) - 0.5 / rate_hz
        counts = np.histogram(self.spikes_s, bins=edges)[0]
        return np.interp(grid, self.times_s, self.traces), counts


def load_matlab(path: Path, variable: str) -> Any:
    """Return a variable of a MATLAB file, None if the file does not have it."""
    check_matlab_size(path)
    with name_damaged_matlab(path):
        return loadmat(path, variable_names=[variable]).get(variable)


@contextlib.contextmanager
def name_damaged_matlab(path: Path) -> Iterator[None]:
    """Turn the errors of scipy for a damaged file into one line."""
    try:
        yield
    except _MATLAB_ERRORS as error:
        raise StsError(
            f"{path} is no MATLAB file of version 5: {guard.describe_error(error)}"
        ) from error


def read_trials(path: Path) -> list[CascadeTrial]:
    """Return the trials of a Cascade file; only arrays of numbers are read from it."""
    variable = load_matlab(path, VARIABLE)
    if not isinstance(variable, np.ndarray) or variable.size == 0:
        raise StsError(f"{path} has no variable {VARIABLE}: a file of Cascade is needed")
    trials = [_read_trial(each, path) for each in variable.ravel()]
    return [trial for trial in trials if trial is not None]


def _read_trial(struct: Any, path: Path) -> CascadeTrial | None:
    """Return the trial in a structure, None if it has less than two frames."""
    names = getattr(getattr(struct, "dtype", None), "names", None) or ()
    if missing := [name for name in FIELDS if name not in names]:
        raise StsError(
            f"{VARIABLE} of {path} is no structure with {', '.join(missing)}: a file of Cascade "
            "is needed"
        )
    times, traces, events = (_read_numbers(struct[name], name, path) for name in FIELDS)
    frames = min(len(times), len(traces))
    if frames < 2:
        return None
    times, traces = times[:frames], traces[:frames]
    # In many published trials the last frame is there twice.
    known = np.isfinite(times) & np.isfinite(traces) & (np.diff(times, prepend=-np.inf) != 0)
    if known.sum() < 2 or not (np.diff(times[known]) > 0).all():
        raise StsError(f"a trial of {path} has times that do not rise: it cannot be read")
    return CascadeTrial(times[known], traces[known], events[np.isfinite(events)] / PER_S)


def _read_numbers(value: Any, name: str, path: Path) -> Floats:
    array = value
    # A field of a structure is an array inside an array of one element.
    while isinstance(array, np.ndarray) and array.dtype == object and array.size == 1:
        array = array.ravel()[0]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise StsError(f"{name} of {path} contains no numbers: a file of Cascade is needed")
    return array.ravel().astype(np.float64)


def read_cascade(path: Path, reading: Reading) -> CalciumRecording:
    """Return the trials of a Cascade file as if they were neurons."""
    trials = read_trials(path)
    if not trials:
        raise StsError(f"{path} has no trial with frames")
    rate = reading.rate_hz or trials[0].rate_hz
    if not 0 < rate <= FASTEST_HZ or max(each.seconds for each in trials) * rate > MOST_FRAMES:
        raise StsError(f"{path} would have more than {MOST_FRAMES:.0e} frames at {rate:g} Hz")
    sampled = [trial.at(rate) for trial in trials]
    return _stack(
        path,
        [traces for traces, _ in sampled],
        [counts for _, counts in sampled],
        reading=reading,
        # The trials are sampled at the rate that was asked for.
        rate_hz=rate,
        origin="Cascade, a row a trial",
    )


def read_spikefinder(path: Path, reading: Reading) -> CalciumRecording:
    """Return the neurons of a spikefinder table, with the spikes if their table is beside it.

    The columns of shorter neurons end in blanks.
    """
    traces = _read_columns(path)
    beside = path.with_name(path.name.replace(CALCIUM, SPIKES))
    spikes = _read_columns(beside) if path.name.endswith(CALCIUM) and beside.is_file() else None
    return _stack(
        path,
        traces,
        spikes,
        reading=reading,
        # The format contains no rate, so that the requested one cannot contradict it.
        rate_hz=reading.rate_hz or SPIKEFINDER_HZ,
        origin="spikefinder",
    )


def _stack(
    path: Path,
    traces: list[Floats],
    spikes: list[Any] | None,
    *,
    reading: Reading,
    rate_hz: float,
    origin: str,
) -> CalciumRecording:
    """Return rows of different lengths as a recording, cut to the shortest or filled up."""
    lengths = [len(row) for row in traces]
    if spikes is not None:
        if len(spikes) != len(traces):
            raise StsError(f"{path} has {len(traces)} neurons and spikes of {len(spikes)}")
        lengths = [min(n, len(row)) for n, row in zip(lengths, spikes, strict=True)]
    frames = min(lengths) if reading.cut else max(lengths)
    uneven = min(lengths) < max(lengths)
    spread = f"rows of {clean_text(path.name)} have {min(lengths)} to {max(lengths)} frames"
    return build_recording(
        path,
        np.stack(
            [_resize(row[:n], frames, "edge") for row, n in zip(traces, lengths, strict=True)]
        ),
        reading=replace(reading, transpose=False),
        rate_hz=rate_hz,
        origin=origin,
        spikes=spikes
        and np.stack(
            [_resize(row[:n], frames, "constant") for row, n in zip(spikes, lengths, strict=True)]
        ),
        unit="dF/F",
        notes=(f"{spread}: all are cut to the shortest",) if uneven and reading.cut else (),
        lengths=tuple(lengths) if uneven and not reading.cut else (),
    )


def _resize(row: Any, frames: int, mode: Literal["edge", "constant"]) -> Any:
    return row[:frames] if len(row) >= frames else np.pad(row, (0, frames - len(row)), mode=mode)


def check_matlab_size(path: Path) -> None:
    """Refuse a file that is far larger than the published ones."""
    if path.stat().st_size > MAX_TRUTH_BYTES:
        raise StsError(f"{path} is larger than {MAX_TRUTH_BYTES / 1e6:.0f} MB: no ground truth is")


def _read_columns(path: Path) -> list[Floats]:
    check_matlab_size(path)
    try:
        table = pd.read_csv(path, dtype=np.float64, header=_find_header(path)).to_numpy()
    except (OSError, ValueError) as error:
        raise StsError(f"{path} is no table of numbers: {guard.describe_error(error)}") from error
    if table.size == 0:
        raise StsError(f"{path} is empty")
    columns = []
    for column in table.T:
        known = np.flatnonzero(np.isfinite(column))
        last = int(known[-1]) + 1 if known.size else 0
        if last < 2 or known.size < last:
            raise StsError(f"a column of {path} has gaps or no numbers: it cannot be read")
        columns.append(column[:last])
    return columns


def _find_header(path: Path) -> int | None:
    """Return the line with the names of columns, None if the first line contains data."""
    with path.open(encoding="utf-8", errors="replace") as file:
        names = file.readline(MAX_HEADER).strip().split(",")
    try:
        values = [float(name) for name in names]
    except ValueError:
        return 0
    # The columns of spikefinder have the names 0, 1, 2, ...
    return 0 if values in ([*range(len(values))], [*range(1, len(values) + 1)]) else None
