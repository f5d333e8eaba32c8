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

Parameters: TypeAlias = Mapping[str, float]

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
HIGHEST_MV: Final = 100.0
# The nearest row is taken: a gate sees the voltage to within 0.025 mV, less than the noise.
PER_MV: Final = 20
VOLTAGES_MV: Final = LOWEST_MV + np.arange(int((HIGHEST_MV - LOWEST_MV) * PER_MV) + 1) / PER_MV

# Columns of a table after the steady states of all gates and their decays over one step.
INSTANT_NS: Final = 2 * len(GATES)
INSTANT_PA: Final = INSTANT_NS + 1
CALCIUM_OPEN: Final = INSTANT_NS + 2
D_OPEN: Final = INSTANT_NS + 3
COLUMNS: Final = INSTANT_NS + 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Membrane:
    """One neuron, ready to be integrated."""

    table: Floats
    """(voltages, COLUMNS)"""
    constants: Floats
    """Capacitance in pF, then CONDUCTANCES in nS."""
    rest: Floats
    """Voltage in mV, then all gates, where no current flows."""


def membrane_of(parameters: Parameters, *, step_ms: float = STEP_MS) -> Membrane:
    """Tabulate a neuron and find where it rests."""
    table = _table(parameters, step_ms)
    names = ("capacitance_pf", *CONDUCTANCES)
    constants = np.array([_nanosiemens(parameters, name) for name in names])
    constants[0] = parameters["capacitance_pf"]
    return Membrane(table=table, constants=constants, rest=_rest(table, constants))


def gate_kinetics(
    parameters: Parameters, voltage_mv: Floats
) -> dict[str, tuple[Floats, Floats]]:
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
        table[:, len(GATES) + column] = np.exp(-step_ms / tau_ms)
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
    m, h_gate, n, p, u, r, z, b = (table[:, column] for column in range(len(GATES)))
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
    return np.concatenate(([VOLTAGES_MV[row]], table[row, : len(GATES)]))


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
