"""Recordings are read in a process apart: nobody vouches for the files of strangers."""

import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import CellFailed, StsError
from sts.base.guard import said
from sts.base.inside import Limits
from sts.base.sandbox import Isolated
from sts.calcium.readers.choose import check_path, read_here
from sts.calcium.readers.made import MAX_BYTES
from sts.calcium.recording import Reading, Recording

logger = logging.getLogger("sts")

WORK: Final = "sts.calcium.readers.apart:work"
# Numbers come in pieces of so many bytes: an answer is bounded.
PIECE: Final = 2**25
# What the largest recording takes: as read, and as float32 beside it.
MOST_MB: Final = 3 * MAX_BYTES // 2**20
ARRAYS: Final = ("traces", "spikes")
# In the process apart: the arrays of the recording that was read last.
_HELD: Final[dict[str, Any]] = {}


def read_recording(
    path: Path, reading: Reading | None = None, *, rate_hz: float | None = None
) -> Recording:
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
            answer, _ = reader.ask({"path": str(path), "reading": asdict(reading)})
            if "error" in answer:
                raise StsError(" ".join(answer["error"].split()))
            arrays = {name: _fetched(reader, name, answer[name]) for name in ARRAYS}
    except CellFailed as error:
        raise StsError(f"{path} {error}") from error
    for note in answer["notes"]:
        logger.warning("%s", note)
    return Recording(
        name=answer["name"],
        traces=arrays["traces"],
        rate_hz=answer["rate_hz"],
        neurons=tuple(answer["neurons"]),
        unit=answer["unit"],
        spikes=arrays["spikes"],
        origin=answer["origin"],
        notes=tuple(answer["notes"]),
        lengths=tuple(answer["lengths"]),
    )


def _memory_mb() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):
        return 2 * MOST_MB


def _fetched(reader: Isolated, name: str, form: Any) -> Any:
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


def work(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer a request of `read_recording`, in the process apart."""
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
        return {"error": f"{path} cannot be read: {type(error).__name__}, {said(error)}"}, b""
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
