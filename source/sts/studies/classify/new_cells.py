"""The cells that PREDICT looks at: from recordings, a data set that was built, or a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.logs import printable
from sts.datasets.cell_files import CellFiles
from sts.datasets.column_maps import read_column_map
from sts.datasets.ep_tables import (
    OWN_TABLE,
    EpTable,
    find_ep_tables,
    load_ep_tables,
    read_ep_table,
)
from sts.datasets.identity import require_stores
from sts.datasets.isolated import process_cells
from sts.datasets.outcomes import BuildSettings, Outcome
from sts.datasets.products import CELLS_NAME, Row, make_rows, store_of
from sts.datasets.store import SweepStore, load_store, merge_stores
from sts.datasets.table import CellRow, FeatureRow, read_cells, read_features
from sts.recordings.readers import find_recordings
from sts.reports.called import Called
from sts.signals.features import FEATURES


@dataclass(frozen=True, kw_only=True)
class CellSource:
    """Where new cells come from: one of the three."""

    recordings: tuple[str, ...] = ()
    """Files, or folders of them."""
    cells_from: str = ""
    """The folder of a data set that was built, or of several, or a file of one."""
    table: str = ""
    """A table of features."""
    columns: str = ""
    """A file that says which of its columns are which features."""
    reading: BuildSettings = field(default_factory=BuildSettings)
    """How recordings are read."""


def find_new_sweeps(
    source: CellSource, *, workers: int = 0
) -> tuple[list[Called], SweepStore | None]:
    """Return all that was met, and the sweeps of those whose status is ok, in their order."""
    if source.cells_from:
        return _stored(Path(source.cells_from))
    outcomes = _read(source, workers)
    rows = make_rows("store", outcomes, {}, "")
    good = [row for row in rows if isinstance(row, CellRow) and row.status == "ok"]
    return _called(rows), store_of(outcomes, good) if good else None


def find_new_features(
    source: CellSource, *, needed: Sequence[str], workers: int = 0
) -> tuple[list[Called], EpTable | None]:
    """Return all that was met, and the features of those whose status is ok, in their order."""
    if source.cells_from:
        return _measured(Path(source.cells_from), needed)
    if source.table:
        columns = read_column_map(Path(source.columns)) if source.columns else None
        table = read_ep_table(Path(source.table), needed=needed, columns=columns)
        return _called_in(table, source.table, {}), table
    rows = make_rows("features", _read(source, workers), {}, "")
    good = [row for row in rows if isinstance(row, FeatureRow) and row.status == "ok"]
    return _called(rows), _table_of(good) if good else None


def _read(source: CellSource, workers: int) -> list[Outcome]:
    """Read all recordings, several at once; return what became of them in a fixed order."""
    paths = dict.fromkeys(path for name in source.recordings for path in find_recordings(name))
    cells = []
    for path in paths:
        name = printable(str(path))
        cells.append(CellFiles(name=name, paths={name: path}))
    done = dict(process_cells(cells, source.reading, workers=workers))
    return [done[place] for place in range(len(cells))]


def _called(rows: Sequence[Row]) -> list[Called]:
    return [_called_of(row) for row in rows]


def _called_of(row: Row) -> Called:
    return Called(
        file=row.file,
        specimen_id=row.specimen_id,
        status=row.status,
        reason=row.reason,
        dataset=row.dataset,
        label=row.label,
        notes=row.flags if isinstance(row, CellRow) else row.notes,
    )


def _stored(place: Path) -> tuple[list[Called], SweepStore]:
    """Return the cells of built data sets, and what cells.csv says of the others."""
    paths = [place] if place.is_file() else require_stores(place)
    tables = [path.with_name(CELLS_NAME) for path in paths]
    rows = [row for path in tables if path.is_file() for row in read_cells(path)]
    known = {row.specimen_id: row for row in rows if row.status == "ok"}
    store = merge_stores([load_store(path) for path in paths])
    found = [
        _called_of(known[name]) if name in known else Called(file=str(paths[0]), specimen_id=name)
        for name in store.specimen_id.tolist()
    ]
    return [*found, *_called([row for row in rows if row.status != "ok"])], store


def _measured(place: Path, needed: Sequence[str]) -> tuple[list[Called], EpTable | None]:
    """Return the cells of measured data sets, and what features.csv says of the others."""
    if not place.exists():
        raise StsError(f"no folder {place}: name a data set that `data_pipeline.py build` made")
    paths = [place] if place.is_file() else find_ep_tables(place)
    rows = [row for path in paths if path.name == OWN_TABLE for row in read_features(path)]
    lost = _called([row for row in rows if row.status != "ok"])
    if rows and len(lost) == len(rows):
        return lost, None
    table = load_ep_tables(paths, needed=needed)
    known = {row.specimen_id: row for row in rows if row.status == "ok"}
    return [*_called_in(table, str(paths[0]), known), *lost], table


def _called_in(table: EpTable, file: str, known: dict[str, FeatureRow]) -> list[Called]:
    cells = zip(
        table.specimen_id.tolist(), table.dataset.tolist(), table.label.tolist(), strict=True
    )
    return [
        _called_of(known[name])
        if name in known
        else Called(file=file, specimen_id=name, dataset=dataset, label=label)
        for name, dataset, label in cells
    ]


def _table_of(rows: Sequence[FeatureRow]) -> EpTable:
    return EpTable(
        specimen_id=np.array([row.specimen_id for row in rows]),
        donor_id=np.array([row.donor_id for row in rows]),
        label=np.array([row.label for row in rows]),
        dataset=np.array([row.dataset for row in rows]),
        X=np.array([[row.values[name] for name in FEATURES] for row in rows]),
        names=FEATURES,
    )
