"""Features that are not what neurons have: out of range, in another unit, or copied."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Bools
from sts.datasets.ep_tables import EpTable
from sts.datasets.inventory import Inventory
from sts.datasets.ranges import ranges

# A feature that lies outside its range in this part of a table is in another unit, or its times
# count from another moment.
MOST: Final = 0.5


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
