"""Plain arrays: .npy, .npz and HDF5, the last of which is also written."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base.errors import StsError
from sts.base.files import atomic_path
from sts.base.types import Floats
from sts.calcium.recording import Recording
from sts.recordings import guard

TRACES: Final = ("traces", "F", "dff", "calcium", "signals", "data")
RATES: Final = ("rate_hz", "fs", "frame_rate", "sampling_rate")
# A thousand neurons for five hours at 30 Hz.
MAX_BYTES: Final = 4 * 2**30


def read_npy(path: Path, rate_hz: float | None) -> Recording:
    """Return the traces of a .npy file, (neurons, frames)."""
    return made(path, load_npy(path), rate_hz=rate_hz, origin="npy")


def load_npy(path: Path) -> Floats:
    """Return the numbers of a .npy file, from which nothing is unpickled."""
    with _reading(path):
        values = np.load(path, allow_pickle=False)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise StsError(f"{path} holds no array of numbers: (neurons, frames) is wanted")
    return values


def read_npz(path: Path, rate_hz: float | None) -> Recording:
    """Return the traces of a .npz file, under a name we know, with its rate and spikes."""
    # Opened here: numpy leaves a damaged file open.
    with (
        _reading(path),
        path.open("rb") as stream,
        np.load(stream, allow_pickle=False) as file,
    ):
        name = _first(TRACES, file.files, path)
        traces = file[name]
        found = next((float(file[rate]) for rate in RATES if rate in file.files), None)
        spikes = file["spikes"] if "spikes" in file.files else None
        names = tuple(map(str, file["neurons"])) if "neurons" in file.files else None
        unit = str(file["unit"]) if "unit" in file.files else ""
    if traces.ndim == 3:
        # Windows, as `generate` writes them: one after the other.
        traces = np.swapaxes(traces, 0, 1).reshape(traces.shape[1], -1)
    return made(
        path,
        traces,
        rate_hz=rate_hz or found,
        origin="npz",
        spikes=spikes,
        neurons=names,
        unit=unit,
    )


def read_hdf5(path: Path, rate_hz: float | None) -> Recording:
    """Return the traces of an HDF5 file, under a name we know, with its rate and spikes."""
    try:
        with guard.open_hdf5(path) as file:
            name = _first(TRACES, list(file), path)
            traces = guard.array(guard.member(file, name), max_bytes=MAX_BYTES)
            found = next((r for key in RATES if (r := guard.number(file, key)) is not None), None)
            spikes = guard.member(file, "spikes")
            counted = None if spikes is None else guard.array(spikes, max_bytes=MAX_BYTES)
            unit = guard.text(file, "unit")
    except StsError as error:
        raise StsError(_named(path, error)) from error
    return made(path, traces, rate_hz=rate_hz or found, origin="HDF5", spikes=counted, unit=unit)


def write_hdf5(path: Path, recording: Recording, **more: Any) -> None:
    """Write a recording, whole or not at all; `more` arrays stand beside it."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["rate_hz"], file.attrs["unit"] = recording.rate_hz, recording.unit
        file["traces"] = recording.traces
        if recording.spikes is not None:
            # Mostly zeros: it packs to a twentieth.
            file.create_dataset("spikes", data=recording.spikes, compression="gzip")
        for name, values in more.items():
            file[name] = values


def made(
    path: Path,
    traces: Any,
    *,
    rate_hz: float | None,
    origin: str,
    spikes: Any = None,
    neurons: tuple[str, ...] | None = None,
    unit: str = "",
) -> Recording:
    """Return a recording as read, which `check_recording` has yet to judge."""
    array = np.asarray(traces)
    if array.dtype.kind not in "iuf":
        raise StsError(f"{path.name} holds no numbers where traces are wanted")
    count = len(array) if array.ndim else 0
    return Recording(
        name=path.name,
        traces=array,
        rate_hz=math.nan if rate_hz is None else rate_hz,
        neurons=neurons if neurons and len(neurons) == count else tuple(map(str, range(count))),
        unit=unit,
        spikes=None if spikes is None else np.asarray(spikes),
        origin=origin,
    )


def _first(names: tuple[str, ...], there: list[str], path: Path) -> str:
    for name in names:
        if name in there:
            return name
    raise StsError(
        f"{path} has no array {' or '.join(names)}: it has {', '.join(there) or 'nothing'}"
    )


def _named(path: Path, error: StsError) -> str:
    return str(error) if str(path) in str(error) else f"{path} {error}"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise StsError(
                f"{path} holds pickled objects, which are not loaded: save plain numbers"
            ) from error
        raise StsError(f"{path} is damaged: {guard.said(error)}") from error
    except (OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise StsError(
            f"{path} is damaged or not what its name says: {guard.said(error)}"
        ) from error
