"""A store of simulated cells is made cell by cell: thousands of them fit into a laptop's memory."""

import weakref
from collections.abc import Iterator

import numpy as np

from sts.datasets.demo import simulated_store
from sts.recordings.simulated.cells import SimulatedCell, simulate_cells


def test_no_recording_outlives_its_cell() -> None:
    alive: list[int] = []
    kept: list[weakref.ref[object]] = []

    def watched() -> Iterator[SimulatedCell]:
        for cell in simulate_cells(6, seed=3, protocol="long", chunk=1, workers=1):
            alive.append(sum(each() is not None for each in kept))
            kept.append(weakref.ref(cell.recording))
            yield cell

    store = simulated_store(watched())
    # One that the loop and one that the thread which made it is just letting go of.
    assert max(alive) <= 2
    assert len(store) == 6
    assert len(np.unique(store.specimen_id)) == 6
    assert set(store.label.tolist()) <= {"Pvalb", "Excitatory", "Vip/Lamp5", "Sst"}


def test_the_sweeps_of_a_pair_alone_give_the_same_store() -> None:
    whole, pairs = (
        simulated_store(simulate_cells(12, seed=3, protocol=protocol))
        for protocol in ("long", "pair")
    )
    assert np.array_equal(whole.traces, pairs.traces)
    for name in ("specimen_id", "label", "rheobase_pa", "step_pa", "onset_s"):
        assert np.array_equal(getattr(whole, name), getattr(pairs, name)), name
