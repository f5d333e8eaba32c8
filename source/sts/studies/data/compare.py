"""Two runs on the same held-out cells: which is better, by how much, and how sure that is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.workspace import Workspace
from sts.evaluation.compare import Comparison, compare
from sts.evaluation.predictions import Predictions
from sts.reports.page import Section, Table, write_page
from sts.reports.predictions import read_predictions
from sts.reports.tables import cells_compared, difference_table

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True, kw_only=True)
class CompareJob:
    """Which two runs."""

    first: str
    second: str
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What the comparison found."""

    folder: Path
    table: Table
    cells: tuple[str, ...]
    """On how many cells and on which, and what limits their scores; a sentence each."""
    comparison: Comparison


def compare_runs(workspace: Workspace, job: CompareJob) -> Compared:
    """Return the paired differences between two runs and leave a report."""
    first, second = (_predictions(Path(name)) for name in (job.first, job.second))
    found = compare(first, second, rng=np.random.default_rng(job.seed))
    names = [_name(Path(name)) for name in (job.first, job.second)]
    table = difference_table(found, first=names[0], second=names[1])
    cells = [*cells_compared(found), *notes_on_comparison(found)]
    with start_run(workspace, study="compare", what="-and-".join(names), settings=job) as run:
        write_page(
            run.path / "report.html",
            " and ".join(names),
            subtitle=f"{found.cells:,} cells that both have predicted",
            sections=[
                Section("Which cells", cells),
                Section("Paired differences, second less first", [table]),
            ],
        )
        run.report(found.to_dict())
    return Compared(folder=run.final, table=table, cells=tuple(cells), comparison=found)


def notes_on_comparison(found: Comparison) -> list[str]:
    """Return what is to be kept in mind about the scores of the cells, a sentence each."""
    return [f"{name}: {note}." for name, group in found.groups.items() for note in group.notes]


def _predictions(run: Path) -> Predictions:
    path = run / PREDICTIONS if run.is_dir() else run
    if not path.is_file():
        raise StsError(f"no {PREDICTIONS} in {run}: name the folder of a finished run")
    return read_predictions(path)


def _name(run: Path) -> str:
    folder = run if run.is_dir() else run.parent
    return f"{folder.parent.name}-{folder.name}"
