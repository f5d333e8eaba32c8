"""Measure the time and the memory for making sweep stores and feature tables from recordings.

    python benchmarks/reading.py [--cells 60] [--rate 50] [--workers 2] [--out DIR]

Simulates cells, writes them as NWB files with this sampling rate (kHz), builds a data set of them
with features, prints speed and memory and adds them to DIR/reading.json.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from processes import Watch, describe_machine
from sts.base.files import read_json, write_json
from sts.base.parallel import map_unordered, worker_count
from sts.datasets.build import BuildJob, build
from sts.datasets.cell_results import BuildSettings
from sts.recordings.recording import Sweep
from sts.recordings.simulated.cells import Entry, roster, simulate_cell
from sts.recordings.simulated.neuron import SIMULATED_RATE_HZ
from sts.recordings.simulated.nwb import write_nwb


def resample_sweep(sweep: Sweep, factor: int) -> Sweep:
    """Return a sweep with `factor` times as many samples."""
    count = len(sweep.voltage_mv)
    places = np.arange(count * factor) / factor
    return replace(
        sweep,
        rate_hz=sweep.rate_hz * factor,
        voltage_mv=np.interp(places, np.arange(count), sweep.voltage_mv).astype(np.float32),
        current_pa=np.repeat(sweep.current_pa, factor),
    )


def write_entry(entry: Entry, *, seed: int, factor: int, folder: Path) -> float:
    """Simulate one cell and write its file; return the size of the file."""
    cell = simulate_cell(entry, seed=seed)
    sweeps = tuple(resample_sweep(sweep, factor) for sweep in cell.recording.sweeps)
    cell = replace(cell, recording=replace(cell.recording, sweeps=sweeps))
    return write_nwb(cell, folder).stat().st_size / 1e6


def measure_build(folder: Path, *, cells: int, rate_khz: int, workers: int) -> dict[str, object]:
    """Return speed and memory of one build."""
    factor = max(1, round(1000 * rate_khz / SIMULATED_RATE_HZ))
    work = partial(write_entry, seed=0, factor=factor, folder=folder / "recordings")
    written = map_unordered(work, roster(cells, seed=0), workers=worker_count(None))
    sizes_mb = [size for _, size in written]
    job = BuildJob(folder=folder / "recordings", out=folder / "store", workers=workers,
                   settings=BuildSettings(features=True))  # fmt: skip
    begin = time.perf_counter()
    with Watch() as watch:
        report = build(job)
    seconds = time.perf_counter() - begin
    return {
        "cells": cells,
        "rate_khz": factor * SIMULATED_RATE_HZ / 1000,
        "workers": workers,
        "file_mb": round(float(np.mean(sizes_mb)), 2),
        "counts": report.counts,
        "cells_per_s": round(cells / seconds, 2),
        "own_mb": round(watch.own_mb),
        "largest_below_mb": round(watch.largest_mb),
        "all_processes_mb": round(watch.together_mb),
        "machine": describe_machine(),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=60, help="(60)")
    parser.add_argument("--rate", type=int, default=50, help="kHz (50)")
    parser.add_argument("--workers", type=int, default=2, help="(2)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure_build(
            Path(folder), cells=args.cells, rate_khz=args.rate, workers=args.workers
        )
    print(json.dumps(found, indent=2))
    path = args.out / "reading.json"
    earlier = read_json(path) if path.is_file() else {}
    name = f"{args.rate} kHz, {args.workers} workers, {args.cells} cells"
    write_json(path, earlier | {name: found})


if __name__ == "__main__":
    main()
