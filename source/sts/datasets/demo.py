"""The simulated cells of the demos: a sweep store for networks, a table of features."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from sts.base.errors import CellExcluded
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.datasets.cell_results import make_store_entry
from sts.datasets.cells import STORE_NAME
from sts.datasets.store import SweepStore, write_store
from sts.datasets.table import OWN_TABLE, FeatureRow, write_features
from sts.recordings.simulated.cells import DEMO_SEED, Entry, roster, simulate_cell
from sts.signals.analysis import Analysis, analyse
from sts.signals.features import measure_features
from sts.signals.select import SelectSettings

R = TypeVar("R")

logger = logging.getLogger("sts")

# Folders of the store and the table in the data folder of the demo.
STORE_FOLDER: Final = "cells"
VARIED_FOLDER: Final = "varied"
TABLE_FOLDER: Final = "measured"
# Populations overlap like those of real cells; with fewer cells, a network with random initial
# weights does not learn to distinguish them.
STORE_CELLS: Final = 3000
TABLE_CELLS: Final = 400
# How the two sweeps of a cell are selected, by the kind of its rig.
_SELECT: Final = {
    "plain": SelectSettings(),
    "varied": SelectSettings(min_step_s=0.4, max_step_s=2.1, step_tolerance_pa=12.0),
}
# Smallest number of cells for one more worker process, whose start takes a few seconds.
CELLS_PER_WORKER: Final = 100


def ensure_store(data: Path, *, rigs: str = "plain") -> None:
    """Simulate the sweeps of the demo cells unless they exist."""
    path = data / STORE_NAME
    if not path.is_file():
        write_store(path, simulate_store(STORE_CELLS, seed=DEMO_SEED, rigs=rigs))


def ensure_table(data: Path) -> None:
    """Simulate the demo cells under all stimuli and measure them, unless the table exists."""
    path = data / OWN_TABLE
    if path.is_file():
        return
    logger.info("simulating and measuring %d cells", TABLE_CELLS)
    measured = _simulate(
        measure_features, TABLE_CELLS, seed=DEMO_SEED, protocol="full", what="simulated cells"
    )
    rows = [
        FeatureRow(
            specimen_id=entry.specimen_id,
            donor_id=entry.donor_id,
            label=entry.label,
            dataset=entry.dataset,
            values=features.values,
            notes=features.notes,
        )
        for entry, features in measured
    ]
    write_features(path, rows)


def simulate_store(
    cells: int,
    *,
    seed: int,
    protocol: str = "pair",
    rigs: str = "plain",
    workers: int | None = None,
) -> SweepStore:
    """Return the sweep store of simulated cells, the same for any number of workers."""
    cut = partial(make_store_entry, select=_SELECT[rigs])
    stored = _simulate(
        cut, cells, seed=seed, protocol=protocol, rigs=rigs, what="simulate", workers=workers
    )
    entries = [entry for entry, _ in stored]
    values = [result.values for _, (_, result) in stored]
    return SweepStore(
        traces=np.stack([traces for _, (traces, _) in stored]),
        specimen_id=np.array([entry.specimen_id for entry in entries]),
        donor_id=np.array([entry.donor_id for entry in entries]),
        label=np.array([entry.label for entry in entries]),
        dataset=np.array([entry.dataset for entry in entries]),
        claimed_id=np.full(len(entries), ""),
        rheobase_pa=np.array([value["rheobase_pa"] for value in values]),
        step_pa=np.array([value["step_pa"] for value in values]),
        onset_s=np.array([value["onset_s"] for value in values]),
    )


def _simulate(
    measure: Callable[[Analysis], R],
    cells: int,
    *,
    seed: int,
    protocol: str,
    rigs: str = "plain",
    what: str,
    workers: int | None = None,
) -> list[tuple[Entry, R]]:
    """Return the cells of a roster with their measurements, without cells that were left out."""
    entries = roster(cells, seed=seed)
    work = partial(_measure_cell, measure, seed=seed, protocol=protocol, rigs=rigs)
    workers = workers or max(1, min(worker_count(None), cells // CELLS_PER_WORKER))
    results: dict[int, R | CellExcluded] = {}
    with progress(cells, what) as bar:
        for place, result in map_unordered(work, entries, workers=workers):
            results[place] = result
            bar.advance()
    measured = []
    for place, entry in enumerate(entries):
        result = results[place]
        if isinstance(result, CellExcluded):
            logger.warning("%s is left out: %s", entry.specimen_id, result)
        else:
            measured.append((entry, result))
    return measured


def _measure_cell(
    measure: Callable[[Analysis], R], entry: Entry, *, seed: int, protocol: str, rigs: str
) -> R | CellExcluded:
    """Return the measurement of a cell or the reason why it is left out; free its recording."""
    try:
        cell = simulate_cell(entry, seed=seed, protocol=protocol, rigs=rigs)
        return measure(analyse(cell.recording))
    except CellExcluded as error:
        return error
