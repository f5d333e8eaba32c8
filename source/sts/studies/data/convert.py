"""Convert a folder of recordings to NWB 2 files, with a table of what became of each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from sts.base.errors import StsError
from sts.base.files import write_csv
from sts.base.sandbox import Limits
from sts.datasets.build import find_cells
from sts.datasets.cell_files import CellFiles
from sts.datasets.conversion import Conversion, ConvertedCell, convert_cells, plan_conversions

TABLE_NAME: Final = "converted.csv"
_COLUMNS: Final = ("file", "nwb", "status", "reason", "sweeps", "left_out")


@dataclass(frozen=True, kw_only=True)
class ConvertJob:
    """The recordings, and the folder for the NWB files."""

    folder: Path
    out: Path
    cells: Path | None = None
    """CSV with file, specimen_id and perhaps donor_id: which files belong to the same cell."""
    series: str = ""
    """A pattern of files that hold one channel of one sweep each."""
    workers: int = 0
    cluster: str | None = None
    force: bool = False
    limits: Limits = field(default_factory=Limits)
    """Limits of time and memory for one file."""


@dataclass(frozen=True, kw_only=True)
class ConvertReport:
    """What became of all recordings."""

    table: Path
    kept: int
    """Files that an earlier run wrote from unchanged recordings."""
    converted: tuple[ConvertedCell, ...]
    """In the order of their names."""


def convert(job: ConvertJob) -> ConvertReport:
    """Write the missing NWB files and a table; continue where an earlier process stopped."""
    plan = plan_conversion(job)
    todo = find_todo(job, plan)
    done = {
        each.file: each
        for each in convert_cells(todo, limits=job.limits, workers=job.workers, cluster=job.cluster)
    }
    waiting = {each.cell.name for each in todo}
    kept = [each for each in plan if each.cell.name not in waiting]
    done |= {
        each.cell.name: ConvertedCell(
            file=each.cell.name, status="ok", reason="was there already", nwb=str(each.target)
        )
        for each in kept
    }
    converted = tuple(done[name] for name in sorted(done))
    table = job.out / TABLE_NAME
    rows = ({**asdict(each), "left_out": "; ".join(each.left_out)} for each in converted)
    write_csv(table, _COLUMNS, rows)
    return ConvertReport(table=table, kept=len(kept), converted=converted)


def plan_conversion(job: ConvertJob) -> list[Conversion]:
    """Return the NWB file of every cell, or raise an error that explains why none is possible."""
    cells: Mapping[str, CellFiles] = find_cells(job.folder, job.cells, job.series)
    top = (job.folder if job.folder.is_dir() else job.folder.parent).resolve()
    if job.out.resolve().is_relative_to(top) and job.folder.is_dir():
        raise StsError(
            f"--out {job.out} lies in {job.folder}, whose files are only read: choose a folder "
            "outside it"
        )
    plan = plan_conversions(cells, job.out)
    sources = {path.resolve() for cell in cells.values() for path in cell.paths.values()}
    for each in plan:
        if each.target.resolve() in sources:
            raise StsError(f"{each.target} would be replaced by its own copy: choose another --out")
    return plan


def find_todo(job: ConvertJob, plan: list[Conversion]) -> list[Conversion]:
    """Return the cells whose NWB file is missing or older than their recordings."""
    return [each for each in plan if job.force or not each.is_done]
