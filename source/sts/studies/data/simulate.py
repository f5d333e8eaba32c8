"""Write simulated cells as a folder of recordings with their labels."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from sts import __version__
from sts.base.errors import StsError
from sts.base.files import read_json, write_csv, write_json
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.types import CLASSES
from sts.datasets.build import LABELS_NAME
from sts.recordings.simulated.cells import DATASETS, Entry, roster, simulate_cell
from sts.recordings.simulated.nwb import path_of, write_nwb
from sts.recordings.simulated.populations import populations_digest

RECORD_NAME: Final = "simulation.json"


@dataclass(frozen=True, kw_only=True)
class SimulateJob:
    """The numbers of cells, and the folder for them."""

    cells: int
    seed: int
    out: Path
    workers: int = 0
    cluster: str | None = None
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class SimulateReport:
    """The number of simulated cells."""

    written: int
    """Files that this run wrote; the others already existed."""
    redraws: int
    """Neurons that were drawn again, since the protocol could not be applied to them."""
    counts: tuple[tuple[str, str, int], ...]
    """Data set, class, cells."""


def simulate(job: SimulateJob) -> SimulateReport:
    """Write the missing cells; continue where an earlier process stopped."""
    todo = plan_simulation(job)
    entries = roster(job.cells, seed=job.seed)
    columns = ("specimen_id", "label", "dataset", "donor_id")
    write_json(job.out / RECORD_NAME, _record(job))
    write_csv(
        job.out / LABELS_NAME,
        columns,
        ({name: getattr(entry, name) for name in columns} for entry in entries),
    )
    work = partial(_write, seed=job.seed, folder=job.out)
    redraws = 0
    done = map_unordered(work, todo, workers=worker_count(job.workers), cluster=job.cluster)
    with progress(len(todo), "simulated cells") as bar:
        for _, draws in done:
            redraws += draws
            bar.advance()
    counts = Counter((entry.dataset, entry.label) for entry in entries)
    return SimulateReport(
        written=len(todo),
        redraws=redraws,
        counts=tuple((d, label, counts[d, label]) for d in DATASETS for label in CLASSES),
    )


def plan_simulation(job: SimulateJob) -> list[Entry]:
    """Return the cells whose files are missing, or raise an error if none can be written."""
    entries = roster(job.cells, seed=job.seed)
    record = job.out / RECORD_NAME
    if not record.is_file():
        _check_nothing_else(job.out)
        return entries
    there, wanted = read_json(record), _record(job)
    if there.get("cells", 0) > job.cells:
        raise StsError(
            f"{job.out} contains {there['cells']} simulated cells: ask for as many with --cells, "
            "or choose another --out"
        )
    if job.force:
        return entries
    if {**there, "cells": job.cells} != wanted:
        raise StsError(
            f"{job.out} contains cells of another seed or version: add --force to replace them, "
            "or choose another --out"
        )
    return [entry for entry in entries if not path_of(entry, job.out).exists()]


def _write(entry: Entry, *, seed: int, folder: Path) -> int:
    cell = simulate_cell(entry, seed=seed)
    write_nwb(cell, folder)
    return cell.redraws


def _record(job: SimulateJob) -> dict[str, Any]:
    return {
        "cells": job.cells,
        "seed": job.seed,
        "version": __version__,
        "populations": populations_digest(),
    }


def _check_nothing_else(out: Path) -> None:
    if out.is_dir() and any(out.rglob("*.nwb")):
        raise StsError(
            f"{out} contains recordings that this command did not write: choose another --out"
        )
