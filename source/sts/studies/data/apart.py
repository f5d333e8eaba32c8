"""Recordings are read and measured in a process apart, whatever a file does to its reader."""

import threading
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import CellFailed
from sts.base.settings import from_dict, to_dict
from sts.recordings.inside import Limits
from sts.recordings.isolated import Isolated
from sts.signals.resample import SAMPLES
from sts.studies.data.cellwork import (
    BuildSettings,
    Outcome,
    Verdict,
    digest_of,
    judged,
    outcome_from_json,
    process_file,
)

TRACE_SHAPE: Final = (2, SAMPLES)
WORK: Final = "sts.studies.data.apart:work"
# A process for each thread that asks, kept until the program ends: starting one takes a second.
_OWN: Final = threading.local()


def process_apart(
    path: Path, *, file: str, settings: BuildSettings, limits: Limits | None = None
) -> Outcome:
    """Do as `process_file` does, in a process that may crash, hang or run out of memory."""
    request = {"path": str(path), "file": file, "settings": to_dict(settings)}
    try:
        line, data = _reader(limits or Limits()).ask(request)
    except CellFailed as error:
        outcome = Outcome(file=file, size=-1, mtime_ns=-1)
        try:
            stat = path.stat()
            outcome = Outcome(
                file=file, size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=digest_of(path)
            )
        except OSError:
            pass
        return judged(outcome, Verdict(status="failed", reason=str(error)), settings)
    traces = np.frombuffer(data, np.float32).reshape(TRACE_SHAPE).copy() if data else None
    return outcome_from_json(line, traces)


def _reader(limits: Limits) -> Isolated:
    reader: Isolated | None = getattr(_OWN, "reader", None)
    if reader is None or reader.limits != limits:
        if reader is not None:
            reader.close()
        reader = _OWN.reader = Isolated(WORK, limits)
    return reader


def work(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer a request of `process_apart`, in the process apart."""
    settings = from_dict(BuildSettings, request["settings"])
    outcome = process_file(Path(request["path"]), file=request["file"], settings=settings)
    traces = outcome.traces
    return outcome.to_json(), b"" if traces is None else np.float32(traces).tobytes()
