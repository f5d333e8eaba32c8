"""Simulated cells as recordings in memory, a few at a time, each a function of seed and index."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.parallel import worker_count
from sts.base.types import Floats, Ints
from sts.recordings.recording import Recording, Sweep
from sts.recordings.simulated.neuron import (
    MV_PER_COUNT,
    Recorded,
    Unfit,
    neuron_of,
    record_long_squares,
    record_others,
    short_square_pa,
)
from sts.recordings.simulated.populations import load_populations
from sts.recordings.simulated.protocol import BENCHES, RATE_HZ, long_squares, pair_squares
from sts.recordings.simulated.roster import Entry, roster

PROTOCOLS: Final = ("full", "long", "pair")
# Of a population, one draw in thirty is unfit.
MOST_DRAWS: Final = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedCell:
    """A simulated recording, and what is known about it."""

    recording: Recording
    label: str
    dataset: str
    redraws: int
    """How many neurons were drawn before that could not be taken through the protocol."""


def simulate_cells(
    n: int,
    *,
    seed: int,
    protocol: str = "full",
    shares: str = "equal",
    chunk: int = 8,
    workers: int | None = None,
) -> Iterator[SimulatedCell]:
    """Yield cells in the order of the roster; more cells leave the earlier ones as they are.

    Parameters
    ----------
    protocol
        "full", "long" for the long squares alone, or "pair" for those of them that a pair of
        sweeps is picked from.
    shares
        Of the classes: "equal", or "published" as in the published training set.
    chunk
        How many cells are under way or wait at a time; it bounds the memory, no more.
    workers
        Threads; by default as many as this process may use.
    """
    one_of(protocol, PROTOCOLS, "protocol")
    if seed < 0 or n < 0 or chunk < 1:
        raise StsError(f"cells and seed must be 0 or more, chunk 1 or more: {n}, {seed}, {chunk}")
    return _simulated(roster(n, seed=seed, shares=shares), seed, protocol, chunk, workers)


def simulate_cell(entry: Entry, *, seed: int, protocol: str = "full") -> SimulatedCell:
    """Simulate one cell of a roster, drawn again until it can be taken through the protocol."""
    populations = load_populations()
    squares = pair_squares if protocol == "pair" else long_squares
    for redraw in range(MOST_DRAWS):
        parameters = populations.draw(
            entry.dataset, entry.label, seed=seed, member=entry.member, redraw=redraw
        )
        neuron = neuron_of(parameters, seed=(seed, entry.index), bench=BENCHES[entry.dataset])
        try:
            rheobase_pa, recorded = record_long_squares(neuron, squares)
            # Asked for under any protocol, so that all take the same neurons.
            short_pa = short_square_pa(neuron)
        except Unfit:
            continue
        if protocol == "full":
            recorded += record_others(neuron, rheobase_pa=rheobase_pa, short_pa=short_pa)
        return SimulatedCell(
            recording=recording_of(entry, recorded),
            label=entry.label,
            dataset=entry.dataset,
            redraws=redraw,
        )
    raise RuntimeError(f"{MOST_DRAWS} unfit neurons for {entry}: the populations are not usable")


def _simulated(
    entries: list[Entry], seed: int, protocol: str, chunk: int, workers: int | None
) -> Iterator[SimulatedCell]:
    waiting: deque[Future[SimulatedCell]] = deque()
    queue = iter(entries)
    # The compiled loops let go of the interpreter, so threads share the work.
    with ThreadPoolExecutor(worker_count(workers)) as threads:
        while True:
            for entry in islice(queue, chunk - len(waiting)):
                waiting.append(threads.submit(simulate_cell, entry, seed=seed, protocol=protocol))
            if not waiting:
                return
            yield waiting.popleft().result()


def recording_of(entry: Entry, recorded: list[Recorded]) -> Recording:
    """Return sweeps as a reader of the written file finds them."""
    return Recording(
        specimen_id=entry.specimen_id,
        donor_id=entry.donor_id,
        sweeps=tuple(
            Sweep(
                voltage_mv=voltage_mv(counts),
                current_pa=stimulus.current_pa(),
                rate_hz=RATE_HZ,
                name=stimulus.name.removesuffix("_DA_0"),
                number=number,
            )
            for number, (stimulus, counts) in enumerate(recorded)
        ),
    )


def voltage_mv(counts: Ints) -> Floats:
    """Return a voltage as a reader of the written file finds it."""
    return np.multiply(counts, MV_PER_COUNT, dtype=np.float64).astype(np.float32)
