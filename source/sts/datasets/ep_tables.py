"""Tables of electrophysiology features: cells in rows, features in columns, from several files."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, ParamSpec, Self, TypeVar

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv
from sts.base.types import CLASSES, Bools, Floats, Ints, Texts
from sts.datasets.column_maps import ColumnMap, require_columns, translate_row
from sts.datasets.labels import KEY, UNSURE, CellLabel
from sts.datasets.table import (
    OWN_TABLE,
    PUBLISHED_TABLES,
    check_id,
    check_name,
    read_features,
    read_number,
)
from sts.signals.feature_names import FEATURES, PUBLISHED_ONSET_S, TIME_FEATURES, TIME_FRAMES

logger = logging.getLogger("sts")
P = ParamSpec("P")
T = TypeVar("T")

# A spike on a step of 3 ms occurs within this time of the onset: later times have another origin.
LATEST_SHORT_SQUARE_S: Final = 0.1
# Number of absent columns that an error names.
MOST_NAMED: Final = 8
IDENTITY: Final = ("specimen_id", "donor_id", "label", "dataset", "claimed_id")


@dataclass(frozen=True, kw_only=True, eq=False)
class EpTable:
    """The features of n cells and their identity; row i of every array is cell i."""

    specimen_id: Texts
    donor_id: Texts
    """Empty if unknown, as are `label` and `dataset`."""
    label: Texts
    dataset: Texts
    claimed_id: Texts
    """The id in the file if other files have it too; the cell is then named by its file."""
    X: Floats
    """(n, features) float64, NaN where one is missing; times in s from the stimulus onset."""
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.specimen_id)

    @property
    def truth(self) -> Ints:
        """Return the index into CLASSES of each cell, -1 if its class is unknown."""
        places = {label: index for index, label in enumerate(CLASSES)}
        return np.array([places.get(label, -1) for label in self.label.tolist()], dtype=np.int64)

    def rows(self, which: Bools | Ints) -> Self:
        """Return the table of the cells that a mask or indices choose, in that order."""
        arrays: dict[str, Any] = {
            field.name: getattr(self, field.name)[which]
            for field in fields(self)
            if field.name != "names"
        }
        return replace(self, **arrays)

    def columns(self) -> dict[str, Floats]:
        """Return the features by name, (n,) each."""
        return dict(zip(self.names, self.X.T, strict=True))


def find_ep_tables(data: Path) -> list[Path]:
    """Return the published feature tables in `data`, then the measured ones."""
    published = [data / name for name in PUBLISHED_TABLES]
    own = [data / OWN_TABLE, *sorted(data.glob(f"*/{OWN_TABLE}"))]
    paths = [path for path in (*published, *own) if path.is_file()]
    if not paths:
        raise StsError(
            f"no feature table in {data}: fetch the published ones with `data_pipeline.py fetch "
            "sts-tables`, measure recordings with `data_pipeline.py features`, or try --demo"
        )
    return paths


def load_ep_tables(
    paths: Sequence[Path],
    *,
    needed: Sequence[str] = FEATURES,
    columns: ColumnMap | None = None,
) -> EpTable:
    """Return the cells of all files, ordered by specimen id, with the features that are needed.

    A specimen in several files is taken from the first of them.
    """
    return join_ep_tables([read_ep_table(path, needed=needed, columns=columns) for path in paths])


def join_ep_tables(tables: Sequence[EpTable]) -> EpTable:
    """Return the cells of all tables, each from the first that contains it, ordered by id."""
    arrays = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in (*IDENTITY, "X")
    }
    whole = EpTable(**arrays, names=tables[0].names)
    # The first row of each id, sorted by id: the order of rows and columns has no effect.
    _, first = np.unique(whole.specimen_id, return_index=True)
    if left_out := len(whole) - len(first):
        logger.info("%d rows of specimens that an earlier table contains are left out", left_out)
    return whole.rows(first)


def read_ep_table(
    path: str | Path, *, needed: Sequence[str] = FEATURES, columns: ColumnMap | None = None
) -> EpTable:
    """Return a feature table: published, measured here, or the user's own.

    Parameters
    ----------
    needed
        Names of FEATURES; a file without one of them is refused, other columns are not read.
    columns
        The map of the columns of the file. With it, a feature without a column is missing in every
        cell, and is no error.
    """
    path = Path(path)
    names = tuple(name for name in FEATURES if name in set(needed))
    rows = _read_rows(path)
    if columns is not None:
        rows = _translated(rows, columns, path, names)
    header = frozenset(rows[0])
    if columns is None and {"status", "notes"} <= header:
        return _once(_measured(path, names), path)
    key = "cell_specimen_id" if KEY not in header and "cell_specimen_id" in header else KEY
    if missing := [name for name in (key, *names) if name not in header]:
        named, others = missing[:MOST_NAMED], len(missing[MOST_NAMED:])
        more = f" and {others} more" if others else ""
        raise StsError(
            f"no column {', '.join(map(repr, named))}{more} in {path}; if its columns have other "
            "names, map them with --columns"
        )
    dataset = _published_as(key, header)
    table = EpTable(
        specimen_id=np.array([_id(row[key], path, at) for at, row in enumerate(rows)]),
        donor_id=_names(rows, "donor_id", path),
        label=np.array([_label(row.get("label", ""), path, at) for at, row in enumerate(rows)]),
        dataset=np.array([name or dataset for name in _names(rows, "dataset", path).tolist()]),
        claimed_id=_names(rows, "claimed_id", path),
        X=np.array(
            [[_number(row[name], name, path, at) for name in names] for at, row in enumerate(rows)]
        ).reshape(len(rows), len(names)),
        names=names,
    )
    if dataset:
        table = _shifted(table, -PUBLISHED_ONSET_S[dataset])
    return _once(_from_onset(table, path), path)


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise StsError(f"no feature table {path}: name a CSV file with the column {KEY}")
    rows = read_csv(path, [])
    if not rows:
        raise StsError(f"no cell in {path}: a header and a line for each cell are needed")
    return rows


def _translated(
    rows: Sequence[Mapping[str, str]], columns: ColumnMap, path: Path, names: Sequence[str]
) -> list[dict[str, str]]:
    """Return the rows with our names, and log how many features the file has."""
    require_columns(rows[0], columns, title=str(path))
    translated = [
        dict.fromkeys(names, "") | _checked(path, at, translate_row, row, columns)
        for at, row in enumerate(rows)
    ]
    there = sum(any(row[name] for row in translated) for name in names)
    if names and not there:
        raise StsError(f"no column of {path} is a feature: name some of them in {columns.path}")
    logger.info("%s has %d of %d features, by %s", path, there, len(names), columns.path.name)
    return translated


def _published_as(key: str, columns: frozenset[str]) -> str:
    """Return the data set of a published table, "" for another table."""
    if key != KEY:
        return "PatchSeq"
    # Columns that only the export of the Allen Cell Types Database has.
    allen = {"rheobase_sweep_id", "thumbnail_sweep_id"} <= columns
    return "PatchClamp" if allen else ""


def _measured(path: Path, names: tuple[str, ...]) -> EpTable:
    """Return the cells that `features` could measure."""
    rows = [row for row in read_features(path) if row.status == "ok"]
    if not rows:
        raise StsError(f"no cell in {path} could be measured: its column reason says why")
    X = np.array([[row.values[name] for name in names] for row in rows])
    table = EpTable(
        specimen_id=np.array([row.specimen_id for row in rows]),
        donor_id=np.array([row.donor_id for row in rows]),
        label=np.array([_label(row.label, path, at) for at, row in enumerate(rows)]),
        dataset=np.array([row.dataset for row in rows]),
        claimed_id=np.array([row.claimed_id for row in rows]),
        X=X.reshape(len(rows), len(names)),
        names=names,
    )
    return _shifted(table, -TIME_FRAMES[rows[0].times])


def _once(table: EpTable, path: Path) -> EpTable:
    """Return the table without repeated rows; refuse rows of one specimen that differ."""
    ids, first, place = np.unique(table.specimen_id, return_index=True, return_inverse=True)
    earlier = table.rows(first[place])
    # A missing value repeats a missing one.
    same = (table.X == earlier.X) | (np.isnan(table.X) & np.isnan(earlier.X))
    unlike = ~same.all(axis=1) | (table.label != earlier.label)
    if unlike.any():
        raise StsError(
            f"{path} contains specimen {table.specimen_id[np.argmax(unlike)]} twice, with "
            "different values: keep one of them"
        )
    if len(ids) < len(table):
        logger.info("%d rows of %s repeat another one", len(table) - len(ids), path)
    return table.rows(np.sort(first))


def _from_onset(table: EpTable, path: Path) -> EpTable:
    """Return the table if its known times can be times from the onset."""
    short = table.columns().get("threshold_t_short_square", np.array([np.nan]))
    typical = float(np.median(short[np.isfinite(short)])) if np.isfinite(short).any() else 0.0
    if typical > LATEST_SHORT_SQUARE_S:
        raise StsError(
            f"the times in {path} do not count from the stimulus onset (typically "
            f"threshold_t_short_square is {typical:.3g} s, after a step of 3 ms): subtract the "
            "onset from every column *_t_*"
        )
    return table


def with_onsets(table: EpTable) -> EpTable:
    """Return the table with absolute sweep times, as published: the onset differs by data set."""
    known = table.dataset.tolist()
    onset_s = np.array(
        [PUBLISHED_ONSET_S[one_of(name, PUBLISHED_ONSET_S, "data set")] for name in known]
    )
    return _shifted(table, onset_s[:, None])


def _shifted(table: EpTable, seconds: float | Floats) -> EpTable:
    """Return the table with `seconds` added to the times under all three stimuli."""
    timed = np.array([name in TIME_FEATURES for name in table.names])
    return replace(table, X=table.X + np.where(timed, seconds, 0.0))


def with_labels(table: EpTable, labels: Mapping[str, CellLabel], *, origin: str) -> EpTable:
    """Return the table with the classes of a label file, which have priority over its own."""
    ids = table.specimen_id.tolist()
    matched = [labels.get(specimen) for specimen in ids]
    if not any(matched):
        raise StsError(
            f"none of the {len(labels)} labelled specimens of {origin} is in the feature tables, "
            f"which contain {ids[0]} and {len(ids) - 1} others: are they of the same cells?"
        )
    if strange := sorted(set(labels) - set(ids)):
        logger.warning(
            "%s labels specimens that are in no feature table (%d), such as %s",
            *(origin, len(strange), strange[0]),
        )
    parts: dict[str, Any] = {
        name: np.array(
            [
                (getattr(label, name) if label else "") or old
                for label, old in zip(matched, getattr(table, name).tolist(), strict=True)
            ]
        )
        for name in ("label", "dataset", "donor_id")
    }
    return replace(table, **parts)


def _names(rows: Sequence[Mapping[str, str]], column: str, path: Path) -> Texts:
    """Return a column of names, empty if the table does not have it."""
    what = f"the {column}"
    return np.array(
        [_checked(path, at, check_name, row.get(column, ""), what) for at, row in enumerate(rows)]
    )


def _id(text: str, path: Path, row: int) -> str:
    _checked(path, row, check_id, text)
    # A spreadsheet that read the id as a number may have added a fraction.
    return text[:-2] if re.fullmatch(r"\d+\.0", text) else text


def _label(text: str, path: Path, row: int) -> str:
    if text in ("", UNSURE):
        return ""
    _checked(path, row, check_name, text, "a class")
    return _checked(path, row, one_of, text, CLASSES, "class")


def _number(text: str, name: str, path: Path, row: int) -> float:
    return _checked(path, row, read_number, text, name)


def _checked(path: Path, row: int, check: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Return the result of a check; add the line to its error."""
    try:
        return check(*args, **more)
    except StsError as error:
        raise StsError(f"{_where(path, row)}: {error}") from error


def _where(path: Path, row: int) -> str:
    """Return file and line of a row; blank lines are not rows, and the first line has the names."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    filled = [number for number, text in enumerate(lines, start=1) if text.strip(", ;\t")]
    return f"{path}, line {filled[row + 1] if row + 1 < len(filled) else row + 2}"
