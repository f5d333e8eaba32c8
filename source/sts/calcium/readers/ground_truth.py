"""Calcium with true spikes: the formats of Cascade (.mat) and of spikefinder (.csv)."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.calcium.readers.arrays import made
from sts.calcium.recording import Recording
from sts.recordings import guard

VARIABLE: Final = "CAttached"
FIELDS: Final = ("fluo_time", "fluo_mean", "events_AP")
# Spike times are in units of 0.1 ms.
PER_S: Final = 1e4
SPIKEFINDER_HZ: Final = 100.0
CALCIUM: Final = ".calcium.csv"
SPIKES: Final = ".spikes.csv"
# The largest of the published files takes 2 MB.
MAX_BYTES: Final = 256 * 2**20
BROKEN: Final = (MatReadError, OSError, ValueError, TypeError, KeyError, IndexError, EOFError)


class Trial:
    """One neuron recorded without a pause: calcium and true spikes."""

    def __init__(self, times_s: Floats, traces: Floats, spikes_s: Floats) -> None:
        self.times_s, self.traces, self.spikes_s = times_s, traces, spikes_s

    @property
    def rate_hz(self) -> float:
        """Return the frame rate."""
        return float(1 / np.median(np.diff(self.times_s)))

    def at(self, rate_hz: float) -> tuple[Floats, Ints]:
        """Return trace and spike counts (frames,) on an even grid of another rate."""
        frames = int((self.times_s[-1] - self.times_s[0]) * rate_hz) + 1
        grid = self.times_s[0] + np.arange(frames) / rate_hz
        edges = np.append(grid, grid[-1] + 1 / rate_hz) - 0.5 / rate_hz
        counts = np.histogram(self.spikes_s, bins=edges)[0]
        return np.interp(grid, self.times_s, self.traces), counts


def read_trials(path: Path) -> list[Trial]:
    """Return the trials of a Cascade file; of its structures only arrays of numbers are taken."""
    if path.stat().st_size > MAX_BYTES:
        raise StsError(f"{path} is larger than {MAX_BYTES / 1e6:.0f} MB: no ground truth is")
    try:
        found = loadmat(path, variable_names=[VARIABLE]).get(VARIABLE)
    except (*BROKEN, NotImplementedError, MemoryError) as error:
        raise StsError(f"{path} is no MATLAB file of version 5: {guard.said(error)}") from error
    if not isinstance(found, np.ndarray) or found.size == 0:
        raise StsError(f"{path} has no variable {VARIABLE}: a file of Cascade is wanted")
    trials = [_trial(each, path) for each in found.ravel()]
    return [trial for trial in trials if trial is not None]


def _trial(struct: Any, path: Path) -> Trial | None:
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
    return Trial(times[known], traces[known], events[np.isfinite(events)] / PER_S)


def _numbers(value: Any, name: str, path: Path) -> Floats:
    array = value
    # A structure's field is an array inside an array of one.
    while isinstance(array, np.ndarray) and array.dtype == object and array.size == 1:
        array = array.ravel()[0]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise StsError(f"{name} of {path} holds no numbers: a file of Cascade is wanted")
    return array.ravel().astype(np.float64)


def read_cascade(path: Path, rate_hz: float | None) -> Recording:
    """Return the trials of a Cascade file as if they were neurons, cut to the shortest."""
    trials = read_trials(path)
    if not trials:
        raise StsError(f"{path} has no trial with frames")
    rate = rate_hz or trials[0].rate_hz
    sampled = [trial.at(rate) for trial in trials]
    frames = min(len(traces) for traces, _ in sampled)
    return made(
        path,
        np.stack([traces[:frames] for traces, _ in sampled]),
        rate_hz=rate,
        origin="Cascade, a row a trial",
        spikes=np.stack([counts[:frames] for _, counts in sampled]),
        unit="dF/F",
    )


def read_spikefinder(path: Path, rate_hz: float | None) -> Recording:
    """Return the neurons of a spikefinder table and, where they stand beside it, their spikes.

    Columns end in blanks where a neuron was recorded for less long: all are cut to the shortest.
    """
    traces = _columns(path)
    beside = path.with_name(path.name.replace(CALCIUM, SPIKES))
    spikes = _columns(beside) if path.name.endswith(CALCIUM) and beside.is_file() else None
    frames = min(len(column) for column in [*traces, *(spikes or [])])
    return made(
        path,
        np.stack([column[:frames] for column in traces]),
        rate_hz=rate_hz or SPIKEFINDER_HZ,
        origin="spikefinder",
        spikes=None
        if spikes is None
        else np.stack([column[:frames] for column in spikes]).astype(np.int64),
        unit="dF/F",
    )


def _columns(path: Path) -> list[Floats]:
    if path.stat().st_size > MAX_BYTES:
        raise StsError(f"{path} is larger than {MAX_BYTES / 1e6:.0f} MB: no ground truth is")
    try:
        table = pd.read_csv(path, dtype=np.float64).to_numpy()
    except (OSError, ValueError) as error:
        raise StsError(f"{path} is no table of numbers: {guard.said(error)}") from error
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
