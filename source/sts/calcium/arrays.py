"""Readers of plain arrays: .npy, .npz, folders of suite2p, and HDF5, which is also written."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base import guard
from sts.base.errors import StsError
from sts.base.guard import new_hdf5
from sts.base.types import Floats
from sts.calcium.recording import (
    MAX_RECORDING_BYTES,
    CalciumRecording,
    Reading,
    build_recording,
    choose_series,
    clean_text,
)
from sts.calcium.windows import join_windows

# Names of arrays that are read as traces and as frame rates; the first existing one is used.
TRACE_NAMES: Final = ("traces", "F", "dff", "calcium", "signals", "data")
RATES: Final = ("rate_hz", "fs", "frame_rate", "sampling_rate")
# Fraction of the neuropil that is subtracted, as in suite2p.
NEUROPIL: Final = 0.7
# Errors of numpy and zipfile for damaged files.
DAMAGED: Final = (OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)


def read_npy(path: Path, reading: Reading) -> CalciumRecording:
    """Return the traces of a .npy file, (neurons, frames)."""
    return build_recording(path, _load_npy(path), reading=reading, origin="npy")


def _load_npy(path: Path) -> Floats:
    """Return the numbers of a .npy file; objects are not unpickled."""
    with _name_damage(path):
        _check_size(path, path.stat().st_size)
        values = np.load(path, allow_pickle=False)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise StsError(f"{path} contains no array of numbers: (neurons, frames) is needed")
    return values


def read_npz(path: Path, reading: Reading) -> CalciumRecording:
    """Return the traces of a .npz file, with its rate and spikes if it has them."""
    # Opened here, because numpy does not close a damaged file.
    with (
        _name_damage(path),
        path.open("rb") as stream,
        np.load(stream, allow_pickle=False) as file,
    ):
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise StsError(f"{path} is no .npz file: it contains a single array, call it .npy")
        members = file.zip.infolist() if file.zip else []
        _check_size(path, max((member.file_size for member in members), default=0))
        name = _choose_traces(list(file.files), reading, path)
        traces = file[name]
        rate_hz = next((_number(file[rate], rate) for rate in RATES if rate in file.files), None)
        spikes = file["spikes"] if "spikes" in file.files and name != "spikes" else None
        names = [str(each) for each in file["neurons"].ravel()] if "neurons" in file.files else []
        unit = str(file["unit"]) if "unit" in file.files else ""
    notes: tuple[str, ...] = ()
    if traces.ndim == 3:
        # Windows, as `generate` writes them.
        joined = traces.shape
        traces = join_windows(traces)
        spikes = spikes if spikes is None or spikes.shape != joined else join_windows(spikes)
        notes = (f"the windows of {clean_text(path.name)} are joined one after the other",)
    return build_recording(
        path,
        traces,
        reading=reading,
        rate_hz=rate_hz,
        origin="npz",
        spikes=spikes,
        neurons=names,
        unit=unit,
        notes=notes,
    )


def read_hdf5(path: Path, reading: Reading) -> CalciumRecording:
    """Return the traces of an HDF5 file, with its rate and spikes if it has them."""
    with name_file(path), guard.open_hdf5(path) as file:
        name = _choose_traces(list(file), reading, path)
        traces = guard.array(guard.member(file, name), max_bytes=MAX_RECORDING_BYTES)
        rate_hz = next((r for key in RATES if (r := guard.number(file, key)) is not None), None)
        spikes = guard.member(file, "spikes") if name != "spikes" else None
        counted = None if spikes is None else guard.array(spikes, max_bytes=MAX_RECORDING_BYTES)
        unit = guard.text(file, "unit")
    return build_recording(
        path,
        traces,
        reading=reading,
        rate_hz=rate_hz,
        origin="HDF5",
        spikes=counted,
        unit=unit,
    )


def write_hdf5(path: Path, recording: CalciumRecording, **more: Any) -> None:
    """Write a recording and `more` arrays, completely or not at all."""
    with new_hdf5(path) as file:
        file.attrs["rate_hz"], file.attrs["unit"] = recording.rate_hz, recording.unit
        file["traces"] = recording.traces
        if recording.spikes is not None:
            # Mostly zeros: compression saves 95 %.
            file.create_dataset("spikes", data=recording.spikes, compression="gzip")
        for name, values in more.items():
            file[name] = values


def read_suite2p(folder: Path, reading: Reading) -> CalciumRecording:
    """Return the traces of the ROIs of suite2p that are cells, with the neuropil subtracted.

    The frame rate must be given: suite2p has it only in a pickle, which is not loaded.
    """
    places = (folder, folder / "plane0", folder / "suite2p" / "plane0")
    path = next((place for place in places if (place / "F.npy").is_file()), None)
    if path is None:
        raise StsError(
            f"no F.npy in {folder}: a folder of suite2p is needed, such as suite2p/plane0"
        )
    traces = _load_npy(path / "F.npy").astype(np.float32)
    if traces.ndim != 2:
        raise StsError(f"F.npy of {path} has {traces.ndim} dimensions: (ROIs, frames) is needed")
    if (path / "Fneu.npy").is_file():
        neuropil = _load_npy(path / "Fneu.npy")
        if neuropil.shape != traces.shape:
            raise StsError(f"F.npy and Fneu.npy of {path} differ in shape: run suite2p again")
        traces = traces - np.float32(NEUROPIL) * neuropil.astype(np.float32)
    cells = np.arange(len(traces))
    if (path / "iscell.npy").is_file():
        is_cell = _load_npy(path / "iscell.npy")
        if is_cell.ndim != 2 or len(is_cell) != len(traces):
            raise StsError(f"iscell.npy of {path} is not of these {len(traces)} ROIs")
        cells = np.flatnonzero(is_cell[:, 0] > 0)
    others = sorted(each.name for each in path.parent.glob("plane*") if each != path)
    named = path.name.startswith("plane") and others and folder != path
    notes = (
        (f"{path.name} is read, {', '.join(others)} left out: give its folder",) if named else ()
    )
    return build_recording(
        folder,
        traces[cells],
        reading=reading,
        origin="suite2p",
        neurons=[str(cell) for cell in cells],
        unit="fluorescence",
        notes=notes,
    )


@contextmanager
def name_file(path: Path) -> Iterator[None]:
    """Add the name of the file to errors about it."""
    try:
        yield
    except StsError as error:
        named = str(path) in str(error) or path.name in str(error)
        raise StsError(str(error) if named else f"{path} {error}") from error


def _check_size(path: Path, size: int) -> None:
    if size > MAX_RECORDING_BYTES:
        raise StsError(
            f"{path} is not safe to read: it claims an array of {size / 1e6:.0f} MB, "
            f"{MAX_RECORDING_BYTES / 1e6:.0f} MB are allowed"
        )


def _number(values: Any, name: str) -> float:
    if np.size(values) != 1 or np.asarray(values).dtype.kind not in "iuf":
        raise StsError(f"{name} is no number: frames a second are needed")
    return float(np.ravel(values)[0])


def _choose_traces(names: list[str], reading: Reading, path: Path) -> str:
    """Return the name of the array with the traces: the requested name, else a usual name."""
    if reading.series:
        return choose_series(names, reading, "array", path)
    for name in TRACE_NAMES:
        if name in names:
            return name
    listed = ", ".join(clean_text(each) for each in names[:20]) or "nothing"
    raise StsError(
        f"{path} has no array {' or '.join(TRACE_NAMES)}: it has {listed}; choose with --series"
    )


@contextmanager
def _name_damage(path: Path) -> Iterator[None]:
    """Convert errors of numpy about a damaged file to one line."""
    try:
        yield
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise StsError(
                f"{path} contains pickled objects, which are not loaded: save plain numbers"
            ) from error
        raise StsError(f"{path} is damaged: {guard.describe_error(error)}") from error
    except DAMAGED as error:
        raise StsError(
            f"{path} is damaged or of another kind than its name: {guard.describe_error(error)}"
        ) from error
