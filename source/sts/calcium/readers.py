"""Reading files and folders in a sandbox, by the reader for their ending."""

import importlib
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from sts.base.errors import CellFailed, StsError
from sts.base.guard import describe_error
from sts.base.sandbox import Isolated, Limits
from sts.calcium.recording import MAX_RECORDING_BYTES, CalciumRecording, Reading, check_recording

logger = logging.getLogger("sts")

# Ending -> module and function, imported only when used, since some are slow to load. A reader is
# a function of a path and a `Reading`.
CALCIUM_READERS: Final = {
    ".npy": ("arrays", "read_npy"),
    ".npz": ("arrays", "read_npz"),
    ".h5": ("arrays", "read_hdf5"),
    ".hdf5": ("arrays", "read_hdf5"),
    ".nwb": ("ophys", "read_ophys"),
    ".mat": ("populations", "read_matlab"),
    ".csv": ("true_spikes", "read_spikefinder"),
}
SUITE2P_READER: Final = ("arrays", "read_suite2p")
# Function that runs in the sandbox.
READ_WORK: Final = "sts.calcium.readers:answer"
# Bytes of an array in one answer of the sandbox.
ANSWER_BYTES: Final = 2**25
# Memory for the largest recording: the arrays of the file, and traces in float32.
MOST_MB: Final = 3 * MAX_RECORDING_BYTES // 2**20
RECORDING_ARRAYS: Final = ("traces", "spikes", "positions")
# In the sandbox: the arrays of the last recording.
_HELD: Final[dict[str, Any]] = {}


def read_calcium(
    path: Path, reading: Reading | None = None, *, rate_hz: float | None = None
) -> CalciumRecording:
    """Return the recording in a file, or in a folder of suite2p, checked.

    Parameters
    ----------
    rate_hz
        Short for `Reading(rate_hz=...)`.
    """
    _check_path(path)
    reading = reading or Reading(rate_hz=rate_hz)
    half_mb = psutil.virtual_memory().total // 2**21
    limits = Limits(memory_mb=min(MOST_MB, half_mb), processor_s=600)
    try:
        with Isolated(READ_WORK, limits) as reader:
            reply, _ = reader.ask({"path": str(path), "reading": asdict(reading)})
            if "error" in reply:
                raise StsError(" ".join(reply["error"].split()))
            arrays = {name: _fetch(reader, name, reply[name]) for name in RECORDING_ARRAYS}
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
        stretches=tuple(reply["stretches"]),
        positions=arrays["positions"],
    )


def _fetch(reader: Isolated, name: str, form: Any) -> Any:
    if form is None:
        return None
    dtype, shape = np.dtype(form["dtype"]), tuple(form["shape"])
    if dtype.kind not in "iuf" or int(np.prod(shape)) * dtype.itemsize > 2 * MAX_RECORDING_BYTES:
        raise CellFailed("is damaged: its reader gave an impossible answer")
    array = np.empty(shape, dtype)
    raw = array.reshape(-1).view(np.uint8)
    for begin in range(0, len(raw), ANSWER_BYTES):
        piece = raw[begin : begin + ANSWER_BYTES]
        _, data = reader.ask({"array": name, "begin": begin, "size": len(piece)})
        if len(data) != len(piece):
            raise CellFailed("lost its reader before it was read: try again")
        piece[:] = np.frombuffer(data, np.uint8)
    return array


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer a request of `read_calcium`, in the sandbox."""
    if "array" in request:
        # Empty in a process that replaced one that was killed.
        raw = _HELD.get(request["array"], np.empty(0)).reshape(-1).view(np.uint8)
        return {}, raw[request["begin"] : request["begin"] + request["size"]].tobytes()
    path = Path(request["path"])
    try:
        recording = read_here(path, Reading(**request["reading"]))
    except StsError as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": f"{path} cannot be read: there is not enough memory"}, b""
    # Any other error of a library is a fault of the file.
    except Exception as error:
        return {
            "error": f"{path} cannot be read: {type(error).__name__}, {describe_error(error)}"
        }, b""
    _HELD.update({name: getattr(recording, name) for name in RECORDING_ARRAYS})
    forms = {
        name: None if array is None else {"dtype": array.dtype.str, "shape": array.shape}
        for name, array in _HELD.items()
    }
    return forms | {
        "name": recording.name,
        "rate_hz": recording.rate_hz,
        "neurons": recording.neurons,
        "unit": recording.unit,
        "origin": recording.origin,
        "notes": recording.notes,
        "lengths": recording.lengths,
        "stretches": recording.stretches,
    }, b""


def read_here(path: Path, reading: Reading) -> CalciumRecording:
    """Return the recording in a file, or in a folder of suite2p, checked, in this process."""
    module, function = SUITE2P_READER if path.is_dir() else _find_reader(path)
    read: Callable[[Path, Reading], CalciumRecording] = getattr(
        importlib.import_module(f"sts.calcium.{module}"), function
    )
    return check_recording(read(path, reading), least=reading.least)


def _find_reader(path: Path) -> tuple[str, str]:
    """Return module and function of the reader for this ending."""
    if path.suffix.lower() not in CALCIUM_READERS:
        raise StsError(
            f"{path} is of an unknown kind {path.suffix!r}: choose from "
            f"{', '.join(CALCIUM_READERS)}, or a folder of suite2p"
        )
    return CALCIUM_READERS[path.suffix.lower()]


def _check_path(path: Path) -> None:
    """Refuse a path that is neither a file of a known kind nor a folder."""
    try:
        if not path.exists():
            raise StsError(f"no file or folder {path}")
        usual = path.is_file() or path.is_dir()
    except (OSError, ValueError) as error:
        raise StsError(f"cannot read {path}: {error}") from error
    if not usual:
        raise StsError(f"{path} is no file and no folder: a recording is needed")
    if path.is_file():
        _find_reader(path)
