"""The simulated cells of the demos: a sweep store for networks, a table of features."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import CellExcluded
from sts.base.progress import Progress, progress
from sts.base.types import Floats
from sts.datasets.ep_tables import OWN_TABLE
from sts.datasets.identity import STORE_NAME
from sts.datasets.outcomes import Verdict, store_entry
from sts.datasets.store import SweepStore, write_store
from sts.datasets.table import FeatureRow, write_features
from sts.recordings.simulated.cells import SimulatedCell, simulate_cells
from sts.recordings.simulated.roster import DEMO_SEED
from sts.signals.analysis import analyse
from sts.signals.features import measure_features
from sts.signals.select import SelectSettings

logger = logging.getLogger("sts")

# Where they are kept in the demo's folder of data.
STORE_FOLDER: Final = "cells"
TABLE_FOLDER: Final = "measured"
# Populations that overlap as real ones do take so many to be learned from random weights.
STORE_CELLS: Final = 3000
TABLE_CELLS: Final = 400


def ensure_store(data: Path) -> None:
    """Simulate the sweeps of the demo's cells unless they are there."""
    path = data / STORE_NAME
    if path.is_file():
        return
    with progress(STORE_CELLS, "simulate") as bar:
        cells = simulate_cells(STORE_CELLS, seed=DEMO_SEED, protocol="pair")
        write_store(path, simulated_store(_count(cells, bar)))


def ensure_table(data: Path) -> None:
    """Simulate the demo's cells under all stimuli and measure them, unless that is done."""
    path = data / OWN_TABLE
    if path.is_file():
        return
    logger.info("simulating and measuring %d cells", TABLE_CELLS)
    with progress(TABLE_CELLS, "simulated cells") as bar:
        cells = simulate_cells(TABLE_CELLS, seed=DEMO_SEED, protocol="full")
        write_features(path, list(_measure(_count(cells, bar))))


def _count(cells: Iterator[SimulatedCell], bar: Progress) -> Iterator[SimulatedCell]:
    for cell in cells:
        yield cell
        bar.advance()


def _measure(cells: Iterable[SimulatedCell]) -> Iterator[FeatureRow]:
    """Yield the row of each cell that has features."""
    for cell in cells:
        try:
            measured = measure_features(analyse(cell.recording))
        except CellExcluded as error:
            logger.warning("%s is left out: %s", cell.recording.specimen_id, error)
            continue
        yield FeatureRow(
            specimen_id=cell.recording.specimen_id,
            donor_id=cell.recording.donor_id,
            label=cell.label,
            dataset=cell.dataset,
            values=measured.values,
            notes=measured.notes,
        )


def simulated_store(cells: Iterable[SimulatedCell]) -> SweepStore:
    """Return the sweep store of simulated cells, without a file in between."""
    entries = list(_stored(cells))
    ids, donors, labels, datasets, traces, verdicts = zip(*entries, strict=True)
    return SweepStore(
        traces=np.stack(traces),
        specimen_id=np.array(ids),
        donor_id=np.array(donors),
        label=np.array(labels),
        dataset=np.array(datasets),
        rheobase_pa=np.array([verdict.values["rheobase_pa"] for verdict in verdicts]),
        step_pa=np.array([verdict.values["step_pa"] for verdict in verdicts]),
        onset_s=np.array([verdict.values["onset_s"] for verdict in verdicts]),
    )


def _stored(
    cells: Iterable[SimulatedCell],
) -> Iterator[tuple[str, str, str, str, Floats, Verdict]]:
    """Yield what a store keeps of each cell; its recording, a few MB, is let go of."""
    for cell in cells:
        try:
            traces, verdict = store_entry(analyse(cell.recording), SelectSettings())
        except CellExcluded as error:
            logger.warning("%s is left out: %s", cell.recording.specimen_id, error)
            continue
        ids = cell.recording.specimen_id, cell.recording.donor_id
        yield *ids, cell.label, cell.dataset, traces, verdict
