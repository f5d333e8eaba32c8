"""Readers of MATLAB files: event trains of sessions with positions, fluorescence, and Cascade."""

from pathlib import Path
from typing import Final

import numpy as np
from scipy.io import whosmat

from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.calcium.recording import (
    CalciumRecording,
    Reading,
    build_recording,
    choose_series,
    clean_text,
)
from sts.calcium.true_spikes import (
    VARIABLE,
    check_matlab_size,
    load_matlab,
    name_damaged_matlab,
    read_cascade,
)

# Variables and ends of names of the files of the Ziv laboratory: (environment, session, direction)
# cells with the events (frames, neurons) and the positions (frames, 1) of running periods.
EVENTS: Final = "spike_train"
POSITIONS: Final = "stimulus_trace"
# Frame rate of these files, which do not contain it.
EVENTS_HZ: Final = 20.0
# Variable with the fluorescence (neurons, frames) in files of Triplett et al. (2018).
ACTIVITY: Final = "activity_matrix"
# Largest number of cells of a cell array: eight sessions of two directions are 16.
MOST_MATLAB_CELLS: Final = 4096
# Seed of the noise of traces that are simulated from events: reading gives the same traces again.
EVENTS_SEED: Final = 0


def read_matlab(path: Path, reading: Reading) -> CalciumRecording:
    """Return the recording in a MATLAB file of one of the known layouts."""
    check_matlab_size(path)
    with name_damaged_matlab(path):
        names = [name for name, _, _ in whosmat(path)]
    readers = {EVENTS: _read_events, ACTIVITY: _read_activity, VARIABLE: read_cascade}
    for name, read in readers.items():
        if name in names:
            return read(path, reading)
    listed = ", ".join(clean_text(name) for name in names[:20]) or "nothing"
    raise StsError(f"{path} has no variable {', '.join(readers)}: it has {listed}")


def _read_activity(path: Path, reading: Reading) -> CalciumRecording:
    """Return fluorescence as it is; the file has no frame rate."""
    activity = load_matlab(path, ACTIVITY)
    if not isinstance(activity, np.ndarray):
        raise StsError(f"{ACTIVITY} of {path} contains no numbers: (neurons, frames) is needed")
    return build_recording(path, activity, reading=reading, origin="MATLAB", unit="dF/F")


def _read_events(path: Path, reading: Reading) -> CalciumRecording:
    """Return one session: its directions are stretches, its events the spikes.

    An event is a value above 0. The traces are simulated: calcium that decays as published, with
    noise of the published size, since the files have no fluorescence.
    """
    # Loads numba, which takes a second: other files do not need it.
    from sts.calcium.fluorescence import CalciumModel, simulate_fluorescence

    sessions = _read_cells(path, EVENTS)
    name = choose_series(list(sessions), reading, "session", path)
    trains = sessions[name]
    neurons = {train.shape[1] for train in trains}
    if len(neurons) != 1:
        raise StsError(f"the directions of session {name} of {path} have different neurons")
    events = np.concatenate([(train > 0).T for train in trains], axis=1).astype(np.int64)
    if not np.isfinite(np.concatenate([train.ravel() for train in trains])).all():
        raise StsError(f"session {name} of {path} has NaN or infinite values")
    active = np.flatnonzero(events.any(axis=1))
    if len(active) == 0:
        raise StsError(f"session {name} of {path} has no event")
    rng = np.random.default_rng(EVENTS_SEED)
    traces = simulate_fluorescence(events[active], CalciumModel(), rng)
    others = ", ".join(each for each in sessions if each != name) or "none"
    about = f"session {name} of {clean_text(path.name)} is read, others are {others}"
    notes = [f"{about}; its traces are simulated from its events"]
    if reading.rate_hz is None:
        notes.append(f"{EVENTS_HZ:g} frames a second are assumed: give others with --rate")
    return build_recording(
        path,
        traces,
        # The layout is known: a rate in the file or another order cannot contradict it.
        reading=Reading(rate_hz=reading.rate_hz or EVENTS_HZ, least=reading.least),
        origin="events of a session, traces simulated",
        spikes=events[active],
        neurons=[str(neuron) for neuron in active],
        unit="events",
        notes=tuple(notes),
        stretches=tuple(len(train) for train in trains),
        positions=_read_positions(path, name, trains),
    )


def _read_cells(path: Path, variable: str) -> dict[str, list[Floats]]:
    """Return the arrays of each session, named by environment and session, a direction each."""
    cells = load_matlab(path, variable)
    if not isinstance(cells, np.ndarray) or cells.dtype != object or not 0 < cells.ndim <= 3:
        raise StsError(
            f"{variable} of {path} is no cell array of environments, sessions and directions"
        )
    if not 0 < cells.size <= MOST_MATLAB_CELLS:
        raise StsError(
            f"{variable} of {path} has {cells.size} cells: 1 to {MOST_MATLAB_CELLS} are needed"
        )
    cells = cells.reshape(cells.shape + (1,) * (3 - cells.ndim))
    sessions: dict[str, list[Floats]] = {}
    for environment, session in np.ndindex(cells.shape[:2]):
        name = f"{environment + 1}.{session + 1}"
        for each in cells[environment, session]:
            if not isinstance(each, np.ndarray) or each.dtype.kind not in "iufb" or each.ndim != 2:
                raise StsError(f"session {name} of {variable} in {path} contains no table")
            if each.size:
                sessions.setdefault(name, []).append(each)
    if not sessions:
        raise StsError(f"{variable} of {path} has no session with frames")
    return sessions


def _read_positions(path: Path, session: str, trains: list[Floats]) -> Ints | None:
    """Return the position in each frame, from the file beside the events; None without it."""
    beside = path.with_name(path.name.replace(EVENTS, POSITIONS))
    if beside == path or not beside.is_file():
        return None
    places = _read_cells(beside, POSITIONS).get(session, [])
    if [each.size for each in places] != [len(train) for train in trains]:
        raise StsError(f"session {session} of {beside} has other frames than {path.name}")
    joined = np.concatenate([each.ravel() for each in places]).astype(np.float64)
    if not np.isfinite(joined).all() or np.abs(joined).max() > 1e6:
        raise StsError(f"session {session} of {beside} has positions that are no numbers of bins")
    return joined.astype(np.int64)
