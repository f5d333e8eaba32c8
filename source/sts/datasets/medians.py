"""The medians of all features, data set by data set, side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.datasets.cells import find_tables
from sts.datasets.check import ranges
from sts.datasets.column_maps import read_column_map
from sts.datasets.ep_tables import (
    EpTable,
    read_ep_table,
)
from sts.datasets.feature_sets import UNITS
from sts.datasets.laboratories import find_laboratories, read_laboratory
from sts.datasets.table import OWN_TABLE
from sts.signals.feature_names import FEATURES

# Mark of a median outside the plausible range: the unit, or the origin of times, is wrong.
RANGE_MARK = "!"


@dataclass(frozen=True, kw_only=True)
class Medians:
    """Medians as text, and the files that could not be read."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The first row has the number of cells; "" if a data set does not have a feature."""
    faults: tuple[str, ...]
    sets: Mapping[str, EpTable]
    """The tables of features behind the medians, by the name of the data set."""

    @property
    def has_marks(self) -> bool:
        """Tell whether any median is outside the plausible range."""
        return any(text.endswith(RANGE_MARK) for row in self.rows for text in row)


def compare_medians(
    data: Path, *, table: Path | None = None, columns: Path | None = None
) -> Medians:
    """Return the medians of the data sets in a folder, and of a table for comparison.

    Parameters
    ----------
    columns
        The map of the columns of the table.
    """
    faults: list[str] = []
    sets = dict(_read_sets(data, faults))
    if table is not None:
        mapped = None if columns is None else read_column_map(columns)
        sets[table.stem] = read_ep_table(table, columns=mapped)
    return tabulate_medians(sets, faults)


def tabulate_medians(sets: Mapping[str, EpTable], faults: Sequence[str] = ()) -> Medians:
    """Return the medians of data sets whose tables are given."""
    rows = [("cells", "", *(str(len(each)) for each in sets.values()))]
    for name in FEATURES:
        rows.append((name, UNITS[name], *(_median(each, name) for each in sets.values())))
    return Medians(
        header=("feature", "unit", *sets), rows=tuple(rows), faults=tuple(faults), sets=sets
    )


def _read_sets(data: Path, faults: list[str]) -> Iterator[tuple[str, EpTable]]:
    """Yield the published data sets and the measured tables in a folder of data."""
    published: dict[str, Callable[[], EpTable]] = {
        name: partial(read_laboratory, name, data) for name in find_laboratories(data)
    }
    own: dict[str, Callable[[], EpTable]] = {
        str(path.relative_to(data)): partial(read_ep_table, path)
        for path in find_tables(data)
        if path.name == OWN_TABLE
    }
    for name, read in (published | own).items():
        try:
            yield name, read()
        except StsError as error:
            faults.append(f"{name}: {error}")


def _median(table: EpTable, name: str) -> str:
    values = table.columns()[name]
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    median, bounds = float(np.median(values)), ranges()[name]
    return f"{median:.4g}" + ("" if bounds.low <= median <= bounds.high else f" {RANGE_MARK}")
