"""The tables beside a sweep store, cells.csv and features.csv, and the texts allowed in them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv, write_csv
from sts.signals.feature_names import FEATURES, ONSET_FRAME, TIME_FRAMES

# The published tables, with the paths of the published repository, and the data set of each.
PUBLISHED_TABLES: Final = {
    "Split/PatchClamp_EP_features.csv": "PatchClamp",
    "Split/PatchSeq_EP_features.csv": "PatchSeq",
}
# Tables of `data_pipeline.py features`, in a folder of data or in the folders of data sets.
OWN_TABLE: Final = "features.csv"

LONGEST_NAME: Final = 200
# Larger than every measurement; the square of a larger number would be infinite.
LARGEST: Final = 1e15
# Number of letters of a wrong text that a message shows.
SHOWN_CHARACTERS: Final = 60
STATUSES: Final = ("ok", "excluded", "failed")
# Text between the flags and notes of a cell; no flag or note contains it.
FLAG_SEPARATOR: Final = "; "
ROW_IDENTITY: Final = ("specimen_id", "donor_id", "label", "dataset")
# Possible results of a recording.
FATE: Final = ("status", "reason", "file")
SWEEP_COLUMNS: Final = ("rheobase_sweep", "second_sweep")
AMOUNTS: Final = ("rheobase_pa", "step_pa", "onset_s")
# The last column of both tables; tables of earlier versions lack it.
CLAIMED: Final = "claimed_id"
CELL_COLUMNS: Final = (*ROW_IDENTITY, *FATE, "flags", *AMOUNTS, *SWEEP_COLUMNS)
FEATURE_COLUMNS: Final = (*ROW_IDENTITY, *FEATURES, "times", "notes", *FATE)


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """One recording in `cells.csv`; NaN and None mean unknown."""

    specimen_id: str
    status: str
    """`ok`, `excluded` (good, but without what the study needs) or `failed`."""
    donor_id: str = ""
    label: str = ""
    dataset: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    file: str = ""
    claimed_id: str = ""
    """The id in the file if other files have it too; the cell is then named by its file."""
    rheobase_pa: float = float("nan")
    step_pa: float = float("nan")
    onset_s: float = float("nan")
    rheobase_sweep: int | None = None
    second_sweep: int | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """The features of one recording, NaN where one is missing; none if its status is not `ok`."""

    specimen_id: str
    status: str = "ok"
    donor_id: str = ""
    label: str = ""
    dataset: str = ""
    reason: str = ""
    file: str = ""
    claimed_id: str = ""
    """As in CellRow."""
    values: Mapping[str, float] = field(default_factory=dict)
    times: str = ONSET_FRAME
    """The origin of its times: the onset, or the start of a sweep as in a published table."""
    notes: tuple[str, ...] = ()


def check_name(text: str, what: str) -> str:
    """Return a name unchanged, or raise an error if it cannot be one; empty text is allowed."""
    if len(text) > LONGEST_NAME:
        raise StsError(
            f"{what} has {len(text)} characters, at most {LONGEST_NAME} are allowed; it begins "
            f"{text[:SHOWN_CHARACTERS]!a}"
        )
    if not text.isprintable():
        raise StsError(
            f"{what} contains a character that cannot be printed: {text[:SHOWN_CHARACTERS]!a}"
        )
    return text


def check_id(text: str) -> str:
    """Return a specimen id unchanged, or raise an error if it cannot be one."""
    if not text:
        raise StsError("no specimen id; give every cell one")
    return check_name(text, "a specimen id")


def read_number(text: str, name: str) -> float:
    """Return a number, NaN for an empty text."""
    try:
        value = float(text or "nan")
    except ValueError:
        value = math.inf
    if abs(value) > LARGEST:
        raise StsError(
            f"{name} is {text[:SHOWN_CHARACTERS]!r}, a number is needed; leave unknown ones empty"
        )
    return value


@contextmanager
def locate_errors(where: str) -> Iterator[None]:
    """Put a place, such as a file and its line, before the text of an error inside the block."""
    try:
        yield
    except StsError as error:
        raise StsError(f"{where}: {error}") from error


def write_cells(path: Path, rows: Iterable[CellRow]) -> None:
    """Write `cells.csv`."""
    columns = (*CELL_COLUMNS, CLAIMED)
    lines = ({name: getattr(row, name) for name in columns} for row in rows)
    write_csv(
        path, columns, (line | {"flags": FLAG_SEPARATOR.join(line["flags"])} for line in lines)
    )


def read_cells(path: str | Path) -> list[CellRow]:
    """Return the rows of `cells.csv`."""
    rows = []
    for row, where in _read_rows(Path(path), CELL_COLUMNS):
        with locate_errors(where):
            numbers: dict[str, Any] = {name: read_number(row[name], name) for name in AMOUNTS}
            numbers |= {name: _read_sweep(row[name], name) for name in SWEEP_COLUMNS}
        rows.append(CellRow(**_texts(row), **numbers, flags=_split(row["flags"])))
    return rows


def write_features(path: Path, rows: Iterable[FeatureRow]) -> None:
    """Write `features.csv`, the features in their fixed order, all times in one frame."""
    rows = list(rows)
    if len(frames := sorted({row.times for row in rows})) > 1:
        raise ValueError(f"times of {path.name} count from {' and '.join(frames)}: choose one")
    write_csv(
        path,
        (*FEATURE_COLUMNS, CLAIMED),
        (
            {name: getattr(row, name) for name in (*ROW_IDENTITY, "times", *FATE, CLAIMED)}
            | dict(row.values)
            | {"notes": FLAG_SEPARATOR.join(row.notes)}
            for row in rows
        ),
    )


def read_features(path: str | Path) -> list[FeatureRow]:
    """Return the rows of `features.csv`; times are as written, with their origin in `times`."""
    rows = []
    for row, where in _read_rows(Path(path), FEATURE_COLUMNS):
        with locate_errors(where):
            times = one_of(row["times"], TIME_FRAMES, "frame of times")
            values = {name: read_number(row[name], name) for name in FEATURES}
        notes = _split(row["notes"])
        rows.append(FeatureRow(**_texts(row), values=values, times=times, notes=notes))
    if len(frames := sorted({row.times for row in rows})) > 1:
        raise StsError(
            f"times in {path} count from {' and '.join(frames)}: measure all its cells with one "
            "origin"
        )
    return rows


def _read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[dict[str, str], str]]:
    """Yield the rows of a table with a known status, and the place of each.

    Names that are too long or cannot be printed are refused; a failed recording may have no id.
    """
    for line, row in enumerate(read_csv(path, columns), start=2):
        where = f"{path}, line {line}"
        row.setdefault(CLAIMED, "")
        with locate_errors(where):
            for name in (*ROW_IDENTITY, "status", CLAIMED):
                check_name(row[name], name)
            one_of(row["status"], STATUSES, "status")
        yield row, where


def _texts(row: Mapping[str, str]) -> dict[str, Any]:
    return {name: row[name] for name in (*ROW_IDENTITY, *FATE, CLAIMED)}


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(FLAG_SEPARATOR)) if text else ()


def _read_sweep(text: str, name: str) -> int | None:
    number = read_number(text, name)
    if math.isnan(number):
        return None
    if number != int(number):
        raise StsError(f"{name} is {text!r}, a whole number is needed")
    return int(number)
