"""Features derived from the published ones: those of the baseline, and contrasts beside them."""

from collections.abc import Sequence
from typing import Final

from sts.datasets.formulas import FORMULAS as BASELINE
from sts.datasets.formulas import OF_EACH_STIMULUS, STIMULI

LONG, SHORT, RAMP = STIMULI

# Of the first spike under each stimulus: parts of it beside each other.
OF_EACH: Final = {
    "width_{s}": "fast_trough_t_{s} - threshold_t_{s}",
    "fast_drop_of_height_{s}": (
        "(threshold_v_{s} - fast_trough_v_{s}) / (peak_v_{s} - threshold_v_{s})"
    ),
    "fall_of_recovery_{s}": "(fast_trough_t_{s} - peak_t_{s}) / (trough_t_{s} - peak_t_{s})",
}
# What is compared between two stimuli, as a difference and as a quotient.
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
    # The current that a passive membrane would need, beside the one that it took.
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

# What says again, to the last digit, what a formula and the threshold say: absolute times and
# voltages hide the shape of a spike behind when and where it began.
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
    for stimulus in STIMULI
}


def _between(one: str, other: str, gaps: Sequence[str]) -> dict[str, str]:
    """Return what the first spikes under two stimuli are compared by."""
    pair = f"{one}_to_{other}"
    found = {f"{name}_gap_{pair}": f"{name}_{one} - {name}_{other}" for name in gaps}
    for name in CHANGES:
        text = OF_EACH_STIMULUS[name + "_{s}"]
        found[f"{name}_change_{pair}"] = f"({text.format(s=one)}) / ({text.format(s=other)})"
    return found


def _table() -> dict[str, str]:
    """Return all formulas by name, those of the baseline in front, in their fixed order."""
    each = {
        name.format(s=stimulus): text.format(s=stimulus)
        for name, text in OF_EACH.items()
        for stimulus in STIMULI
    }
    # The baseline holds the other gaps to the long square, and the other quotients of the ratio.
    between = _between(SHORT, LONG, ("trough_v",)) | _between(RAMP, LONG, ("trough_v",))
    ratio = "upstroke_downstroke_ratio"
    between |= _between(SHORT, RAMP, GAPS)
    between[f"ratio_change_{SHORT}_to_{RAMP}"] = f"{ratio}_{SHORT} / {ratio}_{RAMP}"
    return BASELINE | each | between | OF_THE_TRAIN | OF_THE_MEMBRANE


FORMULAS: Final = _table()
"""Name -> formula, in the language of `sts.datasets.formulas`."""
