"""Features derived from the published ones, each a line of text that is also what is computed."""

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from sts.base.types import Floats

STIMULI: Final = ("long_square", "short_square", "ramp")

# Of the first spike under each stimulus, whose name takes the place of {s}: what the voltage at the
# electrode, the liquid junction and the begin of the sweep cancel out of.
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

# The short square and the ramp, in turn, beside the long square.
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
    found = {
        name.format(s=stimulus): text.format(s=stimulus)
        for name, text in OF_EACH_STIMULUS.items()
        for stimulus in STIMULI
    }
    found |= {
        name.format(s=stimulus): text.format(s=stimulus)
        for name, text in BESIDE_THE_LONG_SQUARE.items()
        for stimulus in STIMULI[1:]
    }
    return found | OF_THE_CELL


FORMULAS: Final = _table()
"""Name -> formula: sums, differences, products and quotients of features, `log` and `missing`."""


def derive(columns: Mapping[str, Floats], formulas: Mapping[str, str] = FORMULAS) -> dict[str, Any]:
    """Return every derived feature whose ingredients are among the columns, in fixed order.

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
    """Return the names of the features that a formula takes."""
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
    raise ValueError(f"a formula cannot hold {ast.unparse(tree)!r}")


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
