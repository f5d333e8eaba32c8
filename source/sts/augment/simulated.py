"""Simulated tables with the published columns, for the demonstration and for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from sts.augment.neurons import ONSET_S, SUPERSEDED
from sts.base.files import write_text
from sts.datasets.labels import ETYPE, KEY

# Number of neurons of each class, and number of those with a morphology.
COUNTS: Final = {
    "Exc_1": (70, 26),
    "Exc_2": (44, 16),
    "Exc_3": (36, 12),
    "Inh_1": (40, 14),
    "Inh_2": (30, 10),
    "Inh_3": (20, 4),
}
# Name -> mean, spread between classes, spread within; spreads of the logarithm if the mean is
# positive.
ELECTRICAL: Final = {
    "vrest": (-72.0, 3.0, 4.0),
    "ri": (165.0, 0.3, 0.3),
    "tau": (16.5, 0.35, 0.3),
    "sag": (0.05, 0.5, 0.6),
    "vm_for_sag": (-92.0, 2.0, 5.0),
    "f_i_curve_slope": (0.2, 0.6, 0.4),
    "adaptation": (0.023, 0.6, 0.8),
    "latency": (0.033, 0.4, 0.6),
    "avg_isi": (60.0, 0.6, 0.5),
    "rheobase": (110.0, 0.4, 0.5),
    "threshold": (-38.0, 2.0, 3.5),
    "height": (68.0, 0.08, 0.1),
    "fast_drop": (13.0, 0.3, 0.25),
    "slow_drop": (17.0, 0.2, 0.2),
    "upstroke_downstroke_ratio": (2.9, 0.35, 0.12),
    "electrode_0_pa": (-1.0, 0.0, 30.0),
    "input_resistance_mohm": (190.0, 0.1, 0.4),
    "seal_gohm": (1.6, 0.0, 0.4),
}
MORPHOLOGY: Final = {
    "average_bifurcation_angle_local": (75.0, 0.04, 0.08),
    "average_contraction": (0.88, 0.01, 0.03),
    "average_diameter": (0.4, 0.1, 0.25),
    "average_fragmentation": (46.0, 0.1, 0.25),
    "average_parent_daughter_ratio": (0.92, 0.02, 0.08),
    "max_branch_order": (6.0, 0.2, 0.3),
    "max_euclidean_distance": (330.0, 0.35, 0.3),
    "max_path_distance": (370.0, 0.35, 0.3),
    "number_bifurcations": (24.0, 0.2, 0.35),
    "number_branches": (54.0, 0.2, 0.35),
    "number_nodes": (2400.0, 0.1, 0.35),
    "number_stems": (6.0, 0.15, 0.3),
    "number_tips": (30.0, 0.2, 0.35),
    "overall_depth": (80.0, 0.1, 0.35),
    "overall_height": (448.0, 0.4, 0.3),
    "overall_width": (266.0, 0.2, 0.3),
    "soma_surface": (280.0, 0.2, 0.3),
    "total_length": (2800.0, 0.3, 0.3),
    "total_surface": (3450.0, 0.3, 0.4),
    "total_volume": (376.0, 0.3, 0.5),
}
# Columns that are the same for all neurons with a morphology.
FIXED_MORPHOLOGY: Final = {
    "neuron_reconstruction_type": "full",
    "scale_factor_x": "0.1144",
    "scale_factor_y": "0.1144",
    "scale_factor_z": "0.28",
}
# Seconds from the onset to the threshold under each stimulus.
THRESHOLD_TIMES_S: Final = {"long_square": 0.1, "ramp": 4.0, "short_square": 0.002}
# Deviation of voltages between stimuli.
JITTER_MV: Final = 1.5

Spread = tuple[float, float, float]
_Row = dict[str, str]


def write_simulated_tables(folder: Path, rng: np.random.Generator, *, ids: bool = True) -> None:
    """Write `e-type.csv` and `mee-type.csv`: the same neurons, one of them reconstructed twice."""
    e, me = _draw_rows(rng)
    again = {**me[0], SUPERSEDED: "True", "total_length": f"{0.9 * float(me[0]['total_length']):g}"}
    for name, rows in (("e-type.csv", e), ("mee-type.csv", [again, *me])):
        columns = [column for column in rows[0] if ids or column != KEY]
        lines = [columns, *([row[column] for column in columns] for row in rows)]
        write_text(folder / name, "".join(";".join(line) + "\n" for line in lines))


def _draw_rows(rng: np.random.Generator) -> tuple[list[_Row], list[_Row]]:
    """Return the rows of both tables."""
    e: list[_Row] = []
    me: list[_Row] = []
    for label, (count, reconstructed) in COUNTS.items():
        electrical, morphology = _draw_centres(ELECTRICAL, rng), _draw_centres(MORPHOLOGY, rng)
        for number in range(count):
            head = {KEY: str(500_000_000 + len(e)), ETYPE: label}
            body = _make_electrical_columns(_draw_neuron(ELECTRICAL, electrical, rng), rng)
            e.append(head | body)
            if number < reconstructed:
                values = _draw_neuron(MORPHOLOGY, morphology, rng)
                shape = {name: f"{value:g}" for name, value in values.items()}
                me.append(head | body | shape | FIXED_MORPHOLOGY | {SUPERSEDED: "False"})
    return e, me


def _draw_centres(table: Mapping[str, Spread], rng: np.random.Generator) -> dict[str, float]:
    """Return the centre of a class in every feature, relative to the mean."""
    return {name: between * rng.standard_normal() for name, (_, between, _) in table.items()}


def _draw_neuron(
    table: Mapping[str, Spread], centres: Mapping[str, float], rng: np.random.Generator
) -> dict[str, float]:
    """Return the features of one neuron of a class."""
    values = {}
    for name, (mean, _, within) in table.items():
        away = centres[name] + within * rng.standard_normal()
        values[name] = mean * float(np.exp(away)) if mean > 0 else mean + away
    return values


def _make_electrical_columns(cell: Mapping[str, float], rng: np.random.Generator) -> _Row:
    """Return the published columns of a neuron, with times from the start of the sweep."""
    cell = dict(cell)
    rheobase, threshold = cell.pop("rheobase"), cell.pop("threshold")
    height, fast, slow = (cell.pop(name) for name in ("height", "fast_drop", "slow_drop"))
    ratio = cell.pop("upstroke_downstroke_ratio")
    values = dict(cell)
    for stimulus, begin_s in THRESHOLD_TIMES_S.items():
        at = ONSET_S + begin_s * float(np.exp(0.4 * rng.standard_normal()))
        shift = JITTER_MV * rng.standard_normal(3)
        voltage = threshold + shift[0]
        values |= {
            f"threshold_i_{stimulus}": rheobase * (5.0 if stimulus == "short_square" else 1.0),
            f"threshold_t_{stimulus}": at,
            f"threshold_v_{stimulus}": voltage,
            f"peak_t_{stimulus}": at + 7e-4,
            f"peak_v_{stimulus}": voltage + height + shift[1],
            f"fast_trough_t_{stimulus}": at + 3e-3,
            f"fast_trough_v_{stimulus}": voltage - fast + shift[2],
            f"trough_t_{stimulus}": at + 0.04,
            f"trough_v_{stimulus}": voltage - slow,
            f"upstroke_downstroke_ratio_{stimulus}": ratio * float(np.exp(shift[0] / 30)),
            f"slow_trough_t_{stimulus}": at + 0.04,
            f"slow_trough_v_{stimulus}": voltage - slow,
        }
        # Often the voltage does not decrease again after the fast trough.
        if rng.random() < (0.6 if fast > 13.0 else 0.25):
            values[f"slow_trough_t_{stimulus}"] = values[f"slow_trough_v_{stimulus}"] = np.nan
    if rng.random() < 0.1:
        values["adaptation"] = np.nan
    return {name: "" if np.isnan(value) else f"{value:.10g}" for name, value in values.items()}
