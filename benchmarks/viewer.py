"""Measure the viewer in headless Chromium, from the disk.

    python benchmarks/viewer.py [--cells 4500] [--simulated 40] [--noise 0.1] [--out DIR]

Repeats simulated cells with fresh noise and made-up features, writes the page, and prints its size,
how long it took to write, the time to the first picture, and how long a cell takes while the arrow
keys walk through 40 of them. `cell_processor_ms` is the time of the page's own thread: on a machine
that does other work, the clock says more than that. `opened_processor_ms` ends when the whole page
is read and the first cell is drawn. Writes DIR/viewer.json.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

# The browser is driven as in the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.reports.viewer.browser import Browser, find_browser, start_browser

from processes import describe_machine
from sts.base.files import write_json
from sts.base.types import CLASSES
from sts.datasets.demo import simulate_store
from sts.datasets.store import SweepStore, write_store
from sts.datasets.table import FeatureRow, write_features
from sts.signals.feature_names import FEATURES
from sts.studies.data.view import ViewJob, view_cells

SEED = 5
STEPS = 40


def repeat_cells(store: SweepStore, cells: int, noise_mv: float) -> SweepStore:
    """Return as many cells as are wanted, each with noise of its own."""
    rng = np.random.default_rng(SEED)
    many = store.rows(np.arange(cells) % len(store))
    traces = many.traces + noise_mv * rng.standard_normal(many.traces.shape, dtype=np.float32)
    names = np.array([f"cell {number:05d}" for number in range(cells)])
    return replace(many, traces=traces.astype(np.float32), specimen_id=names)


def write_data(data: Path, store: SweepStore) -> None:
    """Write a data folder of these cells, with features around the number of their class."""
    rng = np.random.default_rng(SEED)
    (data / "cells").mkdir(parents=True)
    write_store(data / "cells" / "sweeps.h5", store)
    rows = []
    for specimen, label in zip(store.specimen_id.tolist(), store.label.tolist(), strict=True):
        values = CLASSES.index(label) + rng.normal(size=len(FEATURES))
        found = dict(zip(FEATURES, values.tolist(), strict=True))
        rows.append(FeatureRow(specimen_id=specimen, label=label, values=found))
    write_features(data / "cells" / "features.csv", rows)


def measure_page(browser: Browser, page: Path) -> dict[str, Any]:
    """Return the times of the first picture and of the cells that arrow keys go to, in ms."""
    browser.call("Performance.enable", timeDomain="threadTicks")
    browser.open(page.as_uri())
    first = browser.run("performance.getEntriesByName('first-picture')[0].startTime")
    before = read_task_s(browser)
    for _ in range(STEPS):
        old = browser.run("document.body.dataset.cell")
        browser.press("ArrowDown")
        browser.wait(f"document.body.dataset.cell !== {old!r}")
    processor = 1000 * (read_task_s(browser) - before) / STEPS
    times = browser.run("performance.getEntriesByName('cell').map((cell) => cell.duration)")
    return {
        "first_picture_ms": round(first),
        "opened_processor_ms": round(1000 * before),
        "first_cell_ms": round(times[0]),
        "cell_ms": {
            "median": round(float(np.median(times[1:]))),
            "90 %": round(float(np.percentile(times[1:], 90))),
        },
        "cell_processor_ms": round(processor),
        "messages": len(browser.list_messages()),
        "requests": sorted({url.split("/")[-1] for url in browser.list_requests()}),
    }


def read_task_s(browser: Browser) -> float:
    """Return the processor time of the page so far."""
    metrics = browser.call("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=4500)
    parser.add_argument("--simulated", type=int, default=40)
    parser.add_argument("--noise", type=float, default=0.1, help="mV rms, added to every sample")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    program = find_browser()
    if program is None:
        sys.exit("no browser here: install Chromium or Chrome")
    store = simulate_store(args.simulated, seed=SEED, workers=1)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_data(data, repeat_cells(store, args.cells, args.noise))
        start = time.perf_counter()
        (page,) = view_cells(ViewJob(data=data, max_cells=args.cells)).paths
        written_s = time.perf_counter() - start
        with start_browser(program) as browser:
            browser.resize(1280, 900)
            measured = measure_page(browser, page)
        size_mb = page.stat().st_size / 1e6
    found = {
        "machine": describe_machine() | {"load": round(os.getloadavg()[0], 1)},
        "cells": args.cells,
        "noise_mv": args.noise,
        "size_mb": round(size_mb, 1),
        "written_s": round(written_s, 1),
        **measured,
    }
    write_json(args.out / "viewer.json", found)
    for name, value in found.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
