"""Time simulating, writing, building and measuring cells, and compare the cells with real ones.

    python benchmarks/cells.py [--cells 400] [--seed 0] [--out DIR] [--even] [--quick]

Prints tables and writes DIR/cells.json. `--even` draws equally many cells from all eight
populations, so that none is judged by a few cells; `--quick` leaves out the files.
"""

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from likeness import REAL, add_differences, print_likeness
from sts.base.files import write_json
from sts.base.parallel import map_unordered, worker_count
from sts.base.types import CLASSES
from sts.recordings.simulated.cells import (
    DATASETS,
    Entry,
    roster,
    simulate_cell,
    simulate_cells,
)
from sts.recordings.simulated.nwb import write_nwb
from sts.signals.analysis import analyse
from sts.signals.features import measure_features

TIMED_CELLS = 24


def list_even_entries(cells: int) -> list[Entry]:
    """Return entries of all eight populations in turn."""
    names = [(dataset, label) for dataset in DATASETS for label in CLASSES]
    return [
        Entry(
            index=index,
            member=index // len(names),
            label=names[index % len(names)][1],
            dataset=names[index % len(names)][0],
            specimen_id=f"even{index}",
            donor_id=f"even{index}",
        )
        for index in range(cells)
    ]


def measure_row(entry: Entry, *, seed: int) -> dict[str, Any]:
    """Simulate the long squares of a cell and return its features."""
    cell = simulate_cell(entry, seed=seed, protocol="long")
    named = {"label": entry.label, "dataset": entry.dataset, "redraws": cell.redraws}
    return measure_features(analyse(cell.recording)).values | named


def measure_cells(entries: Iterable[Entry], *, seed: int) -> pd.DataFrame:
    """Simulate cells and return their features, a row for each."""
    work = partial(measure_row, seed=seed)
    rows = [row for _, row in map_unordered(work, list(entries), workers=worker_count(None))]
    return add_differences(pd.DataFrame(rows))


def time_simulation(cells: int, *, seed: int) -> float:
    """Return the time to simulate the long squares of cells, with compiling if it is needed."""
    begin = time.perf_counter()
    work = partial(count_redraws, seed=seed)
    for _ in map_unordered(work, roster(cells, seed=seed), workers=worker_count(None)):
        pass
    return time.perf_counter() - begin


def count_redraws(entry: Entry, *, seed: int) -> int:
    """Simulate the long squares of one cell; return how often its neuron was drawn again."""
    return simulate_cell(entry, seed=seed, protocol="long").redraws


def write_entry(entry: Entry, *, seed: int, folder: Path) -> Path:
    """Simulate one cell with the whole protocol and write its file."""
    return write_nwb(simulate_cell(entry, seed=seed), folder)


def time_files(folder: Path, *, seed: int) -> dict[str, float]:
    """Time simulating, writing, building and measuring some cells."""
    cells = list(simulate_cells(TIMED_CELLS // 4, seed=seed))
    times = {
        "measure_s_per_cell": time_each(
            cells, lambda cell: measure_features(analyse(cell.recording))
        ),
        "write_s_per_cell": time_each(cells, lambda cell: write_nwb(cell, folder / "alone")),
    }
    shutil.rmtree(folder / "alone")
    begin = time.perf_counter()
    work = partial(write_entry, seed=seed, folder=folder / "recordings")
    paths = list(map_unordered(work, roster(TIMED_CELLS, seed=seed), workers=worker_count(None)))
    times["files_per_s"] = TIMED_CELLS / (time.perf_counter() - begin)
    times["file_mb"] = float(np.mean([path.stat().st_size for _, path in paths])) / 1e6
    begin = time.perf_counter()
    build_store(folder / "recordings", folder / "store")
    times["built_per_s"] = TIMED_CELLS / (time.perf_counter() - begin)
    return times


def build_store(recordings: Path, out: Path) -> None:
    """Build a sweep store and a feature table from a folder of files."""
    from sts.datasets.build import BuildJob, build
    from sts.datasets.cell_results import BuildSettings

    build(BuildJob(folder=recordings, out=out, settings=BuildSettings(features=True)))


def time_each(cells: list[Any], work: Any) -> float:
    """Return the mean time of some work on a cell, after a first one to warm up."""
    work(cells[0])
    begin = time.perf_counter()
    for cell in cells:
        work(cell)
    return (time.perf_counter() - begin) / len(cells)


def describe_machine() -> dict[str, Any]:
    """Return the machine and the versions of libraries."""
    packages = ("numpy", "numba", "scipy", "pynwb", "h5py", "scikit-learn")
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": worker_count(None),
        "system": platform.platform(terse=True),
        "python": sys.version.split()[0],
        **{name: version(name) for name in packages},
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=400, help="cells to simulate (400)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    parser.add_argument(
        "--even", action="store_true", help="equally many cells from every population"
    )
    parser.add_argument("--quick", action="store_true", help="leave the files out")
    args = parser.parse_args()
    report: dict[str, Any] = {"machine": describe_machine(), "cells": args.cells, "seed": args.seed}
    seconds = time_simulation(args.cells, seed=args.seed)
    report["times"] = {"simulate_s": seconds, "simulated_per_s": args.cells / seconds}
    if not args.quick:
        with tempfile.TemporaryDirectory() as folder:
            report["times"] |= time_files(Path(folder), seed=args.seed)
    print(json.dumps(report, indent=2), end="\n\n")
    entries = list_even_entries(args.cells) if args.even else roster(args.cells, seed=args.seed)
    frame = measure_cells(entries, seed=args.seed)
    report["likeness"] = print_likeness(frame, pd.read_csv(REAL))
    report["redraws"] = int(frame["redraws"].sum())
    write_json(args.out / "cells.json", report)
    print(f"{report['redraws']} neurons were drawn again\nwritten: {args.out / 'cells.json'}")


if __name__ == "__main__":
    main()
