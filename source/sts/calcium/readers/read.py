"""Files and folders are read in a sandbox, by the reader for their ending."""

import importlib
import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import CellFailed, StsError
from sts.base.guard import describe_error
from sts.base.sandbox import Isolated, Limits
from sts.calcium.readers.common import MAX_BYTES
from sts.calcium.recording import CalciumRecording, Reading, check_recording

logger = logging.getLogger("sts")

# Ending -> module and function, imported when wanted, since some are slow to load; each takes the
# path and how it is to be read.
READERS: Final = {
    ".npy": ("arrays", "read_npy"),
    ".npz": ("arrays", "read_npz"),
    ".h5": ("arrays", "read_hdf5"),
    ".hdf5": ("arrays", "read_hdf5"),
    ".nwb": ("ophys", "read_ophys"),
    ".mat": ("ground_truth", "read_cascade"),
    ".csv": ("ground_truth", "read_spikefinder"),
}
FOLDER: Final = ("arrays", "read_suite2p")
WORK: Final = "sts.calcium.readers.read:answer"
# Numbers come in pieces of so many bytes: an answer is bounded.
PIECE: Final = 2**25
# What the largest recording takes: as read, and as float32 beside it.
MOST_MB: Final = 3 * MAX_BYTES // 2**20
ARRAYS: Final = ("traces", "spikes")
# In the sandbox: the arrays of the recording that was read last.
_HELD: Final[dict[str, Any]] = {}


def read_calcium(
    path: Path, reading: Reading | None = None, *, rate_hz: float | None = None
) -> CalciumRecording:
    """Return the recording in a file, or in a folder of suite2p, checked.

    Parameters
    ----------
    rate_hz
        Short for a reading with this frame rate.
    """
    check_path(path)
    reading = reading or Reading(rate_hz=rate_hz)
    limits = Limits(memory_mb=min(MOST_MB, _memory_mb() // 2), processor_s=600)
    try:
        with Isolated(WORK, limits) as reader:
            reply, _ = reader.ask({"path": str(path), "reading": asdict(reading)})
            if "error" in reply:
                raise StsError(" ".join(reply["error"].split()))
            arrays = {name: _fetch(reader, name, reply[name]) for name in ARRAYS}
    except CellFailed as error:
        raise StsError(f"{path} {error}") from error
    for note in reply["notes"]:
        logger.warning("%s", note)
    return CalciumRecording(
        name=reply["name"],
        traces=arrays["traces"],
        rate_hz=reply["rate_hz"],
        neurons=tuple(reply["neurons"]),
        unit=reply["unit"],
        spikes=arrays["spikes"],
        origin=reply["origin"],
        notes=tuple(reply["notes"]),
        lengths=tuple(reply["lengths"]),
    )


def _memory_mb() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):
        return 2 * MOST_MB


def _fetch(reader: Isolated, name: str, form: Any) -> Any:
    if form is None:
        return None
    dtype, shape = np.dtype(form["dtype"]), tuple(form["shape"])
    if dtype.kind not in "iuf" or int(np.prod(shape)) * dtype.itemsize > 2 * MAX_BYTES:
        raise CellFailed("is damaged: its reader answers nonsense")
    array = np.empty(shape, dtype)
    raw = array.reshape(-1).view(np.uint8)
    for begin in range(0, len(raw), PIECE):
        piece = raw[begin : begin + PIECE]
        _, data = reader.ask({"array": name, "begin": begin, "size": len(piece)})
        if len(data) != len(piece):
            raise CellFailed("lost its reader half way: try again")
        piece[:] = np.frombuffer(data, np.uint8)
    return array


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer a request of `read_calcium`, in the sandbox."""
    if "array" in request:
        # Empty in a process that took the place of one that was killed.
        raw = _HELD.get(request["array"], np.empty(0)).reshape(-1).view(np.uint8)
        return {}, raw[request["begin"] : request["begin"] + request["size"]].tobytes()
    path = Path(request["path"])
    try:
        recording = read_here(path, Reading(**request["reading"]))
    except StsError as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": f"{path} cannot be read: it takes more memory than there is"}, b""
    # Whatever else a library raises over a file is about the file.
    except Exception as error:
        return {
            "error": f"{path} cannot be read: {type(error).__name__}, {describe_error(error)}"
        }, b""
    _HELD.update({name: getattr(recording, name) for name in ARRAYS})
    return {name: _form(_HELD[name]) for name in ARRAYS} | {
        "name": recording.name,
        "rate_hz": recording.rate_hz,
        "neurons": recording.neurons,
        "unit": recording.unit,
        "origin": recording.origin,
        "notes": recording.notes,
        "lengths": recording.lengths,
    }, b""


def _form(array: Any) -> dict[str, Any] | None:
    return None if array is None else {"dtype": array.dtype.str, "shape": array.shape}


def read_here(path: Path, reading: Reading) -> CalciumRecording:
    """Return the recording in a file, or in a folder of suite2p, checked, in this process."""
    module, function = FOLDER if path.is_dir() else reader_of(path)
    read: Callable[[Path, Reading], CalciumRecording] = getattr(
        importlib.import_module(f"sts.calcium.readers.{module}"), function
    )
    return check_recording(read(path, reading), least=reading.least)


def reader_of(path: Path) -> tuple[str, str]:
    """Return module and function that read a file of this ending."""
    if path.suffix.lower() not in READERS:
        raise StsError(
            f"{path} is of an unknown kind {path.suffix!r}: choose from {', '.join(READERS)}, or "
            "a folder of suite2p"
        )
    return READERS[path.suffix.lower()]


def check_path(path: Path) -> None:
    """Refuse what is neither a file nor a folder that can be read."""
    try:
        if not path.exists():
            raise StsError(f"no file or folder {path}")
        usual = path.is_file() or path.is_dir()
    except (OSError, ValueError) as error:
        raise StsError(f"cannot read {path}: {error}") from error
    if not usual:
        raise StsError(f"{path} is no file and no folder: a recording is wanted")
    if path.is_file():
        reader_of(path)
