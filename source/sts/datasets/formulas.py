"""Features derived from the published features; each formula is a text that is evaluated."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from sts.base.types import Floats

FORMULA_STIMULI: Final = ("long_square", "short_square", "ramp")

# Features of the first spike under each stimulus, whose name replaces {s}. They do not depend on
# the offset of the electrode, the liquid junction potential or the start of the sweep.
OF_EACH_STIMULUS: Final = {
    "height_{s}": "peak_v_{s} - threshold_v_{s}",
    "fast_drop_{s}": "threshold_v_{s} - fast_trough_v_{s}",
    "slow_drop_{s}": "threshold_v_{s} - slow_trough_v_{s}",
    "drop_{s}": "threshold_v_{s} - trough_v_{s}",
    "later_drop_{s}": "fast_trough_v_{s} - trough_v_{s}",
    "threshold_above_rest_{s}": "threshold_v_{s} - vrest",
    "trough_above_rest_{s}": "trough_v_{s} - vrest",
    "rise_{s}": "peak_t_{s} - threshold_t_{s}",
    "fall_{s}": "fast_trough_t_{s} - peak_t_{s}",
    "recovery_{s}": "trough_t_{s} - peak_t_{s}",
    "slow_recovery_{s}": "slow_trough_t_{s} - peak_t_{s}",
    "rise_rate_{s}": "(peak_v_{s} - threshold_v_{s}) / (peak_t_{s} - threshold_t_{s})",
    "fall_rate_{s}": "(peak_v_{s} - fast_trough_v_{s}) / (fast_trough_t_{s} - peak_t_{s})",
    "missing_slow_trough_{s}": "missing(slow_trough_v_{s})",
}

# The short square and the ramp, each compared with the long square.
BESIDE_THE_LONG_SQUARE: Final = {
    "threshold_gap_{s}": "threshold_v_{s} - threshold_v_long_square",
    "peak_gap_{s}": "peak_v_{s} - peak_v_long_square",
    "fast_trough_gap_{s}": "fast_trough_v_{s} - fast_trough_v_long_square",
    "ratio_change_{s}": "upstroke_downstroke_ratio_{s} / upstroke_downstroke_ratio_long_square",
    "current_ratio_{s}": "threshold_i_{s} / threshold_i_long_square",
}

OF_THE_CELL: Final = {
    "log_isi": "log(avg_isi)",
    "isi_over_tau": "avg_isi / tau",
    "latency_over_tau": "1000 * latency / tau",
    "capacitance": "1000 * tau / ri",
    "rheobase_voltage": "threshold_i_long_square * ri / 1000",
    "rheobase_density": "threshold_i_long_square * ri / tau",
    "slope_over_resistance": "f_i_curve_slope / ri",
    "sag_voltage": "sag * (vrest - vm_for_sag)",
    "missing_adaptation": "missing(adaptation)",
    "missing_ramp": "missing(threshold_v_ramp)",
}


def _table() -> dict[str, str]:
    """Return all formulas by name, in their fixed order."""
    formulas = {
        name.format(s=stimulus): text.format(s=stimulus)
        for name, text in OF_EACH_STIMULUS.items()
        for stimulus in FORMULA_STIMULI
    }
    formulas |= {
        name.format(s=stimulus): text.format(s=stimulus)
        for name, text in BESIDE_THE_LONG_SQUARE.items()
        for stimulus in FORMULA_STIMULI[1:]
    }
    return formulas | OF_THE_CELL


FORMULAS: Final = _table()
"""Name -> formula: sums, differences, products and quotients of features, `log` and `missing`."""

# Parts of the first spike under each stimulus, compared with each other.
CONTRASTS_OF_EACH: Final = {
    "width_{s}": "fast_trough_t_{s} - threshold_t_{s}",
    "fast_drop_of_height_{s}": (
        "(threshold_v_{s} - fast_trough_v_{s}) / (peak_v_{s} - threshold_v_{s})"
    ),
    "fall_of_recovery_{s}": "(fast_trough_t_{s} - peak_t_{s}) / (trough_t_{s} - peak_t_{s})",
}
# Features that are compared between two stimuli, as a difference and as a quotient.
GAPS: Final = ("threshold_v", "peak_v", "fast_trough_v", "trough_v")
CHANGES: Final = ("height", "fall", "recovery", "rise_rate", "fall_rate")

OF_THE_TRAIN: Final = {
    "recovery_of_isi": "(trough_t_long_square - peak_t_long_square) / avg_isi",
    "fall_of_isi": "(fast_trough_t_long_square - peak_t_long_square) / avg_isi",
    "slow_recovery_of_isi": "(slow_trough_t_long_square - peak_t_long_square) / avg_isi",
    "later_drop_over_isi": "(fast_trough_v_long_square - trough_v_long_square) / avg_isi",
    "first_spike_over_isi": "threshold_t_long_square / avg_isi",
    "first_spike_over_tau": "threshold_t_long_square / tau",
    "latency_gap": "threshold_t_long_square - latency",
    "latency_change": "latency / threshold_t_long_square",
    "isi_over_latency": "avg_isi / latency",
    "adaptation_by_isi": "adaptation * avg_isi",
    "slope_by_isi": "f_i_curve_slope * avg_isi",
    "slope_by_rheobase": "f_i_curve_slope * threshold_i_long_square",
    "slope_by_resistance": "f_i_curve_slope * ri",
    "slope_by_tau": "f_i_curve_slope * tau",
}

OF_THE_MEMBRANE: Final = {
    # The current at threshold, compared with the current that a passive membrane would need.
    "rheobase_over_passive": (
        "threshold_i_long_square * ri / (1000 * (threshold_v_long_square - vrest))"
    ),
    "ramp_over_passive": "threshold_i_ramp * ri / (1000 * (threshold_v_ramp - vrest))",
    "short_voltage": "threshold_i_short_square * ri / 1000",
    "short_density": "threshold_i_short_square * ri / tau",
    "ramp_density": "threshold_i_ramp * ri / tau",
    "short_over_tau": "1000 * threshold_t_short_square / tau",
    "peak_above_rest": "peak_v_long_square - vrest",
    "slow_gap_long_square": "fast_trough_v_long_square - slow_trough_v_long_square",
    "drop_rate_long_square": (
        "(threshold_v_long_square - trough_v_long_square)"
        " / (trough_t_long_square - peak_t_long_square)"
    ),
    "sag_depth": "vm_for_sag - vrest",
    "sag_by_resistance": "sag * ri",
    "sag_by_tau": "sag * tau",
    "sag_conductance": "sag / (ri * (1 - sag))",
}

# Features that a formula and the threshold determine exactly: in absolute times and voltages, the
# time and voltage of the threshold mask the shape of a spike.
REPLACED: Final = {
    name.format(s=stimulus): formula.format(s=stimulus)
    for name, formula in {
        "peak_t_{s}": "rise_{s}",
        "fast_trough_t_{s}": "fall_{s}",
        "trough_t_{s}": "recovery_{s}",
        "slow_trough_t_{s}": "slow_recovery_{s}",
        "fast_trough_v_{s}": "fast_drop_{s}",
        "slow_trough_v_{s}": "slow_drop_{s}",
    }.items()
    for stimulus in FORMULA_STIMULI
}


def _between(one: str, other: str, gaps: Sequence[str]) -> dict[str, str]:
    """Return the formulas that compare the first spikes under two stimuli."""
    pair = f"{one}_to_{other}"
    formulas = {f"{name}_gap_{pair}": f"{name}_{one} - {name}_{other}" for name in gaps}
    for name in CHANGES:
        text = OF_EACH_STIMULUS[name + "_{s}"]
        formulas[f"{name}_change_{pair}"] = f"({text.format(s=one)}) / ({text.format(s=other)})"
    return formulas


def _with_contrasts() -> dict[str, str]:
    """Return all formulas by name in their fixed order, first those of `FORMULAS`."""
    each = {
        name.format(s=stimulus): text.format(s=stimulus)
        for name, text in CONTRASTS_OF_EACH.items()
        for stimulus in FORMULA_STIMULI
    }
    short, ramp = FORMULA_STIMULI[1:]
    # `FORMULAS` contains the other gaps to the long square, and the other quotients of the ratio.
    between = _between(short, FORMULA_STIMULI[0], ("trough_v",)) | _between(
        ramp, FORMULA_STIMULI[0], ("trough_v",)
    )
    ratio = "upstroke_downstroke_ratio"
    between |= _between(short, ramp, GAPS)
    between[f"ratio_change_{short}_to_{ramp}"] = f"{ratio}_{short} / {ratio}_{ramp}"
    return FORMULAS | each | between | OF_THE_TRAIN | OF_THE_MEMBRANE


FORMULAS_WITH_CONTRASTS: Final = _with_contrasts()
"""The same, with formulas that compare stimuli, or parts of a spike."""


def derive(columns: Mapping[str, Floats], formulas: Mapping[str, str] = FORMULAS) -> dict[str, Any]:
    """Return every derived feature whose inputs are among the columns, in fixed order.

    A value is NaN where an ingredient is, where something is divided by zero, and the logarithm of
    what is not positive; `missing` is 1 where a value is NaN, else 0.
    """
    trees = {name: ast.parse(text, mode="eval").body for name, text in formulas.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            name: _finite(_value(tree, columns))
            for name, tree in trees.items()
            if _ingredients(tree) <= columns.keys()
        }


def ingredients_of(text: str) -> frozenset[str]:
    """Return the names of the features in a formula."""
    return frozenset(_ingredients(ast.parse(text, mode="eval").body))


def _ingredients(tree: ast.expr) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names - FUNCTIONS.keys()


def _value(tree: ast.expr, columns: Mapping[str, Floats]) -> Any:
    if isinstance(tree, ast.BinOp):
        combine = OPERATORS[type(tree.op)]
        return combine(_value(tree.left, columns), _value(tree.right, columns))
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
        return FUNCTIONS[tree.func.id](_value(tree.args[0], columns))
    if isinstance(tree, ast.Name):
        return columns[tree.id]
    if isinstance(tree, ast.Constant):
        return tree.value
    raise ValueError(f"a formula cannot contain {ast.unparse(tree)!r}")


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _missing(values: Floats) -> Floats:
    return np.isnan(values).astype(np.float64)


OPERATORS: Final[dict[type[ast.operator], Callable[..., Any]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {"log": np.log, "missing": _missing}
