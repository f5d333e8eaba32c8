"""Neurons with features and a class, and the published tables of them, `;` separated."""

import csv
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.augment.curation import technical_columns
from sts.base.errors import StsError
from sts.base.types import Bools, Floats, Ints
from sts.datasets.labels import ETYPE, KEY, MATCHED
from sts.datasets.store import Texts
from sts.datasets.table import LARGEST, check_name
from sts.signals.features import PUBLISHED_ONSET_S

logger = logging.getLogger("sts")

SUPERSEDED: Final = "superseded"
# Both published tables are of cells of this data set, whose stimuli begin at its onset.
ONSET_S: Final = PUBLISHED_ONSET_S["PatchClamp"]
# In front of what a neuron is called that nothing gives an id.
UNNAMED: Final = "row-"
# What stands where a value is missing, in any case.
ABSENT: Final = frozenset({"", "na", "n/a", "nan", "none", "null"})
# Digits to which two tables agree about the same neuron.
DIGITS: Final = 9


@dataclass(frozen=True, kw_only=True, eq=False)
class Neurons:
    """The features of n neurons and their classes; row i of every array is neuron i."""

    specimen_id: Texts
    group: Texts
    """Neurons of one group stand on one side of every split: equal values are one neuron."""
    y: Ints
    """Index into `classes`."""
    X: Floats
    """(n, features) float64, NaN where one is missing; times in s from the stimulus onset."""
    names: tuple[str, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.specimen_id)

    def rows(self, which: Bools | Ints) -> "Neurons":
        """Return the neurons that a mask or indices choose, in that order."""
        return Neurons(
            specimen_id=self.specimen_id[which],
            group=self.group[which],
            y=self.y[which],
            X=self.X[which],
            names=self.names,
            classes=self.classes,
        )

    def columns(self) -> dict[str, Floats]:
        """Return the features by name, (n,) each."""
        return dict(zip(self.names, self.X.T, strict=True))

    def counts(self) -> Ints:
        """Return how many neurons are of each class."""
        return np.bincount(self.y, minlength=len(self.classes))

    def fingerprint(self) -> str:
        """Return a digest of who the neurons are, their classes and features."""
        texts = [*self.names, *self.classes, *self.specimen_id.tolist(), *map(str, self.y.tolist())]
        digest = hashlib.sha256("\n".join(texts).encode())
        digest.update(np.ascontiguousarray(self.X).data)
        return digest.hexdigest()[:16]


Row = Mapping[str, str]


def read_neuron_table(path: Path, *, known: Sequence[Row] = ()) -> Neurons:
    """Return the neurons of a published table, each once, without technical columns.

    Parameters
    ----------
    known
        Rows of the published PatchClamp table, by whose values neurons are recognised where the
        file has no ids.
    """
    rows = _without_older(_with_ids(_rows(path), known), path)
    # Sorted: the order of rows in the file plays no part.
    rows = sorted(rows, key=lambda row: row[KEY])
    technical = technical_columns(tuple(rows[0]))
    names = tuple(name for name in rows[0] if name not in (KEY, ETYPE, *technical))
    if not names:
        raise StsError(
            f"no feature in {path} besides technical columns: name the table of features"
        )
    labels = [row[ETYPE] for row in rows]
    classes = tuple(sorted(set(labels), key=_natural))
    columns = [_numbers(rows, name, path) for name in names]
    return Neurons(
        specimen_id=np.array([row[KEY] for row in rows]),
        group=np.array([_mark(row) or row[KEY] for row in rows]),
        y=np.array([classes.index(label) for label in labels], dtype=np.int64),
        X=np.column_stack(columns),
        names=names,
        classes=classes,
    )


def _mark(row: Row) -> str:
    """Return what a neuron is recognised by in any of the tables; "" if it has nothing of it."""
    values = [_rounded(row.get(name, "")) for name in MATCHED]
    if set(values) == {"nan"}:
        return ""
    return hashlib.sha256("|".join(values).encode()).hexdigest()[:12]


def _rounded(text: str) -> str:
    try:
        return f"{float(text or 'nan'):.{DIGITS}g}"
    except ValueError:
        return "nan"


def _natural(label: str) -> tuple[str, int, str]:
    """Return what puts Exc_2 before Exc_10."""
    stem, _, number = label.rpartition("_")
    return (stem, int(number), "") if number.isdecimal() else (label, 0, "")


