"""A neuron's membrane: gates and currents tabulated over voltage, and compiled loops over time.

Gates of Pospischil et al. (2008) for fast sodium, delayed rectifier, M-type potassium and
low-threshold calcium; also persistent sodium, inward rectifier, h-current, a D-type potassium
current that delays the first spike, and a slow after-hyperpolarisation caused by spikes. All sweeps
of a cell are integrated together, step by step, and stored as int16 counts.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
from numba import njit

from sts.base.types import Floats, Ints

F = TypeVar("F", bound=Callable[..., object])
Parameters: TypeAlias = Mapping[str, float]

# The compiler notices changes of this file only: everything that the compiled loops use is here.
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

# Rows of the table: the lowest and the highest voltage, and the number of rows per mV. The nearest
# row is used: the error of the voltage is at most 0.025 mV, less than the noise.
LOWEST_MV: Final = -150.0
HIGHEST_MV: Final = 100.0
PER_MV: Final = 20
VOLTAGES_MV: Final = LOWEST_MV + np.arange(int((HIGHEST_MV - LOWEST_MV) * PER_MV) + 1) / PER_MV

# Columns of the table: the steady states of all gates, their decays over one step, then these.
GATE_COUNT: Final = len(GATES)
INSTANT_NS: Final = 2 * GATE_COUNT
INSTANT_PA: Final = INSTANT_NS + 1
CALCIUM_OPEN: Final = INSTANT_NS + 2
D_OPEN: Final = INSTANT_NS + 3
TABLE_COLUMNS: Final = INSTANT_NS + 4

# A voltage above this is a spike.
SPIKE_MV: Final = -10.0
# Time constant of the membrane noise, an Ornstein-Uhlenbeck current.
NOISE_MS: Final = 3.0


class Membrane(NamedTuple):
    """One neuron for the integration; the compiled loops accept named tuples."""

    table: Floats
    """(voltages, TABLE_COLUMNS)"""
    constants: Floats
    """Capacitance in pF, then CONDUCTANCES in nS."""
    rest: Floats
    """Voltage in mV, then all gates, under the holding current alone."""
    step_ms: float


def membrane_of(
    parameters: Parameters, *, holding_pa: float = 0.0, step_ms: float = STEP_MS
) -> Membrane:
    """Tabulate a neuron under a holding current and find its resting state."""
    table = _table(parameters, step_ms)
    table[:, INSTANT_PA] += holding_pa
    names = ("capacitance_pf", *CONDUCTANCES)
    constants = np.array([_nanosiemens(parameters, name) for name in names])
    constants[0] = parameters["capacitance_pf"]
    return Membrane(table=table, constants=constants, rest=_rest(table, constants), step_ms=step_ms)


def gate_kinetics(parameters: Parameters, voltage_mv: Floats) -> dict[str, tuple[Floats, Floats]]:
    """Return steady state and time constant (ms) of every gate at the given voltages."""
    above = voltage_mv - parameters["threshold_mv"]
    early = above - parameters["inactivation_shift_mv"]
    late = above - parameters["potassium_shift_mv"]
    m, m_ms = _rates(0.32 * _linoid(above - 13, 4), 0.28 * _linoid(40 - above, 5))
    h, h_ms = _rates(0.128 * np.exp((17 - early) / 18), 4 * _sigmoid((early - 40) / 5))
    n, n_ms = _rates(0.032 * _linoid(late - 15, 5), 0.5 * np.exp((10 - late) / 40))
    slow = (voltage_mv + 35) / 20
    u_ms = 30.8 + (211.4 + np.exp((voltage_mv + 115.2) / 5)) / (
        3.7 * (1 + np.exp((voltage_mv + 86) / 3.2))
    )
    same = np.ones_like(voltage_mv)
    spiking = voltage_mv > -10
    return {
        "m": (m, m_ms / parameters["activation_speed"]),
        "h": (h, h_ms / parameters["inactivation_speed"]),
        "n": (n, n_ms / parameters["potassium_speed"]),
        "p": (_sigmoid(2 * slow), parameters["m_tau_ms"] / (3.3 * np.exp(slow) + np.exp(-slow))),
        "u": (_sigmoid(-(voltage_mv + 83) / 4), u_ms),
        "r": (_sigmoid(-(voltage_mv + 82) / 7), 50 * same),
        # Every spike opens a share of the closed channels, which close slowly afterwards.
        "z": (_sigmoid((voltage_mv + 10) / 3), np.where(spiking, 2, parameters["after_tau_ms"])),
        "b": (_sigmoid(-(voltage_mv + 70) / 6), parameters["d_tau_ms"] * same),
    }


def _table(parameters: Parameters, step_ms: float) -> Floats:
    table = np.empty((VOLTAGES_MV.size, TABLE_COLUMNS))
    for column, (steady, tau_ms) in enumerate(gate_kinetics(parameters, VOLTAGES_MV).values()):
        table[:, column] = steady
        table[:, GATE_COUNT + column] = np.exp(-step_ms / tau_ms)
    leak = parameters["capacitance_pf"] / parameters["leak_tau_ms"]
    persistent = _nanosiemens(parameters, "persistent") * _sigmoid((VOLTAGES_MV + 52) / 5)
    inward = _nanosiemens(parameters, "inward") * _sigmoid(-(VOLTAGES_MV + 80) / 10)
    table[:, INSTANT_NS] = leak + persistent + inward
    table[:, INSTANT_PA] = (
        leak * parameters["leak_mv"] + persistent * SODIUM_MV + inward * POTASSIUM_MV
    )
    table[:, CALCIUM_OPEN] = _sigmoid((VOLTAGES_MV + 59) / 6.2) ** 2
    table[:, D_OPEN] = _sigmoid((VOLTAGES_MV + 50) / 10)
    return table


def _rest(table: Floats, constants: Floats) -> Floats:
    """Return the lowest voltage at which all steady currents cancel, and the gates there."""
    _, sodium, potassium, m_type, calcium, h, after, d_type = constants
    m, h_gate, n, p, u, r, z, b = (table[:, column] for column in range(GATE_COUNT))
    outward = potassium * n**4 + m_type * p + after * z + d_type * table[:, D_OPEN] * b
    current = (
        table[:, INSTANT_NS] * VOLTAGES_MV
        - table[:, INSTANT_PA]
        + sodium * m**3 * h_gate * (VOLTAGES_MV - SODIUM_MV)
        + outward * (VOLTAGES_MV - POTASSIUM_MV)
        + calcium * table[:, CALCIUM_OPEN] * u * (VOLTAGES_MV - CALCIUM_MV)
        + h * r * (VOLTAGES_MV - H_MV)
    )
    row = int(np.argmax(current > 0))
    # Interpolated: the line through the currents of two rows crosses 0 there.
    share = current[row - 1] / (current[row - 1] - current[row])
    voltage_mv = VOLTAGES_MV[row - 1] + share / PER_MV
    return np.concatenate(([voltage_mv], table[row, :GATE_COUNT]))


def _nanosiemens(parameters: Parameters, name: str) -> float:
    """Return a conductance from its density in mS/cm2: a cm2 of membrane has 1 uF."""
    return parameters[name] * parameters["capacitance_pf"]


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _linoid(x: Floats, scale: float) -> Floats:
    """Return x / (1 - exp(-x / scale)), which equals the scale at x = 0."""
    near_zero = np.abs(x) < 1e-6
    divisible = np.where(near_zero, 1.0, x)
    return np.where(near_zero, scale + x / 2, divisible / -np.expm1(-divisible / scale))


def _rates(opening: Floats, closing: Floats) -> tuple[Floats, Floats]:
    """Return steady state and time constant (ms) of a gate from its rates (1/ms)."""
    return opening / (opening + closing), 1 / (opening + closing)


def compiled(function: F) -> F:
    """Compile a function, and cache the result on disk."""
    return cast(F, njit(cache=True)(function))


def inlined(function: F) -> F:
    """Compile a function into its callers, since a call would take longer than its work."""
    return cast(F, njit(inline="always")(function))


@inlined
def normal(key: np.uint64, counter: int) -> float:
    """Return a number of a nearly normal stream: the sum of four 16-bit uniforms from a hash.

    The hash is SplitMix64 (Steele et al., 2014). A stream depends only on its key, so that the
    noise of a sweep does not depend on the order of the sweeps or on other sweeps.
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
    """Return the current of a sweep; its row has start, end and pA twice, then pA per step."""
    current = 0.0
    if stimuli[sweep, 0] <= step < stimuli[sweep, 1]:
        current += stimuli[sweep, 2]
    if stimuli[sweep, 3] <= step < stimuli[sweep, 4]:
        current += stimuli[sweep, 5] + stimuli[sweep, 6] * (step - stimuli[sweep, 3])
    return current


@compiled
def integrate(
    membrane: Membrane,
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
        (sweeps, 7), one row for each sweep, in the form that `injected` needs.
    keys
        The keys of the noise streams of the sweeps.
    """
    table, constants, rest, step_ms = membrane
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
    membrane: Membrane,
    stimuli: Floats,
    key: np.uint64,
    noise_pa: float,
    begin: int,
    end: int,
) -> int:
    """Return the step of the first spike between two steps, -1 without a spike."""
    table, constants, rest, step_ms = membrane
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
