"""A store of simulated cells is made cell by cell: thousands of them fit into a laptop's memory."""

import weakref
from collections.abc import Iterator

import numpy as np

from sts.recordings.simulated.cells import SimulatedCell, simulate_cells
from sts.studies.data.simulate import simulated_store


def test_no_recording_outlives_its_cell() -> None:
    alive: list[int] = []
    kept: list[weakref.ref[object]] = []

    def watched() -> Iterator[SimulatedCell]:
        for cell in simulate_cells(5, seed=3, protocol="long", chunk=1, workers=1):
            # What came before must be gone, all but the one that is just being let go of.
            alive.append(sum(each() is not None for each in kept))
            kept.append(weakref.ref(cell.recording))
            yield cell

    store = simulated_store(watched())
    assert max(alive) <= 1
    assert len(store) == 5
    assert len(np.unique(store.specimen_id)) == 5
    assert set(store.label.tolist()) <= {"Pvalb", "Excitatory", "Vip/Lamp5", "Sst"}
