"""The sets of features that a classifier can use, and the unit of each feature."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.files import read_json
from sts.datasets.ep_tables import EpTable, with_onsets
from sts.datasets.formulas import FORMULA_STIMULI, FORMULAS, derive, ingredients_of
from sts.signals.feature_names import FEATURES

# Instead of a unit: a ratio has none, and an indicator is 1 for yes and 0 for no.
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
# Features of the first spike under a stimulus; the stimulus is added to their names.
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
    units = OF_CELLS | {
        f"{name}_{stimulus}": unit
        for name, unit in OF_SPIKES.items()
        for stimulus in FORMULA_STIMULI
    }
    return {name: units[name] for name in (*FEATURES, *FORMULAS)}


UNITS: Final = _table()
"""The unit of every feature, measured or derived."""

# Usual names of features whose published names are difficult to recognise.
_TITLES: Final = {
    "threshold_i_long_square": "rheobase",
    "ri": "input resistance",
    "vrest": "resting potential",
    "f_i_curve_slope": "f-I slope",
}


def value_in_words(name: str, value: float) -> str:
    """Return a feature with its value and unit, such as "rheobase 210 pA"."""
    title, unit = _TITLES.get(name, name), UNITS[name]
    if value != value:
        return f"{title} missing"
    if unit == YES_OR_NO:
        return f"{title} {'yes' if value else 'no'}"
    return f"{title} {value:.4g} {unit}".rstrip()


T = TypeVar("T", bound=EpTable)
# Features of the first spike of the long square, and the features of the spike train that the
# published code used. It lost the average interval, because it renamed a column and then searched
# for the old name.
PAPER: Final = tuple(
    name
    for name in FEATURES
    if name.endswith("_long_square") or name in ("f_i_curve_slope", "adaptation", "latency")
)
FEATURE_SETS: Final = {
    "paper": PAPER,
    "paper+isi": (*PAPER, "avg_isi"),
    "shared": FEATURES,
    "engineered": (*FEATURES, *FORMULAS),
}
TIMES_FROM: Final = ("onset", "absolute")
KNOWN: Final = FEATURE_SETS["engineered"]


def feature_names(features: str) -> tuple[str, ...]:
    """Return the features of a set, or the features listed in a file, in their fixed order."""
    if features in FEATURE_SETS:
        return _ordered(FEATURE_SETS[features])
    path = Path(features)
    if not path.is_file():
        one_of(features, FEATURE_SETS, "set of features (or a file that lists them)")
    listed = _listed(path)
    if not listed:
        raise StsError(f"{path} lists no feature: it needs one name per line, or a JSON list")
    for name in listed:
        try:
            one_of(name, KNOWN, "feature")
        except StsError as error:
            # The list of all names would be longer than a line.
            raise StsError(f"{path}: {str(error).split(' choose from')[0]}") from error
    return _ordered(listed)


def feature_title(features: str) -> str:
    """Return the name of a set of features in folder names."""
    return features if features in FEATURE_SETS else Path(features).stem


def _listed(path: Path) -> list[str]:
    if path.suffix == ".json":
        names = read_json(path)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise StsError(f"{path} is not a JSON list of names")
        return list(names)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StsError(f"cannot read {path} as UTF-8 text: {error}") from error
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _ordered(names: Sequence[str]) -> tuple[str, ...]:
    wanted = set(names)
    return tuple(name for name in KNOWN if name in wanted)


def raw_features(names: Sequence[str]) -> tuple[str, ...]:
    """Return the measured features from which these features are derived."""
    needed = set(names) & set(FEATURES)
    for name in set(names) & FORMULAS.keys():
        needed |= ingredients_of(FORMULAS[name])
    return tuple(name for name in FEATURES if name in needed)


def with_features(table: T, names: Sequence[str], *, times: str = "onset") -> T:
    """Return the table of these features, measured and derived, in this order.

    Parameters
    ----------
    times
        The origin of the measured times: "onset", or "absolute" from the start of the sweep as
        published. Derived features use times from the onset.
    """
    one_of(times, TIMES_FROM, "origin of times")
    derived = {name: FORMULAS[name] for name in names if name in FORMULAS}
    measured = with_onsets(table) if times == "absolute" else table
    columns = measured.columns() | derive(table.columns(), derived)
    X = np.column_stack([columns[name] for name in names])
    return replace(table, X=np.ascontiguousarray(X), names=tuple(names))
