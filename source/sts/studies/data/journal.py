"""Finished cells of an unfinished build, kept on disk so that none is worked on twice.

Two files that only grow: `outcomes.jsonl`, a line a cell, and `traces.f4`, the sweeps of the cells
that have some, in the order of their lines. Killed at any moment, at most the last line is torn.
"""

import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from sts.base.errors import StsError
from sts.base.locks import try_lock
from sts.base.types import Floats
from sts.signals.resample import SAMPLES
from sts.studies.data.cellwork import Outcome, outcome_from_json

TRACE_SHAPE = (2, SAMPLES)
TRACE_BYTES = 2 * SAMPLES * np.dtype(np.float32).itemsize


class Journal:
    """The outcomes so far of one build, under a lock."""

    def __init__(self, folder: Path, settings_digest: str) -> None:
        self.folder = folder
        self._header = json.dumps({"settings": settings_digest}).encode() + b"\n"
        self.outcomes: list[dict[str, Any]] = []
        """The lines, in the order in which the cells were finished."""

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lines = (self.folder / "outcomes.jsonl").open("a+b")
            self._traces = (self.folder / "traces.f4").open("a+b")
        except OSError as error:
            raise StsError(f"cannot write to {self.folder.parent}: {error.strerror}") from error
        try:
            self._lock()
            self._recover()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._lines.close()
        self._traces.close()

    def add(self, outcome: Outcome) -> None:
        """Append one outcome; it survives the end of this process."""
        line = outcome.to_json()
        try:
            if outcome.traces is not None:
                self._traces.write(np.ascontiguousarray(outcome.traces, np.float32).tobytes())
                self._traces.flush()
            self._lines.write(json.dumps(line).encode() + b"\n")
            self._lines.flush()
        except OSError as error:
            raise StsError(
                f"cannot go on writing to {self.folder}: {error.strerror}; what was finished is "
                "kept, the same command goes on from there"
            ) from error
        self.outcomes.append(line)

    def collect(self) -> list[Outcome]:
        """Return the last outcome of every file, sorted by name, the traces mapped from disk."""
        self._traces.flush()
        traces = iter(self._map_traces())
        last: dict[str, Outcome] = {}
        for line in self.outcomes:
            own = next(traces) if line["has_traces"] else None
            last[line["file"]] = outcome_from_json(line, own)
        return sorted(last.values(), key=lambda outcome: outcome.file)

    def clear(self) -> None:
        """Forget all outcomes."""
        self.outcomes = []
        self._traces.truncate(0)
        self._lines.truncate(len(self._header))

    def discard(self) -> None:
        """Remove the journal; what it held stands elsewhere now."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _map_traces(self) -> Floats:
        count = sum(line["has_traces"] for line in self.outcomes)
        if not count:
            return np.empty((0, *TRACE_SHAPE), np.float32)
        path = self.folder / "traces.f4"
        return np.memmap(path, np.float32, mode="r", shape=(count, *TRACE_SHAPE))

    def _lock(self) -> None:
        if not try_lock(self._lines):
            raise StsError(
                f"another process is building in {self.folder.parent}: wait for it or choose "
                "another --out"
            )

    def _recover(self) -> None:
        """Read what an earlier process left; cut a torn tail, and all of it after new settings."""
        self._lines.seek(0)
        if self._lines.readline() != self._header:
            self._lines.truncate(0)
            self._lines.write(self._header)
        kept, with_traces = len(self._header), 0
        available = os.fstat(self._traces.fileno()).st_size // TRACE_BYTES
        for line in self._lines:
            outcome = _whole(line)
            if outcome is None or with_traces + outcome["has_traces"] > available:
                break
            self.outcomes.append(outcome)
            kept, with_traces = kept + len(line), with_traces + outcome["has_traces"]
        self._lines.truncate(kept)
        self._traces.truncate(with_traces * TRACE_BYTES)


def _whole(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, or None if its end never reached the disk."""
    if not line.endswith(b"\n"):
        return None
    try:
        outcome: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return outcome
