"""A neuron's membrane as tables over voltage: how every gate and the instantaneous currents act.

Gates of Pospischil et al. (2008) for fast sodium, delayed rectifier, M-type potassium and low-threshold calcium; beside
them persistent sodium, inward rectifier, h-current, a D-type potassium current that delays the first spike and a slow
after-hyperpolarisation that spikes feed.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np

from sts.base.types import Floats

Parameters: TypeAlias = Mapping[str, float]

STEP_MS: Final = 0.02
"""The integration step, which is also the sampling interval of the recordings."""

GATES: Final = ("m", "h", "n", "p", "u", "r", "z", "b")
"""Activation and inactivation of sodium, delayed rectifier, M-type, calcium inactivation, h, after-hyperpolarisation, D-type."""

LOWEST_MV: Final = -150.0
HIGHEST_MV: Final = 100.0
PER_MV: Final = 20
"""Rows of a table per mV; the nearest row is taken, so a gate sees the voltage to within 0.025 mV."""

SODIUM_MV, POTASSIUM_MV, CALCIUM_MV, H_MV = 50.0, -90.0, 120.0, -40.0

VOLTAGES_MV: Final = LOWEST_MV + np.arange(int((HIGHEST_MV - LOWEST_MV) * PER_MV) + 1) / PER_MV

COLUMNS: Final = 2 * len(GATES) + 4
"""Per gate its steady state and its decay over one step; then conductance and current that follow the
voltage at once, and the activations of calcium and D-type current."""


def _sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))


def _linoid(x: Floats, scale: float) -> Floats:
    """Return x / (1 - exp(-x / scale)), whose value at 0 is the scale."""
    near = np.abs(x) < 1e-6
    safe = np.where(near, 1.0, x)
    return np.where(near, scale + x / 2, safe / -np.expm1(-safe / scale))


def _rates(alpha: Floats, beta: Floats) -> tuple[Floats, Floats]:
    return alpha / (alpha + beta), 1.0 / (alpha + beta)


def gate_kinetics(parameters: Parameters, voltage_mv: Floats) -> dict[str, tuple[Floats, Floats]]:
    """Return steady state and time constant (ms) of every gate at the given voltages."""
    above = voltage_mv - parameters["threshold_mv"]
    late = above - parameters["potassium_shift_mv"]
    m, m_ms = _rates(0.32 * _linoid(above - 13, 4), 0.28 * _linoid(40 - above, 5))
    early = above - parameters["inactivation_shift_mv"]
    h, h_ms = _rates(0.128 * np.exp((17 - early) / 18), 4 * _sigmoid((early - 40) / 5))
    n, n_ms = _rates(0.032 * _linoid(late - 15, 5), 0.5 * np.exp((10 - late) / 40))
    slow = (voltage_mv + 35) / 20
    low = voltage_mv + 2
    u_ms = 30.8 + (211.4 + np.exp((low + 113.2) / 5)) / (3.7 * (1 + np.exp((low + 84) / 3.2)))
    flat = np.ones_like(voltage_mv)
    in_spike = _sigmoid((voltage_mv + 10) / 3)
    return {
        "m": (m, m_ms / parameters["activation_speed"]),
        "h": (h, h_ms / parameters["inactivation_speed"]),
        "n": (n, n_ms / parameters["potassium_speed"]),
        "p": (_sigmoid(2 * slow), parameters["m_tau_ms"] / (3.3 * np.exp(slow) + np.exp(-slow))),
        "u": (_sigmoid(-(low + 81) / 4), u_ms),
        "r": (_sigmoid(-(voltage_mv + 82) / 7), 50.0 * flat),
        # Opens by about a fifth with each spike of half a millisecond, closes in its own time.
        "z": (in_spike, np.where(in_spike > 0.5, 2.0, parameters["after_tau_ms"])),
        "b": (_sigmoid(-(voltage_mv + 70) / 6), parameters["d_tau_ms"] * flat),
    }


def conductance(parameters: Parameters, name: str) -> float:
    """Return a conductance in nS from its density in mS/cm2, at 1 uF/cm2."""
    return parameters[name] * parameters["capacitance_pf"]


def membrane_table(parameters: Parameters) -> Floats:
    """Tabulate a cell over voltage: array (voltages, columns)."""
    table = np.empty((VOLTAGES_MV.size, COLUMNS))
    kinetics = gate_kinetics(parameters, VOLTAGES_MV)
    for column, gate in enumerate(GATES):
        steady, tau_ms = kinetics[gate]
        table[:, column] = steady
        table[:, len(GATES) + column] = np.exp(-STEP_MS / tau_ms)
    leak = parameters["capacitance_pf"] / parameters["leak_tau_ms"]
    persistent = conductance(parameters, "persistent") * _sigmoid((VOLTAGES_MV + 52) / 5)
    inward = conductance(parameters, "inward") * _sigmoid(-(VOLTAGES_MV + 80) / 10)
    table[:, -4] = leak + persistent + inward
    table[:, -3] = leak * parameters["leak_mv"] + persistent * SODIUM_MV + inward * POTASSIUM_MV
    table[:, -2] = _sigmoid((VOLTAGES_MV + 2 + 57) / 6.2) ** 2
    table[:, -1] = _sigmoid((VOLTAGES_MV + 50) / 10)
    return table