def _numbers(rows: Sequence[Row], name: str, path: Path) -> Floats:
    values = np.array([_number(row, name, path) for row in rows])
    return values - ONSET_S if "_t_" in name else values


def _number(row: Row, name: str, path: Path) -> float:
    text = row[name]
    try:
        value = float("nan" if text.lower() in ABSENT else text)
    except ValueError as error:
        raise StsError(
            f"column {name!r} of {path}: {text!r} of specimen {row[KEY]} is no number; correct it, "
            "or leave it empty where it is not known"
        ) from error
    if abs(value) > LARGEST:
        what = "an infinite value" if np.isinf(value) else f"{value:g}"
        raise StsError(f"column {name!r} of {path} holds {what} for {row[KEY]}; leave it empty")
    return value


def _with_ids(rows: list[dict[str, str]], known: Sequence[Row]) -> list[dict[str, str]]:
    """Return the rows with specimen ids; where none is found, one made from the values."""
    if KEY in rows[0]:
        return rows
    ids: dict[str, list[str]] = {}
    for row in known:
        ids.setdefault(_mark(row), []).append(row[KEY])
    identified = list(_identified(rows, ids))
    strange = sum(row[KEY].startswith(UNNAMED) for row in identified)
    if strange:
        logger.warning(
            "%d of %d rows have no specimen id and are in no table that gives one: equal values "
            "count as one neuron",
            *(strange, len(rows)),
        )
    return identified


def _identified(
    rows: list[dict[str, str]], ids: Mapping[str, list[str]]
) -> Iterator[dict[str, str]]:
    older: Counter[str] = Counter()
    for number, row in enumerate(rows, start=1):
        mark = _mark(row)
        names = (mark and ids.get(mark)) or [f"{UNNAMED}{mark or number}"]
        # Two neurons equal in all features take turns; reconstructions of one share its only id.
        yield {**row, KEY: names[older[mark] % len(names)]}
        older[mark] += 1


def _without_older(rows: list[dict[str, str]], path: Path) -> list[dict[str, str]]:
    """Return one row a specimen: the one that is not superseded, else the first."""
    kept: dict[str, dict[str, str]] = {}
    for row in rows:
        before = kept.setdefault(row[KEY], row)
        if before[ETYPE] != row[ETYPE]:
            raise StsError(
                f"specimen {row[KEY]} of {path} is {before[ETYPE]} in one row and {row[ETYPE]} in "
                "another: correct one of them"
            )
        if _is_older(before) and not _is_older(row):
            kept[row[KEY]] = row
    if len(kept) < len(rows):
        logger.info("%d rows of %s repeat a specimen and are left out", len(rows) - len(kept), path)
    return list(kept.values())


def _is_older(row: Row) -> bool:
    return row.get(SUPERSEDED, "").lower() == "true"


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table by the names of its columns, each with a label."""
    (_, columns), *lines = _lines(path)
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise StsError(f"column {twice[0]!r} stands in {path} twice: leave one of them")
    if "" in columns:
        raise StsError(f"column {columns.index('') + 1} of {path} has no name: name or remove it")
    rows = []
    for number, values in lines:
        if len(values) != len(columns):
            raise StsError(
                f"{path}, line {number}: {len(columns)} values wanted, not {len(values)}"
            )
        row = dict(zip(columns, values, strict=True))
        if not row[ETYPE] or not row.get(KEY, "row"):
            raise StsError(f"{path}, line {number}: no {ETYPE if not row[ETYPE] else KEY}")
        _check_names(row, f"{path}, line {number}")
        rows.append(row)
    if len({row[ETYPE] for row in rows}) < 2:
        raise StsError(f"{path} holds fewer than two e-types: there is nothing to tell apart")
    return rows


def _check_names(row: Row, where: str) -> None:
    try:
        check_name(row[ETYPE], f"the {ETYPE}")
        check_name(row.get(KEY, ""), f"the {KEY}")
    except StsError as error:
        raise StsError(f"{where}: {error}") from error


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return number and values of every line that is not blank, the first being the columns."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True)
        cells = ((reader.line_num, [cell.strip() for cell in line]) for line in reader)
        lines = [(number, line) for number, line in cells if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StsError(f"cannot read {path}: {str(error).lower()}") from error
    if not lines or ETYPE not in lines[0][1]:
        raise StsError(
            f"no labels in {path}: a column {ETYPE!r} is wanted, columns separated by `;`"
        )
    return lines
