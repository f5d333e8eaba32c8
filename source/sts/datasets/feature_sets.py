"""Which features a classifier is given: published sets, derived ones, or a list of one's own."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.files import read_json
from sts.datasets.ep_tables import EpTable, with_onsets
from sts.datasets.formulas import FORMULAS, derive, ingredients_of
from sts.signals.features import FEATURES

# The first spike of the long square, and of the train what the published code gave its model. It
# lost the average interval by renaming a column before looking for its old name.
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
    """Return the features of a set, or those that a file lists, in their fixed order."""
    if features in FEATURE_SETS:
        return _ordered(FEATURE_SETS[features])
    path = Path(features)
    if not path.is_file():
        one_of(features, FEATURE_SETS, "set of features (or a file that lists them)")
    listed = _listed(path)
    if not listed:
        raise StsError(f"{path} lists no feature: a name a line, or a JSON list, is wanted")
    for name in listed:
        try:
            one_of(name, KNOWN, "feature")
        except StsError as error:
            # The list of all would be longer than a line.
            raise StsError(f"{path}: {str(error).split(' choose from')[0]}") from error
    return _ordered(listed)


def feature_title(features: str) -> str:
    """Return what a set of features is called in names of folders."""
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
    """Return the measured features that these are made of."""
    needed = set(names) & set(FEATURES)
    for name in set(names) & FORMULAS.keys():
        needed |= ingredients_of(FORMULAS[name])
    return tuple(name for name in FEATURES if name in needed)


def with_features(table: EpTable, names: Sequence[str], *, times: str = "onset") -> EpTable:
    """Return the table of these features, measured and derived, in this order.

    Parameters
    ----------
    times
        From which moment the measured times count: "onset", or "absolute" from the begin of the
        sweep as published. What is derived counts from the onset.
    """
    one_of(times, TIMES_FROM, "origin of times")
    derived = {name: FORMULAS[name] for name in names if name in FORMULAS}
    measured = with_onsets(table) if times == "absolute" else table
    columns = measured.columns() | derive(table.columns(), derived)
    X = np.column_stack([columns[name] for name in names])
    return replace(table, X=np.ascontiguousarray(X), names=tuple(names))
