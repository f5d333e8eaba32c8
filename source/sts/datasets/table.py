"""The tables beside a sweep store: what became of every cell, and the features of each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv, write_csv
from sts.datasets.checks import check_name, read_number
from sts.signals.features import FEATURES, ONSET, TIME_FRAMES

STATUSES: Final = ("ok", "excluded", "failed")
# Between the flags and notes of a cell; none of them has it inside.
SEPARATOR: Final = "; "


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """What became of one recording; NaN and None stand where there is nothing to say."""

    specimen_id: str
    status: str
    """`ok`, `excluded` (sound, but not what the study needs) or `failed`."""
    donor_id: str = ""
    label: str = ""
    dataset: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    file: str = ""
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
    values: Mapping[str, float] = field(default_factory=dict)
    times: str = ONSET
    """What its times count from: the onset, or a sweep's begin as a published table has it."""
    notes: tuple[str, ...] = ()


IDENTITY: Final = ("specimen_id", "donor_id", "label", "dataset")
FATE: Final = ("status", "reason", "file")
CELL_COLUMNS: Final = (
    *IDENTITY,
    *FATE,
    "flags",
    "rheobase_pa",
    "step_pa",
    "onset_s",
    "rheobase_sweep",
    "second_sweep",
)
FEATURE_COLUMNS: Final = (*IDENTITY, *FEATURES, "times", "notes", *FATE)


def write_cells(path: Path, rows: Iterable[CellRow]) -> None:
    """Write `cells.csv`."""
    lines = ({name: getattr(row, name) for name in CELL_COLUMNS} for row in rows)
    write_csv(
        path, CELL_COLUMNS, (line | {"flags": SEPARATOR.join(line["flags"])} for line in lines)
    )


def read_cells(path: str | Path) -> list[CellRow]:
    """Return the rows of `cells.csv`."""
    return [_cell_row(row, where) for row, where in _rows(Path(path), CELL_COLUMNS)]


def _cell_row(row: dict[str, str], where: str) -> CellRow:
    return CellRow(
        **{name: row[name] for name in (*IDENTITY, *FATE)},
        flags=_parts(row["flags"]),
        rheobase_pa=_number(row, "rheobase_pa", where),
        step_pa=_number(row, "step_pa", where),
        onset_s=_number(row, "onset_s", where),
        rheobase_sweep=_sweep(row, "rheobase_sweep", where),
        second_sweep=_sweep(row, "second_sweep", where),
    )


def write_features(path: Path, rows: Iterable[FeatureRow]) -> None:
    """Write `features.csv`, the features in their fixed order, all times in one frame."""
    rows = list(rows)
    if len(frames := sorted({row.times for row in rows})) > 1:
        raise ValueError(f"times of {path.name} count from {' and '.join(frames)}: choose one")
    write_csv(
        path,
        FEATURE_COLUMNS,
        (
            {name: getattr(row, name) for name in (*IDENTITY, "times", *FATE)}
            | dict(row.values)
            | {"notes": SEPARATOR.join(row.notes)}
            for row in rows
        ),
    )


def read_features(path: str | Path) -> list[FeatureRow]:
    """Return the rows of `features.csv`; times are those written, `times` says their frame."""
    rows = [_feature_row(row, where) for row, where in _rows(Path(path), FEATURE_COLUMNS)]
    if len(frames := sorted({row.times for row in rows})) > 1:
        raise StsError(
            f"times in {path} count from {' and '.join(frames)}: measure all its cells in one way"
        )
    return rows


def _feature_row(row: dict[str, str], where: str) -> FeatureRow:
    _known(row["times"], TIME_FRAMES, "frame of times", where)
    return FeatureRow(
        **{name: row[name] for name in (*IDENTITY, "times", *FATE)},
        values={name: _number(row, name, where) for name in FEATURES},
        notes=_parts(row["notes"]),
    )


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[dict[str, str], str]]:
    """Yield the rows of a table with a known status, and where each stands."""
    for line, row in enumerate(read_csv(path, columns), start=2):
        where = f"{path}, line {line}"
        _check_names(row, where)
        _known(row["status"], STATUSES, "status", where)
        yield row, where


def _known(name: str, choices: Iterable[str], what: str, where: str) -> None:
    try:
        one_of(name, choices, what)
    except StsError as error:
        raise StsError(f"{where}: {error}") from error


def _check_names(row: Mapping[str, str], where: str) -> None:
    """Refuse names that are too long or cannot be printed; a failed recording may have no id."""
    for name in (*IDENTITY, "status"):
        try:
            check_name(row[name], name)
        except StsError as error:
            raise StsError(f"{where}: {error}") from error


def _parts(text: str) -> tuple[str, ...]:
    return tuple(text.split(SEPARATOR)) if text else ()


def _number(row: dict[str, str], name: str, where: str) -> float:
    try:
        return read_number(row[name], name)
    except StsError as error:
        raise StsError(f"{where}: {error}") from error


def _sweep(row: dict[str, str], name: str, where: str) -> int | None:
    number = _number(row, name, where)
    if number != number:
        return None
    if number != int(number):
        raise StsError(f"{where}: {name} is {row[name]!r}, a whole number is wanted")
    return int(number)
