"""Compare two runs on the same held-out cells: paired differences with intervals."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.workspace import Workspace
from sts.evaluation.compare import Comparison, compare
from sts.evaluation.predictions import Predictions
from sts.reports.page import Section, Table, write_page
from sts.reports.predictions import PREDICTIONS, read_predictions
from sts.reports.tables import cells_compared, difference_table


@dataclass(frozen=True, kw_only=True)
class CompareJob:
    """The two runs to compare."""

    first: str
    second: str
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The result of a comparison."""

    folder: Path
    table: Table
    cells: tuple[str, ...]
    """Sentences on the number of cells, their kind, and limits of their scores."""
    comparison: Comparison


def compare_runs(workspace: Workspace, job: CompareJob) -> Compared:
    """Return the paired differences between two runs and write a report."""
    first, second = (_find_predictions(Path(name)) for name in (job.first, job.second))
    comparison = compare(first, second, rng=np.random.default_rng(job.seed))
    names = [_name_run(Path(name)) for name in (job.first, job.second)]
    table = difference_table(comparison, first=names[0], second=names[1])
    notes = [
        f"{name}: {note}." for name, group in comparison.groups.items() for note in group.notes
    ]
    cells = [*cells_compared(comparison), *notes]
    with start_run(workspace, study="compare", what="-and-".join(names), settings=job) as run:
        write_page(
            run.path / "report.html",
            " and ".join(names),
            subtitle=f"{comparison.cells:,} cells that both have predicted",
            sections=[
                Section("Which cells", cells),
                Section("Paired differences, second less first", [table]),
            ],
        )
        run.report(comparison.to_dict())
    return Compared(folder=run.final, table=table, cells=tuple(cells), comparison=comparison)


def _find_predictions(run: Path) -> Predictions:
    path = run / PREDICTIONS if run.is_dir() else run
    if not path.is_file():
        raise StsError(f"no {PREDICTIONS} in {run}: name the folder of a finished run")
    return read_predictions(path)


def _name_run(run: Path) -> str:
    folder = run if run.is_dir() else run.parent
    return f"{folder.parent.name}-{folder.name}"
