"""How fast cells are simulated, written, built and measured, and how like the real ones they are.

    python benchmarks/cells.py [--cells 400] [--seed 0] [--out DIR] [--even] [--quick]

Prints tables and writes DIR/cells.json. `--even` draws as many cells from all eight populations,
so that none is judged by a handful; `--quick` leaves the files out.
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

from likeness import REAL, print_likeness, with_differences
from sts.base.files import write_json
from sts.base.parallel import map_unordered, worker_count
from sts.base.types import CLASSES
from sts.recordings.simulated import simulate_cells, write_nwb
from sts.recordings.simulated.cells import simulate_cell
from sts.recordings.simulated.roster import DATASETS, Entry, roster
from sts.signals.analysis import analyse
from sts.signals.features import measure_features

TIMED_CELLS = 24


def even_roster(cells: int) -> list[Entry]:
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


def measured_row(entry: Entry, *, seed: int) -> dict[str, Any]:
    """Simulate a cell's long squares and return its features."""
    cell = simulate_cell(entry, seed=seed, protocol="long")
    named = {"label": entry.label, "dataset": entry.dataset, "redraws": cell.redraws}
    return measure_features(analyse(cell.recording)).values | named


def measured_frame(entries: Iterable[Entry], *, seed: int) -> pd.DataFrame:
    """Simulate cells and return their features, a row a cell."""
    work = partial(measured_row, seed=seed)
    rows = [row for _, row in map_unordered(work, list(entries), workers=worker_count(None))]
    return with_differences(pd.DataFrame(rows))


def simulation_seconds(cells: int, *, seed: int) -> float:
    """Time the long squares of so many cells, in memory, compiling included where it is due."""
    begin = time.perf_counter()
    for _ in simulate_cells(cells, seed=seed, protocol="long"):
        pass
    return time.perf_counter() - begin


def write_entry(entry: Entry, *, seed: int, folder: Path) -> Path:
    """Simulate one cell with the whole protocol and write its file."""
    return write_nwb(simulate_cell(entry, seed=seed), folder)


def file_seconds(folder: Path, *, seed: int) -> dict[str, float]:
    """Time simulating, writing and building some cells in processes, and measuring one."""
    cells = list(simulate_cells(TIMED_CELLS // 4, seed=seed))
    times = {
        "measure_s_per_cell": seconds_each(
            cells, lambda cell: measure_features(analyse(cell.recording))
        ),
        "write_s_per_cell": seconds_each(cells, lambda cell: write_nwb(cell, folder / "alone")),
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
    from sts.datasets.outcomes import BuildSettings

    build(BuildJob(folder=recordings, out=out, settings=BuildSettings(features=True)))


def seconds_each(cells: list[Any], work: Any) -> float:
    """Return the mean time of some work on a cell, after one that warms up."""
    work(cells[0])
    begin = time.perf_counter()
    for cell in cells:
        work(cell)
    return (time.perf_counter() - begin) / len(cells)


def machine() -> dict[str, Any]:
    """Return where and with what the figures were taken."""
    packages = ("numpy", "numba", "scipy", "pynwb", "h5py", "scikit-learn")
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": worker_count(None),
        "system": platform.platform(terse=True),
        "python": sys.version.split()[0],
        **{name: version(name) for name in packages},
    }


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=400, help="cells to simulate (400)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    parser.add_argument("--even", action="store_true", help="as many cells from every population")
    parser.add_argument("--quick", action="store_true", help="leave the files out")
    args = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "cells": args.cells, "seed": args.seed}
    seconds = simulation_seconds(args.cells, seed=args.seed)
    report["times"] = {"simulate_s": seconds, "simulated_per_s": args.cells / seconds}
    if not args.quick:
        with tempfile.TemporaryDirectory() as folder:
            report["times"] |= file_seconds(Path(folder), seed=args.seed)
    print(json.dumps(report, indent=2), end="\n\n")
    entries = even_roster(args.cells) if args.even else roster(args.cells, seed=args.seed)
    frame = measured_frame(entries, seed=args.seed)
    report["likeness"] = print_likeness(frame, pd.read_csv(REAL))
    report["redraws"] = int(frame["redraws"].sum())
    write_json(args.out / "cells.json", report)
    print(f"{report['redraws']} neurons were drawn again\nwritten: {args.out / 'cells.json'}")


if __name__ == "__main__":
    main()
