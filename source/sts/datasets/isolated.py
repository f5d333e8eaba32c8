"""Recordings are read and measured in a process of their own, whatever a file does to it."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import CellFailed
from sts.base.logs import printable
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.sandbox import Isolated, Limits
from sts.base.settings import from_dict, to_dict
from sts.datasets.cell_files import CellFiles, FileStamp, stamp_cell
from sts.datasets.outcomes import (
    BuildSettings,
    Outcome,
    Verdict,
    judged,
    outcome_from_json,
    process_cell,
)
from sts.signals.resample import PAIR_SHAPE

WORK: Final = "sts.datasets.isolated:work"
# A process for each thread that asks, kept until the program ends: starting one takes a second.
_OWN: Final = threading.local()


def process_isolated(
    path: Path, *, file: str, settings: BuildSettings, limits: Limits | None = None
) -> Outcome:
    """Do as `process_file` does, in a process that may crash, hang or run out of memory."""
    name = printable(file)
    return process_cell_isolated(CellFiles(name=name, paths={name: path}), settings, limits)


def process_cell_isolated(
    cell: CellFiles, settings: BuildSettings, limits: Limits | None = None
) -> Outcome:
    """Do as `process_cell` does in another process; this one never opens a file of the cell."""
    limits = limits or Limits()
    request = {
        "cell": to_dict(cell) | {"paths": {file: str(path) for file, path in cell.paths.items()}},
        "settings": to_dict(settings),
    }
    reader = _reader(limits)
    reader.start()
    deadline = time.monotonic() + limits.wall_s
    stamps: list[dict[str, Any]] = [asdict(FileStamp(file=file)) for file in cell.paths]
    try:
        # First, so that they are known of a file that the reader does not survive.
        stamps = reader.ask(request | {"only": "stamps"})[0]["stamps"]
        left_s = max(deadline - time.monotonic(), 0.0)
        line, data = reader.ask(request | {"stamps": stamps}, within_s=left_s)
    except CellFailed as error:
        files = tuple(FileStamp(**stamp) for stamp in stamps)
        outcome = Outcome(file=cell.name, files=files)
        return judged(outcome, Verdict(status="failed", reason=str(error)), settings)
    traces = np.frombuffer(data, np.float32).reshape(PAIR_SHAPE).copy() if data else None
    return outcome_from_json(line, traces)


def process_cells(
    cells: Sequence[CellFiles],
    settings: BuildSettings,
    *,
    limits: Limits | None = None,
    workers: int = 0,
    cluster: str | None = None,
) -> Iterator[tuple[int, Outcome]]:
    """Yield places and outcomes of cells, as they get ready; several are read at once."""
    work = partial(process_cell_isolated, settings=settings, limits=limits)
    # More processes than cells would start for nothing.
    count = min(worker_count(workers), max(len(cells), 1))
    with progress(len(cells), "recordings") as bar:
        for done in map_unordered(work, cells, workers=count, cluster=cluster):
            yield done
            bar.advance()


def _reader(limits: Limits) -> Isolated:
    reader: Isolated | None = getattr(_OWN, "reader", None)
    if reader is None or reader.limits != limits:
        if reader is not None:
            reader.close()
        reader = _OWN.reader = Isolated(WORK, limits)
    return reader


def work(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer a request of `process_cell_isolated`, in that process."""
    told = request["cell"]
    cell = CellFiles(**told | {"paths": {file: Path(path) for file, path in told["paths"].items()}})
    if request.get("only") == "stamps":
        return {"stamps": [asdict(stamp) for stamp in stamp_cell(cell)]}, b""
    settings = from_dict(BuildSettings, request["settings"])
    stamps = tuple(FileStamp(**stamp) for stamp in request["stamps"])
    outcome = process_cell(cell, settings, stamps)
    traces = outcome.traces
    return outcome.to_json(), b"" if traces is None else np.float32(traces).tobytes()
