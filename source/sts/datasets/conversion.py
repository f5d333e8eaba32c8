"""Recordings of any format as NWB 2 files, each read and written in the sandbox."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from sts.base.errors import CellFailed, StsError
from sts.base.logs import printable
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.sandbox import Limits, reuse_sandbox
from sts.datasets.cell_files import (
    CellFiles,
    FileStamp,
    cell_files_from_json,
    read_cell,
    stamp_cell,
)
from sts.recordings.nwb_writer import write_recording
from sts.recordings.recording import Recording, want_every_sweep

# The function that the sandbox runs.
_WORK: Final = "sts.datasets.conversion:convert_requested"
_SUFFIX: Final = ".nwb"


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The files of a cell, and the NWB file that they become."""

    cell: CellFiles
    target: Path

    @property
    def is_done(self) -> bool:
        """Tell whether the NWB file exists and is not older than the files of the cell."""
        try:
            written_ns = self.target.stat().st_mtime_ns
            sources = [path.stat().st_mtime_ns for path in self.cell.paths.values()]
        except OSError:
            return False
        return written_ns >= max(sources)


@dataclass(frozen=True, kw_only=True)
class ConvertedCell:
    """What became of the files of one cell: `ok` or `failed`, and why, in words."""

    file: str
    status: str
    reason: str = ""
    nwb: str = ""
    """The name of the file that was written."""
    sweeps: int = 0
    left_out: tuple[str, ...] = ()
    """Sweeps that are not in it, each with its reason."""


def plan_conversions(cells: Mapping[str, CellFiles], out: Path) -> list[Conversion]:
    """Return where each cell is written: as its file, or as the id that the user declared."""
    targets = choose_targets([(cell, Path(next(iter(cell.paths)))) for cell in cells.values()], out)
    pairs = zip(cells.values(), targets, strict=True)
    return [Conversion(cell=cell, target=target) for cell, target in pairs]


def choose_targets(cells: Sequence[tuple[CellFiles, Path]], out: Path) -> list[Path]:
    """Return a different NWB file for each cell; with each is the place of its first file."""
    targets: dict[Path, CellFiles] = {}
    for cell, place in cells:
        name = cell.specimen_id.replace("/", "_")
        target = out / (f"{name}{_SUFFIX}" if name else place.with_suffix(_SUFFIX))
        if target in targets:
            target = out / (f"{name}{_SUFFIX}" if name else f"{place}{_SUFFIX}")
        while target in targets:
            target = target.with_name(f"{target.stem}'{_SUFFIX}")
        targets[target] = cell
    return list(targets)


def convert_cells(
    todo: Sequence[Conversion],
    *,
    limits: Limits | None = None,
    workers: int = 0,
    cluster: str | None = None,
) -> Iterator[ConvertedCell]:
    """Convert cells in parallel; yield the results as they finish."""
    convert_one = partial(convert_in_sandbox, limits=limits)
    count = min(worker_count(workers), max(len(todo), 1))
    with progress(len(todo), "recordings") as bar:
        for _, done in map_unordered(convert_one, todo, workers=count, cluster=cluster):
            yield done
            bar.advance()


def convert_in_sandbox(conversion: Conversion, limits: Limits | None = None) -> ConvertedCell:
    """Convert one cell in a process that may crash, hang or need too much memory."""
    cell = conversion.cell
    request = {
        "cell": cell.to_json(),
        "target": str(conversion.target),
    }
    try:
        line, _ = reuse_sandbox(_WORK, limits or Limits()).ask(request)
    except CellFailed as error:
        return ConvertedCell(file=cell.name, status="failed", reason=str(error))
    return ConvertedCell(**{**line, "left_out": tuple(line["left_out"])})


def convert_requested(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer a request of `convert_in_sandbox`, in the sandbox."""
    cell = cell_files_from_json(request["cell"])
    target = Path(request["target"])
    try:
        recording = write_converted(cell, stamp_cell(cell), target)
    except Exception as error:  # noqa: BLE001, RUF100 - a broken file raises whatever it likes
        reason = printable(explain_failure(error))
        return asdict(ConvertedCell(file=cell.name, status="failed", reason=reason)), b""
    converted = ConvertedCell(
        file=cell.name,
        status="ok",
        nwb=str(target),
        sweeps=len(recording.sweeps),
        left_out=tuple(printable(line) for line in (*recording.notes, *recording.skipped)),
    )
    return asdict(converted), b""


def write_converted(cell: CellFiles, stamps: Sequence[FileStamp], target: Path) -> Recording:
    """Write all sweeps of a cell to an NWB file and return them; its own files are only read."""
    if any(target.resolve() == path.resolve() for path in cell.paths.values()):
        raise CellFailed("would be replaced by its own copy: choose another folder")
    recording = read_cell(cell, stamps, want_every_sweep)
    if cell.specimen_id:
        recording = replace(recording, specimen_id=cell.specimen_id, claims_id=True)
    recording = replace(recording, donor_id=cell.donor_id or recording.donor_id)
    write_recording(recording, target, sources={each.file: each.sha256 for each in stamps})
    return recording


def explain_failure(error: Exception) -> str:
    """Return in words why no file could be written."""
    if isinstance(error, StsError):
        return str(error)
    if isinstance(error, MemoryError):
        return "needs more memory than one file is allowed"
    if isinstance(error, OSError):
        return f"cannot be read or written: {error}"
    return f"cannot become an NWB file: {type(error).__name__}: {error}"
