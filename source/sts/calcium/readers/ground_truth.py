"""Calcium with true spikes: the formats of Cascade (.mat) and of spikefinder (.csv)."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from sts.base import guard
from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.calcium.readers.common import build_recording, clean_text
from sts.calcium.recording import FASTEST_HZ, CalciumRecording, Reading

VARIABLE: Final = "CAttached"
FIELDS: Final = ("fluo_time", "fluo_mean", "events_AP")
# Spike times are in units of 0.1 ms.
PER_S: Final = 1e4
SPIKEFINDER_HZ: Final = 100.0
# Of a frame.
ROUNDING: Final = 1e-6
CALCIUM: Final = ".calcium.csv"
SPIKES: Final = ".spikes.csv"
MAX_HEADER: Final = 2**20
# The largest of the published files takes 2 MB.
MAX_BYTES: Final = 256 * 2**20
# Of one trial, as many as a day at 100 Hz.
MOST_FRAMES: Final = 10_000_000
BROKEN: Final = (MatReadError, OSError, ValueError, TypeError, KeyError, IndexError, EOFError)


class CascadeTrial:
    """One neuron recorded without a pause: calcium and true spikes."""

    def __init__(self, times_s: Floats, traces: Floats, spikes_s: Floats) -> None:
        self.times_s, self.traces, self.spikes_s = times_s, traces, spikes_s

    @property
    def rate_hz(self) -> float:
        """Return the frame rate."""
        return float(1 / np.median(np.diff(self.times_s)))

    @property
    def seconds(self) -> float:
        """Return how long it is."""
        return float(self.times_s[-1] - self.times_s[0])

    def at(self, rate_hz: float) -> tuple[Floats, Ints]:
        """Return trace and spike counts (frames,) on an even grid of another rate."""
        # The last frame must not fall to rounding.
        frames = int(self.seconds * rate_hz + ROUNDING) + 1
        grid = self.times_s[0] + np.arange(frames) / rate_hz
        edges = np.append(grid, grid[-1] + 1 / rate_hz) - 0.5 / rate_hz
        counts = np.histogram(self.spikes_s, bins=edges)[0]
        return np.interp(grid, self.times_s, self.traces), counts


def read_trials(path: Path) -> list[CascadeTrial]:
    """Return the trials of a Cascade file; of its structures only arrays of numbers are taken."""
    if path.stat().st_size > MAX_BYTES:
        raise StsError(f"{path} is larger than {MAX_BYTES / 1e6:.0f} MB: no ground truth is")
    try:
        found = loadmat(path, variable_names=[VARIABLE]).get(VARIABLE)
    except (*BROKEN, NotImplementedError, MemoryError) as error:
        raise StsError(
            f"{path} is no MATLAB file of version 5: {guard.describe_error(error)}"
        ) from error
    if not isinstance(found, np.ndarray) or found.size == 0:
        raise StsError(f"{path} has no variable {VARIABLE}: a file of Cascade is wanted")
    trials = [_trial(each, path) for each in found.ravel()]
    return [trial for trial in trials if trial is not None]


def _trial(struct: Any, path: Path) -> CascadeTrial | None:
    names = getattr(getattr(struct, "dtype", None), "names", None) or ()
    if missing := [name for name in FIELDS if name not in names]:
        raise StsError(
            f"{VARIABLE} of {path} is no structure with {', '.join(missing)}: a file of Cascade "
            "is wanted"
        )
    times, traces, events = (_numbers(struct[name], name, path) for name in FIELDS)
    frames = min(len(times), len(traces))
    if frames < 2:
        return None
    times, traces = times[:frames], traces[:frames]
    # The last frame of many published trials stands there twice.
    known = np.isfinite(times) & np.isfinite(traces) & (np.diff(times, prepend=-np.inf) != 0)
    if known.sum() < 2 or not (np.diff(times[known]) > 0).all():
        raise StsError(f"a trial of {path} has times that do not rise: it cannot be read")
    return CascadeTrial(times[known], traces[known], events[np.isfinite(events)] / PER_S)


def _numbers(value: Any, name: str, path: Path) -> Floats:
    array = value
    # A structure's field is an array inside an array of one.
    while isinstance(array, np.ndarray) and array.dtype == object and array.size == 1:
        array = array.ravel()[0]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise StsError(f"{name} of {path} holds no numbers: a file of Cascade is wanted")
    return array.ravel().astype(np.float64)


def read_cascade(path: Path, reading: Reading) -> CalciumRecording:
    """Return the trials of a Cascade file as if they were neurons, cut to the shortest."""
    trials = read_trials(path)
    if not trials:
        raise StsError(f"{path} has no trial with frames")
    rate = reading.rate_hz or trials[0].rate_hz
    if not 0 < rate <= FASTEST_HZ or max(each.seconds for each in trials) * rate > MOST_FRAMES:
        raise StsError(f"{path} would have more than {MOST_FRAMES:.0e} frames at {rate:g} Hz")
    sampled = [trial.at(rate) for trial in trials]
    return _stacked(
        path,
        [traces for traces, _ in sampled],
        [counts for _, counts in sampled],
        reading=reading,
        # Already at the rate that was asked for.
        rate_hz=rate,
        origin="Cascade, a row a trial",
    )


def read_spikefinder(path: Path, reading: Reading) -> CalciumRecording:
    """Return the neurons of a spikefinder table and, where they stand beside it, their spikes.

    Columns end in blanks where a neuron was recorded for less long: all are cut to the shortest.
    """
    traces = _columns(path)
    beside = path.with_name(path.name.replace(CALCIUM, SPIKES))
    spikes = _columns(beside) if path.name.endswith(CALCIUM) and beside.is_file() else None
    return _stacked(
        path,
        list(traces),
        spikes and list(spikes),
        reading=reading,
        # The format has no place for a rate: the one asked for contradicts nothing.
        rate_hz=reading.rate_hz or SPIKEFINDER_HZ,
        origin="spikefinder",
    )


def _stacked(
    path: Path,
    traces: list[Floats],
    spikes: list[Any] | None,
    *,
    reading: Reading,
    rate_hz: float,
    origin: str,
) -> CalciumRecording:
    """Return rows of different lengths as a recording: cut to the shortest, or filled up."""
    lengths = [len(row) for row in traces]
    if spikes is not None:
        if len(spikes) != len(traces):
            raise StsError(f"{path} has {len(traces)} neurons and spikes of {len(spikes)}")
        lengths = [min(n, len(row)) for n, row in zip(lengths, spikes, strict=True)]
    frames = min(lengths) if reading.cut else max(lengths)
    uneven = min(lengths) < max(lengths)
    found = f"rows of {clean_text(path.name)} have {min(lengths)} to {max(lengths)} frames"
    return build_recording(
        path,
        np.stack(
            [_filled(row[:n], frames, "edge") for row, n in zip(traces, lengths, strict=True)]
        ),
        reading=replace(reading, transpose=False),
        rate_hz=rate_hz,
        origin=origin,
        spikes=spikes
        and np.stack(
            [_filled(row[:n], frames, "constant") for row, n in zip(spikes, lengths, strict=True)]
        ),
        unit="dF/F",
        notes=(f"{found}: all are cut to the shortest",) if uneven and reading.cut else (),
        lengths=tuple(lengths) if uneven and not reading.cut else (),
    )


def _filled(row: Any, frames: int, mode: Literal["edge", "constant"]) -> Any:
    return row[:frames] if len(row) >= frames else np.pad(row, (0, frames - len(row)), mode=mode)


def _columns(path: Path) -> list[Floats]:
    if path.stat().st_size > MAX_BYTES:
        raise StsError(f"{path} is larger than {MAX_BYTES / 1e6:.0f} MB: no ground truth is")
    try:
        table = pd.read_csv(path, dtype=np.float64, header=_header(path)).to_numpy()
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


def _header(path: Path) -> int | None:
    """Return which line names the columns, None where the first one holds numbers already."""
    with path.open(encoding="utf-8", errors="replace") as file:
        names = file.readline(MAX_HEADER).strip().split(",")
    try:
        values = [float(name) for name in names]
    except ValueError:
        return 0
    # spikefinder calls its columns 0, 1, 2, ...
    return 0 if values in ([*range(len(values))], [*range(1, len(values) + 1)]) else None
