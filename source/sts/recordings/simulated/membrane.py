"""A neuron's membrane as a table over voltage: what every gate and every current does there.

Gates of Pospischil et al. (2008) for fast sodium, delayed rectifier, M-type potassium and
low-threshold calcium; beside them persistent sodium, inward rectifier, h-current, a D-type
potassium current that delays the first spike, and a slow after-hyperpolarisation fed by spikes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from sts.base.types import Floats
from sts.recordings.simulated.integrate import (
    CALCIUM_MV,
    CALCIUM_OPEN,
    COLUMNS,
    CONDUCTANCES,
    D_OPEN,
    GATE_COUNT,
    H_MV,
    INSTANT_NS,
    INSTANT_PA,
    LOWEST_MV,
    PER_MV,
    POTASSIUM_MV,
    SODIUM_MV,
    STEP_MS,
)

Parameters: TypeAlias = Mapping[str, float]

HIGHEST_MV: Final = 100.0
VOLTAGES_MV: Final = LOWEST_MV + np.arange(int((HIGHEST_MV - LOWEST_MV) * PER_MV) + 1) / PER_MV


@dataclass(frozen=True, kw_only=True, eq=False)
class Membrane:
    """One neuron, ready to be integrated."""

    table: Floats
    """(voltages, COLUMNS)"""
    constants: Floats
    """Capacitance in pF, then CONDUCTANCES in nS."""
    rest: Floats
    """Voltage in mV, then all gates, where no current flows."""
    step_ms: float


def membrane_of(parameters: Parameters, *, step_ms: float = STEP_MS) -> Membrane:
    """Tabulate a neuron and find where it rests."""
    table = _table(parameters, step_ms)
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
        # A spike opens a share of what is closed; in between it closes at its own pace.
        "z": (_sigmoid((voltage_mv + 10) / 3), np.where(spiking, 2, parameters["after_tau_ms"])),
        "b": (_sigmoid(-(voltage_mv + 70) / 6), parameters["d_tau_ms"] * same),
    }


def _table(parameters: Parameters, step_ms: float) -> Floats:
    table = np.empty((VOLTAGES_MV.size, COLUMNS))
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
    # Between two rows, where the line through their currents crosses 0.
    share = current[row - 1] / (current[row - 1] - current[row])
    voltage_mv = VOLTAGES_MV[row - 1] + share / PER_MV
    return np.concatenate(([voltage_mv], table[row, :GATE_COUNT]))


def _nanosiemens(parameters: Parameters, name: str) -> float:
    """Return a conductance from its density in mS/cm2: a cm2 of membrane has 1 uF."""
    return parameters[name] * parameters["capacitance_pf"]


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _linoid(x: Floats, scale: float) -> Floats:
    """Return x / (1 - exp(-x / scale)), which is the scale where x is 0."""
    near = np.abs(x) < 1e-6
    apart = np.where(near, 1.0, x)
    return np.where(near, scale + x / 2, apart / -np.expm1(-apart / scale))


def _rates(opening: Floats, closing: Floats) -> tuple[Floats, Floats]:
    return opening / (opening + closing), 1 / (opening + closing)
