"""Simulated cells: class, data set and donor of each, and its recording in memory.

A cell depends only on the seed and on its place in the roster, so that cells can be simulated in
any order and by any number of processes.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.types import CLASSES, Floats, Ints
from sts.recordings.recording import Recording, Sweep
from sts.recordings.simulated.neuron import (
    BENCHES,
    MV_PER_COUNT,
    SIMULATED_RATE_HZ,
    Neuron,
    Recorded,
    Unfit,
    make_neuron,
    record_long_squares,
    record_others,
    short_square_pa,
)
from sts.recordings.simulated.populations import load_populations
from sts.recordings.simulated.rigs import draw_rig, pass_amplifier

DATASETS: Final = ("PatchClamp", "PatchSeq")
# Training cells of the published study, by data set and class.
PUBLISHED: Final = {
    ("PatchClamp", "Pvalb"): 185,
    ("PatchClamp", "Excitatory"): 536,
    ("PatchClamp", "Vip/Lamp5"): 242,
    ("PatchClamp", "Sst"): 135,
    ("PatchSeq", "Pvalb"): 667,
    ("PatchSeq", "Excitatory"): 101,
    ("PatchSeq", "Vip/Lamp5"): 1196,
    ("PatchSeq", "Sst"): 1410,
}
CLASS_SHARES: Final = ("equal", "published")
SIMULATED_PROTOCOLS: Final = ("full", "long", "pair")
RIG_KINDS: Final = ("plain", "varied")
# Number of first cells of a class in each data set; the others have the published shares.
LEAST: Final = 3
CELLS_PER_DONOR: Final = 3
# Demos train on cells of this seed. No command has it as its default, so that `simulate` without a
# seed simulates other cells, on which the model of a demo can be tried.
DEMO_SEED: Final = 1_000_003
# Largest number of draws of a neuron: one draw in eight is unfit.
MOST_DRAWS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell of a roster, not simulated yet."""

    index: int
    member: int
    """Its number in its population, from 0."""
    label: str
    dataset: str
    specimen_id: str
    donor_id: str


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedCell:
    """A simulated recording, and what is known about it."""

    recording: Recording
    label: str
    dataset: str
    redraws: int
    """Number of neurons that were drawn before and did not suit the protocol."""


def roster(cells: int, *, seed: int, shares: str = "equal") -> list[Entry]:
    """Return the first cells of a roster; a longer roster starts with the same cells.

    Parameters
    ----------
    shares
        Of the classes: "equal", or "published" as in the published training set.
    """
    one_of(shares, CLASS_SHARES, "shares")
    if seed < 0 or cells < 0:
        raise StsError(f"cells and seed must be 0 or more: {cells}, {seed}")
    entries = _entries(seed=seed, shares=shares)
    return [next(entries) for _ in range(cells)]


def _entries(*, seed: int, shares: str) -> Iterator[Entry]:
    classes: Counter[str] = Counter()
    members: Counter[tuple[str, str]] = Counter()
    donors: Counter[str] = Counter()
    for index in count():
        label = _next_class(classes, shares)
        dataset = _next_dataset(label, members)
        donor = donors[dataset] // CELLS_PER_DONOR
        yield Entry(
            index=index,
            member=members[dataset, label],
            label=label,
            dataset=dataset,
            specimen_id=f"sim{seed}cell{index:05d}",
            donor_id=f"sim{seed}{dataset.lower()}{donor:05d}",
        )
        classes[label] += 1
        members[dataset, label] += 1
        donors[dataset] += 1


def _next_class(classes: Counter[str], shares: str) -> str:
    """Return the class with the largest number of missing cells, by its share."""
    sizes = {
        label: sum(PUBLISHED[dataset, label] for dataset in DATASETS) if shares != "equal" else 1
        for label in CLASSES
    }
    return min(CLASSES, key=lambda label: (classes[label] + 1) / sizes[label])


def _next_dataset(label: str, members: Counter[tuple[str, str]]) -> str:
    """Return the smaller data set of a class if it is below its share, else the larger one."""
    smaller, larger = sorted(DATASETS, key=lambda dataset: PUBLISHED[dataset, label])
    share = PUBLISHED[smaller, label] / (PUBLISHED[smaller, label] + PUBLISHED[larger, label])
    present = members[smaller, label]
    total = present + members[larger, label] + 1
    due = max(share * total, min(LEAST, total / 2))
    return smaller if present + 1 <= due else larger


def simulate_cell(
    entry: Entry, *, seed: int, protocol: str = "full", rigs: str = "plain"
) -> SimulatedCell:
    """Simulate one cell of a roster; its neuron is drawn until one suits the protocol.

    Parameters
    ----------
    protocol
        "full", "long" for the long squares only, or "pair" for the long squares from which the two
        sweeps are selected.
    rigs
        "plain" for the rig of its data set, or "varied" for a random one.
    """
    one_of(protocol, SIMULATED_PROTOCOLS, "protocol")
    one_of(rigs, RIG_KINDS, "rigs")
    populations = load_populations()
    for redraw in range(MOST_DRAWS):
        parameters = populations.draw(
            entry.dataset, entry.label, seed=seed, member=entry.member, redraw=redraw
        )
        bench, amplifier = BENCHES[entry.dataset], None
        if rigs == "varied":
            bench, amplifier = draw_rig((seed, entry.index, redraw))
        neuron = make_neuron(parameters, seed=(seed, entry.index), bench=bench)
        try:
            recorded = _record(neuron, protocol)
        except Unfit:
            continue
        recording = recording_of(entry, recorded)
        if amplifier is not None:
            recording = pass_amplifier(recording, bench, amplifier, seed=(seed, entry.index))
        return SimulatedCell(
            recording=recording, label=entry.label, dataset=entry.dataset, redraws=redraw
        )
    raise RuntimeError(f"{MOST_DRAWS} unfit neurons for {entry}: the populations are not usable")


def _record(neuron: Neuron, protocol: str) -> list[Recorded]:
    """Return the sweeps of a protocol; raise Unfit if the neuron does not suit it."""
    rheobase_pa, recorded = record_long_squares(neuron, pair=protocol == "pair")
    # For every protocol, so that all protocols use the same neurons.
    short_pa = short_square_pa(neuron)
    if protocol == "full":
        recorded += record_others(neuron, rheobase_pa=rheobase_pa, short_pa=short_pa)
    return recorded


def simulate_cells(
    cells: int, *, seed: int, protocol: str = "full", shares: str = "equal"
) -> Iterator[SimulatedCell]:
    """Return an iterator over simulated cells in the order of the roster."""
    entries = roster(cells, seed=seed, shares=shares)
    one_of(protocol, SIMULATED_PROTOCOLS, "protocol")
    return (simulate_cell(entry, seed=seed, protocol=protocol) for entry in entries)


def recording_of(entry: Entry, recorded: list[Recorded]) -> Recording:
    """Return the recording that a reader of the written file returns."""
    return Recording(
        specimen_id=entry.specimen_id,
        donor_id=entry.donor_id,
        sweeps=tuple(
            Sweep(
                voltage_mv=voltage_mv(counts),
                current_pa=stimulus.current_pa(),
                rate_hz=SIMULATED_RATE_HZ,
                name=stimulus.name.removesuffix("_DA_0"),
                number=number,
            )
            for number, (stimulus, counts) in enumerate(recorded)
        ),
    )


def voltage_mv(counts: Ints) -> Floats:
    """Return the voltage that a reader of the written file returns."""
    return np.multiply(counts, MV_PER_COUNT, dtype=np.float64).astype(np.float32)
