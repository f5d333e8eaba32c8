"""Which values of features are plausible, and which cells have others, or those of another cell."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.files import read_csv
from sts.base.types import Bools
from sts.datasets.ep_tables import EpTable
from sts.datasets.inventory import Inventory
from sts.signals.features import FEATURES

# A feature that lies outside its range in this part of a table is in another unit, or its times
# count from another moment.
MOST: Final = 0.5
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


@dataclass(frozen=True, kw_only=True)
class Case:
    """Where something is not as it should be."""

    where: str
    detail: str
    specimen_id: str = ""


def alike(inventory: Inventory) -> Iterator[Case]:
    """Find specimens of a table with exactly the features of another one."""
    for path, table in inventory.tables.items():
        first: dict[bytes, str] = {}
        for specimen, row in zip(table.specimen_id.tolist(), table.X, strict=True):
            key = np.nan_to_num(row, nan=np.inf).tobytes()
            if key in first:
                yield Case(where=str(path), detail=f"as {first[key]}", specimen_id=specimen)
            first.setdefault(key, specimen)


def other_unit(inventory: Inventory) -> Iterator[Case]:
    """Find features that are outside their range in most cells of a table."""
    for path, table in inventory.tables.items():
        for name, outside, known in _outside(table):
            if known.any() and outside.sum() > MOST * known.sum():
                yield Case(where=str(path), detail=_range_in_words(name))


def out_of_range(inventory: Inventory) -> Iterator[Case]:
    """Find single values outside their range."""
    for path, table in inventory.tables.items():
        for name, outside, known in _outside(table):
            if outside.sum() > MOST * known.sum():
                continue
            values = table.columns()[name]
            for row in np.flatnonzero(outside).tolist():
                detail = f"{values[row]:.4g}, {_range_in_words(name)}"
                specimen = str(table.specimen_id[row])
                yield Case(where=str(path), detail=detail, specimen_id=specimen)


def _outside(table: EpTable) -> Iterator[tuple[str, Bools, Bools]]:
    """Yield every feature, which cells lie outside its range, and which have it at all."""
    for name, values in table.columns().items():
        known = np.isfinite(values)
        bounds = ranges()[name]
        yield name, known & ((values < bounds.low) | (values > bounds.high)), known


def _range_in_words(name: str) -> str:
    bounds = ranges()[name]
    return f"{name} is plausible from {bounds.low:g} to {bounds.high:g} {bounds.unit}".rstrip()
