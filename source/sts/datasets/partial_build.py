"""Results of an unfinished build on disk, so that no cell is processed twice.

Two files that only grow: `outcomes.jsonl`, a line for each cell, and `traces.f4`, the sweeps of the
cells that have some, in the order of their lines. If the process is killed, at most the last line
is incomplete.
"""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from sts.base.errors import StsError
from sts.base.files import try_lock
from sts.base.types import Floats
from sts.datasets.cell_results import CellResult, cell_result_from_json
from sts.signals.resample import PAIR_SHAPE

# Format of the lines; a partial build with another format is not continued.
PARTIAL_FORMAT = 2
OUTCOMES_FILE = "outcomes.jsonl"
TRACES_FILE = "traces.f4"
TRACE_BYTES = math.prod(PAIR_SHAPE) * np.dtype(np.float32).itemsize


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a result in the two files."""

    line: int
    """Its first byte in `outcomes.jsonl`."""
    traces: int | None
    """The number of earlier sweep pairs in `traces.f4`, None for a result without traces."""


class KeptTraces:
    """The traces of some files, read from disk when rows are accessed."""

    dtype = np.dtype(np.float32)

    def __init__(self, path: Path, places: Sequence[int]) -> None:
        self._path, self._places = path, places
        self.shape = (len(places), *PAIR_SHAPE)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, rows: slice) -> Floats:
        read = np.empty((len(self._places[rows]), *PAIR_SHAPE), np.float32)
        with self._path.open("rb") as file:
            for row, place in zip(read, self._places[rows], strict=True):
                file.seek(place * TRACE_BYTES)
                row[:] = np.frombuffer(file.read(TRACE_BYTES), np.float32).reshape(PAIR_SHAPE)
        return read


class KeptResults(Iterable[CellResult]):
    """The last result of every file, sorted by name; each is read when it is accessed."""

    def __init__(self, folder: Path, places: dict[str, Place]) -> None:
        self._folder = folder
        self._places = dict(sorted(places.items()))

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[CellResult]:
        with (self._folder / OUTCOMES_FILE).open("rb") as lines:
            for place in self._places.values():
                lines.seek(place.line)
                yield cell_result_from_json(json.loads(lines.readline()), self._map_traces(place))

    def traces_of(self, files: Iterable[str]) -> KeptTraces:
        """Return the traces of these files, in their order; files without traces are skipped."""
        places = [self._places[file].traces for file in files]
        return KeptTraces(
            self._folder / TRACES_FILE, [place for place in places if place is not None]
        )

    def _map_traces(self, place: Place) -> Floats | None:
        if place.traces is None:
            return None
        # Mapped one by one, so that memory of traces is free after use.
        offset = place.traces * TRACE_BYTES
        path = self._folder / TRACES_FILE
        return np.memmap(path, np.float32, mode="r", offset=offset, shape=PAIR_SHAPE)


class PartialBuild:
    """The results of one unfinished build, with a lock; only their positions are in memory."""

    def __init__(self, folder: Path, settings_digest: str) -> None:
        self.folder = folder
        header = {"format": PARTIAL_FORMAT, "settings": settings_digest}
        self._header = json.dumps(header).encode() + b"\n"
        self._places: dict[str, Place] = {}
        self._traced = 0

    def __len__(self) -> int:
        return len(self._places)

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lines = (self.folder / OUTCOMES_FILE).open("a+b")
            self._traces = (self.folder / TRACES_FILE).open("a+b")
        except OSError as error:
            raise StsError(f"cannot write to {self.folder.parent}: {error.strerror}") from error
        try:
            if not try_lock(self._lines):
                raise StsError(
                    f"another process is building in {self.folder.parent}: wait for it or choose "
                    "another --out"
                )
            self._recover()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        for file in (self._lines, self._traces):
            # A full disk fails here again; the first failure was reported.
            with contextlib.suppress(OSError):
                file.close()

    def add(self, result: CellResult) -> None:
        """Append one result, so that it remains if this process ends."""
        line = result.to_json()
        try:
            if result.traces is not None:
                self._traces.write(np.ascontiguousarray(result.traces, np.float32).tobytes())
                self._traces.flush()
            place = self._lines.seek(0, os.SEEK_END)
            self._lines.write(json.dumps(line).encode() + b"\n")
            self._lines.flush()
        except OSError as error:
            raise StsError(
                f"cannot continue writing to {self.folder}: {error.strerror}; the finished results "
                "are kept, the same command continues from there"
            ) from error
        self._remember(line, place)

    def collect(self, files: Collection[str] | None = None) -> KeptResults:
        """Return the last result of every file, or of some of them."""
        places = self._places
        if files is not None:
            places = {file: place for file, place in places.items() if file in files}
        return KeptResults(self.folder, places)

    def _remember(self, line: dict[str, Any], place: int) -> None:
        self._places[line["file"]] = Place(place, self._traced if line["has_traces"] else None)
        self._traced += line["has_traces"]

    def clear(self) -> None:
        """Delete all results."""
        self._places, self._traced = {}, 0
        self._traces.truncate(0)
        self._lines.truncate(len(self._header))

    def discard(self) -> None:
        """Remove the folder, since the products contain the results."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _recover(self) -> None:
        """Read the results of an earlier process, without an incomplete end or other settings."""
        self._lines.seek(0)
        if self._lines.readline() != self._header:
            self._lines.truncate(0)
            self._lines.write(self._header)
        kept = len(self._header)
        available = os.fstat(self._traces.fileno()).st_size // TRACE_BYTES
        for line in self._lines:
            result = _parse_whole(line)
            if result is None or self._traced + result["has_traces"] > available:
                break
            self._remember(result, kept)
            kept += len(line)
        self._lines.truncate(kept)
        self._traces.truncate(self._traced * TRACE_BYTES)


def _parse_whole(line: bytes) -> dict[str, Any] | None:
    """Return the content of a line, or None if its end was not written to disk."""
    if not line.endswith(b"\n"):
        return None
    try:
        result: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return result
