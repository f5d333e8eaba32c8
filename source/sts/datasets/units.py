"""The units of all features, measured and derived, and what a reader calls them."""

from typing import Final

from sts.datasets.formulas import FORMULAS, STIMULI
from sts.signals.features import FEATURES

# In place of a unit: ratios have none, and an indicator is 1 for yes and 0 for no.
RATIO: Final = ""
YES_OR_NO: Final = "yes or no"

OF_CELLS: Final = {
    "vrest": "mV",
    "ri": "MOhm",
    "sag": RATIO,
    "tau": "ms",
    "vm_for_sag": "mV",
    "f_i_curve_slope": "spikes/s/pA",
    "adaptation": RATIO,
    "latency": "s",
    "avg_isi": "ms",
    "log_isi": "log ms",
    "isi_over_tau": RATIO,
    "latency_over_tau": RATIO,
    "capacitance": "pF",
    "rheobase_voltage": "mV",
    "rheobase_density": "pA/nF",
    "slope_over_resistance": "spikes/s/pA/MOhm",
    "sag_voltage": "mV",
    "missing_adaptation": YES_OR_NO,
    "missing_ramp": YES_OR_NO,
}
# Of the first spike under a stimulus, whose name stands behind the feature's.
OF_SPIKES: Final = {
    "threshold_v": "mV",
    "threshold_t": "s",
    "threshold_i": "pA",
    "peak_v": "mV",
    "peak_t": "s",
    "trough_v": "mV",
    "trough_t": "s",
    "fast_trough_v": "mV",
    "fast_trough_t": "s",
    "slow_trough_v": "mV",
    "slow_trough_t": "s",
    "upstroke_downstroke_ratio": RATIO,
    "height": "mV",
    "fast_drop": "mV",
    "slow_drop": "mV",
    "drop": "mV",
    "later_drop": "mV",
    "threshold_above_rest": "mV",
    "trough_above_rest": "mV",
    "rise": "s",
    "fall": "s",
    "recovery": "s",
    "slow_recovery": "s",
    "rise_rate": "mV/s",
    "fall_rate": "mV/s",
    "missing_slow_trough": YES_OR_NO,
    "threshold_gap": "mV",
    "peak_gap": "mV",
    "fast_trough_gap": "mV",
    "ratio_change": RATIO,
    "current_ratio": RATIO,
}


def _table() -> dict[str, str]:
    """Return the unit of every feature, in their fixed order."""
    found = OF_CELLS | {
        f"{name}_{stimulus}": unit for name, unit in OF_SPIKES.items() for stimulus in STIMULI
    }
    return {name: found[name] for name in (*FEATURES, *FORMULAS)}


UNITS: Final = _table()
"""Feature -> unit, of the 45 measured ones and of those that are derived from them."""

# What laboratories call a feature, where the published name hides it.
TITLES: Final = {
    "threshold_i_long_square": "rheobase",
    "ri": "input resistance",
    "vrest": "resting potential",
    "f_i_curve_slope": "f-I slope",
}


def value_in_words(name: str, value: float) -> str:
    """Return a feature with its value and unit, such as "rheobase 210 pA"."""
    title, unit = TITLES.get(name, name), UNITS[name]
    if value != value:
        return f"{title} missing"
    if unit == YES_OR_NO:
        return f"{title} {'yes' if value else 'no'}"
    return f"{title} {value:.4g} {unit}".rstrip()
