"""The compiled loops: the sweeps of a cell advance together, step by step, into int16 counts."""

from collections.abc import Callable
from typing import Final, TypeVar, cast

import numpy as np
from numba import njit

from sts.base.types import Floats, Ints

F = TypeVar("F", bound=Callable[..., object])

# The compiler notices changes of this file alone, so all that the loops know stands here.
STEP_MS: Final = 0.02
"""The integration step, and the sampling interval of the recordings."""

SODIUM_MV: Final = 50.0
POTASSIUM_MV: Final = -90.0
CALCIUM_MV: Final = 120.0
H_MV: Final = -40.0

GATES: Final = ("m", "h", "n", "p", "u", "r", "z", "b")
"""Sodium activation and inactivation, delayed rectifier, M-type, inactivation of calcium,
h-current, after-hyperpolarisation, inactivation of the D-type."""
CONDUCTANCES: Final = ("sodium", "potassium", "m_type", "calcium", "h", "after", "d_type")

LOWEST_MV: Final = -150.0
# The nearest row is taken: a gate sees the voltage to within 0.025 mV, less than the noise.
PER_MV: Final = 20

# Columns of a table after the steady states of all gates and their decays over one step.
GATE_COUNT: Final = len(GATES)
INSTANT_NS: Final = 2 * GATE_COUNT
INSTANT_PA: Final = INSTANT_NS + 1
CALCIUM_OPEN: Final = INSTANT_NS + 2
D_OPEN: Final = INSTANT_NS + 3
COLUMNS: Final = INSTANT_NS + 4

# A voltage no cell reaches without a spike.
SPIKE_MV: Final = -10.0
# Membrane noise is an Ornstein-Uhlenbeck current of 3 ms.
NOISE_MS: Final = 3.0


def compiled(function: F) -> F:
    """Compile a function for threads that run side by side, and keep the result on disk."""
    return cast(F, njit(nogil=True, cache=True)(function))


def inlined(function: F) -> F:
    """Compile a function into its callers: a call would cost more than what it does."""
    return cast(F, njit(nogil=True, inline="always")(function))


@inlined
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


@inlined
def advance(
    table: Floats,
    constants: Floats,
    gates: Floats,
    sweep: int,
    voltage: float,
    current: float,
    step_ms: float,
) -> float:
    """Move the gates of a sweep by one exponential-Euler step and return its next voltage."""
    row = int((voltage - LOWEST_MV) * PER_MV + 0.5)
    row = min(max(row, 0), table.shape[0] - 1)
    for gate in range(GATE_COUNT):
        steady = table[row, gate]
        decay = table[row, GATE_COUNT + gate]
        gates[sweep, gate] = steady + (gates[sweep, gate] - steady) * decay
    m, n = gates[sweep, 0], gates[sweep, 2]
    na = constants[1] * m * m * m * gates[sweep, 1]
    k = constants[2] * n * n * n * n + constants[3] * gates[sweep, 3]
    k += constants[6] * gates[sweep, 6] + constants[7] * table[row, D_OPEN] * gates[sweep, 7]
    ca = constants[4] * table[row, CALCIUM_OPEN] * gates[sweep, 4]
    mixed = constants[5] * gates[sweep, 5]
    total = table[row, INSTANT_NS] + na + k + ca + mixed
    driven = current + table[row, INSTANT_PA]
    driven += SODIUM_MV * na + POTASSIUM_MV * k + CALCIUM_MV * ca + H_MV * mixed
    # The midpoint rule for the voltage: stable at any conductance.
    change = step_ms * (driven - total * voltage)
    return float(voltage + change / (constants[0] + 0.5 * step_ms * total))


@inlined
def injected(stimuli: Floats, sweep: int, step: int) -> float:
    """Return the current of a sweep, whose row holds begin, end and pA twice, then pA a step."""
    current = 0.0
    if stimuli[sweep, 0] <= step < stimuli[sweep, 1]:
        current += stimuli[sweep, 2]
    if stimuli[sweep, 3] <= step < stimuli[sweep, 4]:
        current += stimuli[sweep, 5] + stimuli[sweep, 6] * (step - stimuli[sweep, 3])
    return current


@compiled
def integrate(
    table: Floats,
    constants: Floats,
    rest: Floats,
    step_ms: float,
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
    kept = np.exp(-step_ms / NOISE_MS)
    added = noise_pa * np.sqrt(1 - kept * kept)
    for step in range(samples):
        for sweep in range(sweeps):
            key = keys[sweep]
            seen = voltage[sweep] + noise_mv * normal(key, 2 * step + 1)
            counts[sweep, step] = np.int16(np.floor(seen * counts_per_mv + 0.5))
            noise[sweep] = noise[sweep] * kept + added * normal(key, 2 * step)
            current = noise[sweep] + injected(stimuli, sweep, step)
            voltage[sweep] = advance(
                table, constants, gates, sweep, voltage[sweep], current, step_ms
            )


@compiled
def first_spike(
    table: Floats,
    constants: Floats,
    rest: Floats,
    step_ms: float,
    stimuli: Floats,
    key: np.uint64,
    noise_pa: float,
    begin: int,
    end: int,
) -> int:
    """Return the step of the first spike between two steps, -1 where there is none."""
    gates = rest[1:].copy().reshape(1, GATE_COUNT)
    voltage = rest[0]
    noise = 0.0
    kept = np.exp(-step_ms / NOISE_MS)
    added = noise_pa * np.sqrt(1 - kept * kept)
    for step in range(begin, end):
        noise = noise * kept + added * normal(key, 2 * step)
        current = noise + injected(stimuli, 0, step)
        voltage = advance(table, constants, gates, 0, voltage, current, step_ms)
        if voltage > SPIKE_MV:
            return step
    return -1
