"""Between which bounds a feature of a neuron plausibly lies, and why."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final

from sts.base.files import read_csv
from sts.signals.features import FEATURES

RANGES: Final = Path(__file__).with_name("ranges.csv")


@dataclass(frozen=True, kw_only=True)
class Range:
    """Bounds of a feature, both included; times count from the stimulus onset."""

    low: float
    high: float
    unit: str
    reason: str


@cache
def ranges() -> dict[str, Range]:
    """Return the range of every measured feature."""
    rows = read_csv(RANGES, ["features", "low", "high", "unit", "reason"])
    found = {}
    for name in FEATURES:
        # The first line that fits holds: what is special stands above what is general.
        row = next(row for row in rows if fnmatchcase(name, row["features"]))
        found[name] = Range(
            low=float(row["low"]),
            high=float(row["high"]),
            unit=row["unit"],
            reason=row["reason"],
        )
    return found
