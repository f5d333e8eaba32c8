"""The compiled loops: the sweeps of a cell advance together, step by step, into int16 counts."""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit

from sts.base.types import Floats, Ints
from sts.recordings.simulated.membrane import (
    CALCIUM_MV,
    CALCIUM_OPEN,
    D_OPEN,
    GATES,
    H_MV,
    INSTANT_NS,
    INSTANT_PA,
    LOWEST_MV,
    PER_MV,
    POTASSIUM_MV,
    SODIUM_MV,
    STEP_MS,
)

F = TypeVar("F", bound=Callable[..., object])

GATE_COUNT = len(GATES)
# A voltage no cell reaches without a spike.
SPIKE_MV = -10.0
# Membrane noise is an Ornstein-Uhlenbeck current of 3 ms.
NOISE_MS = 3.0


def compiled(function: F) -> F:
    """Compile a function for threads that run side by side, and keep the result on disk."""
    return cast(F, njit(nogil=True, cache=True)(function))


@compiled
def normal(key: np.uint64, counter: int) -> float:
    """Return the counter-th number of a nearly normal stream: four 16-bit uniforms of a hash.

    The hash is SplitMix64 (Steele et al., 2014). A stream depends on its key alone, so noise is
    the same in whatever order or company sweeps are integrated.
    """
    z = key + np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    low = np.uint64(0xFFFF)
    total = (
        np.int64(z & low)
        + np.int64((z >> np.uint64(16)) & low)
        + np.int64((z >> np.uint64(32)) & low)
        + np.int64(z >> np.uint64(48))
    )
    # Mean and deviation of the sum of four uniform 16-bit integers.
    return (total - 131070.0) / 37837.2


@compiled
def advance(
    table: Floats, constants: Floats, gates: Floats, voltage: float, current: float, step_ms: float
) -> float:
    """Move the gates by one exponential-Euler step and return the next voltage."""
    row = int((voltage - LOWEST_MV) * PER_MV + 0.5)
    row = min(max(row, 0), table.shape[0] - 1)
    for gate in range(GATE_COUNT):
        steady = table[row, gate]
        gates[gate] = steady + (gates[gate] - steady) * table[row, GATE_COUNT + gate]
    capacitance, sodium, potassium, m_type, calcium, h, after, d_type = constants
    na = sodium * gates[0] * gates[0] * gates[0] * gates[1]
    squared = gates[2] * gates[2]
    k = potassium * squared * squared + m_type * gates[3] + after * gates[6]
    k += d_type * table[row, D_OPEN] * gates[7]
    ca = calcium * table[row, CALCIUM_OPEN] * gates[4]
    mixed = h * gates[5]
    total = table[row, INSTANT_NS] + na + k + ca + mixed
    driven = current + table[row, INSTANT_PA]
    driven += SODIUM_MV * na + POTASSIUM_MV * k + CALCIUM_MV * ca + H_MV * mixed
    # The midpoint rule for the voltage: stable at any conductance.
    change = step_ms * (driven - total * voltage)
    return float(voltage + change / (capacitance + 0.5 * step_ms * total))


@compiled
def injected(stimulus: Floats, step: int) -> float:
    """Return the current of a stimulus (begin, end, pA twice, then pA a step) at a step."""
    current = 0.0
    if stimulus[0] <= step < stimulus[1]:
        current += stimulus[2]
    if stimulus[3] <= step < stimulus[4]:
        current += stimulus[5] + stimulus[6] * (step - stimulus[3])
    return current


@compiled
def integrate(
    table: Floats,
    constants: Floats,
    rest: Floats,
    stimuli: Floats,
    keys: Ints,
    noise_pa: float,
    noise_mv: float,
    counts_per_mv: float,
    counts: Ints,
) -> None:
    """Fill `counts` (sweeps, samples) with the recorded voltage of every sweep.

    Parameters
    ----------
    stimuli
        (sweeps, 7), a row as `injected` takes it.
    keys
        Of the noise streams of the sweeps.
    """
    sweeps, samples = counts.shape
    gates = np.empty((sweeps, GATE_COUNT))
    voltage = np.full(sweeps, rest[0])
    noise = np.zeros(sweeps)
    for sweep in range(sweeps):
        gates[sweep] = rest[1:]
    kept = np.exp(-STEP_MS / NOISE_MS)
    added = noise_pa * np.sqrt(1 - kept * kept)
    for step in range(samples):
        for sweep in range(sweeps):
            key = keys[sweep]
            seen = voltage[sweep] + noise_mv * normal(key, 2 * step + 1)
            counts[sweep, step] = np.int16(np.floor(seen * counts_per_mv + 0.5))
            noise[sweep] = noise[sweep] * kept + added * normal(key, 2 * step)
            current = noise[sweep] + injected(stimuli[sweep], step)
            voltage[sweep] = advance(
                table, constants, gates[sweep], voltage[sweep], current, STEP_MS
            )


@compiled
def first_spike(
    table: Floats,
    constants: Floats,
    rest: Floats,
    stimulus: Floats,
    key: np.uint64,
    noise_pa: float,
    begin: int,
    end: int,
) -> int:
    """Return the step of the first spike between two steps, -1 where there is none."""
    gates = rest[1:].copy()
    voltage = rest[0]
    noise = 0.0
    kept = np.exp(-STEP_MS / NOISE_MS)
    added = noise_pa * np.sqrt(1 - kept * kept)
    for step in range(begin, end):
        noise = noise * kept + added * normal(key, 2 * step)
        current = noise + injected(stimulus, step)
        voltage = advance(table, constants, gates, voltage, current, STEP_MS)
        if voltage > SPIKE_MV:
            return step
    return -1
