"""Neurons with features and a class, and the published tables of them."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.augment.curation import technical_columns
from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.base.types import Bools, Floats, Ints, Texts
from sts.datasets.labels import ETYPE, KEY, round_features
from sts.datasets.table import LARGEST, check_name
from sts.signals.feature_names import PUBLISHED_ONSET_S

logger = logging.getLogger("sts")

SUPERSEDED: Final = "superseded"
# Stimulus onset of the data set of both published tables.
ONSET_S: Final = PUBLISHED_ONSET_S["PatchClamp"]
# Prefix for neurons without an id.
UNNAMED: Final = "row-"
# Texts that mean a missing value, in any case.
ABSENT: Final = frozenset({"", "na", "n/a", "nan", "none", "null"})

_Row = Mapping[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Neurons:
    """The features of n neurons and their classes; row i of every array is neuron i."""

    specimen_id: Texts
    group: Texts
    """Neurons of the same group are on the same side of every split; equal values: one neuron."""
    y: Ints
    """Index into `classes`."""
    X: Floats
    """(n, features) float64, NaN where one is missing; times in s from the stimulus onset."""
    names: tuple[str, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.specimen_id)

    def rows(self, which: Bools | Ints) -> "Neurons":
        """Return the neurons selected by a mask or indices, in that order."""
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
        """Return the number of neurons of each class."""
        return np.bincount(self.y, minlength=len(self.classes))

    def fingerprint(self) -> str:
        """Return a digest of the ids, classes and features."""
        texts = [*self.names, *self.classes, *self.specimen_id.tolist(), *map(str, self.y.tolist())]
        digest = hashlib.sha256("\n".join(texts).encode())
        digest.update(np.ascontiguousarray(self.X).data)
        return digest.hexdigest()[:16]


def read_neuron_table(path: Path, *, known: Sequence[_Row] = ()) -> Neurons:
    """Return the neurons of a published table, each once, without technical columns.

    Parameters
    ----------
    known
        Rows of the published PatchClamp table. They give ids to neurons with the same values,
        where the file has no ids.
    """
    rows = _drop_repeats(_add_ids(_read_rows(path), known), path)
    # Sorted, so that the order of rows in the file has no effect.
    rows = sorted(rows, key=lambda row: row[KEY])
    technical = technical_columns(tuple(rows[0]))
    names = tuple(name for name in rows[0] if name not in (KEY, ETYPE, *technical))
    if not names:
        raise StsError(
            f"no feature in {path} besides technical columns: name the table of features"
        )
    labels = [row[ETYPE] for row in rows]
    classes = tuple(sorted(set(labels), key=_split_number))
    columns = [_read_column(rows, name, path) for name in names]
    return Neurons(
        specimen_id=np.array([row[KEY] for row in rows]),
        group=np.array([_fingerprint(row) or row[KEY] for row in rows]),
        y=np.array([classes.index(label) for label in labels], dtype=np.int64),
        X=np.column_stack(columns),
        names=names,
        classes=classes,
    )


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table by the names of its columns, each with a label."""
    rows = read_csv(path, (ETYPE,))
    for line, row in enumerate(rows, start=2):
        if "" in row:
            raise StsError(f"column {list(row).index('') + 1} of {path} has no name: name it")
        if not row[ETYPE] or not row.get(KEY, "row"):
            raise StsError(f"{path}, line {line}: no {ETYPE if not row[ETYPE] else KEY}")
        try:
            check_name(row[ETYPE], f"the {ETYPE}")
            check_name(row.get(KEY, ""), f"the {KEY}")
        except StsError as error:
            raise StsError(f"{path}, line {line}: {error}") from error
    if len({row[ETYPE] for row in rows}) < 2:
        raise StsError(f"{path} contains fewer than two e-types: nothing can be classified")
    return rows


def _fingerprint(row: _Row) -> str:
    """Return a digest that identifies a neuron in any table; "" without any value."""
    values = round_features(row)
    if set(values) == {"nan"}:
        return ""
    return hashlib.sha256("|".join(values).encode()).hexdigest()[:12]


def _split_number(label: str) -> tuple[str, int, str]:
    """Return a key that sorts Exc_2 before Exc_10."""
    stem, _, number = label.rpartition("_")
    return (stem, int(number), "") if number.isdecimal() else (label, 0, "")


def _read_column(rows: Sequence[_Row], name: str, path: Path) -> Floats:
    values = np.array([_read_value(row, name, path) for row in rows])
    return values - ONSET_S if "_t_" in name else values


def _read_value(row: _Row, name: str, path: Path) -> float:
    text = row[name]
    try:
        value = float("nan" if text.lower() in ABSENT else text)
    except ValueError as error:
        raise StsError(
            f"column {name!r} of {path}: {text!r} of specimen {row[KEY]} is no number; correct it, "
            "or leave it empty if it is unknown"
        ) from error
    if abs(value) > LARGEST:
        what = "an infinite value" if np.isinf(value) else f"{value:g}"
        raise StsError(f"column {name!r} of {path} contains {what} for {row[KEY]}; leave it empty")
    return value


def _add_ids(rows: list[dict[str, str]], known: Sequence[_Row]) -> list[dict[str, str]]:
    """Return the rows with specimen ids; unknown neurons get an id from their values."""
    if KEY in rows[0]:
        return rows
    ids: dict[str, list[str]] = {}
    for row in known:
        ids.setdefault(_fingerprint(row), []).append(row[KEY])
    identified = list(_identify(rows, ids))
    unnamed = sum(row[KEY].startswith(UNNAMED) for row in identified)
    if unnamed:
        logger.warning(
            "%d of %d rows have no specimen id and are in no table that gives one: equal values "
            "count as one neuron",
            *(unnamed, len(rows)),
        )
    return identified


def _identify(rows: list[dict[str, str]], ids: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    seen: Counter[str] = Counter()
    for number, row in enumerate(rows, start=1):
        mark = _fingerprint(row)
        names = (mark and ids.get(mark)) or [f"{UNNAMED}{mark or number}"]
        # Neurons with equal features get different ids; reconstructions of a neuron share one id.
        yield {**row, KEY: names[seen[mark] % len(names)]}
        seen[mark] += 1


def _drop_repeats(rows: list[dict[str, str]], path: Path) -> list[dict[str, str]]:
    """Return one row per specimen: the first that is not superseded, else the first."""
    kept: dict[str, dict[str, str]] = {}
    for row in rows:
        first = kept.setdefault(row[KEY], row)
        if first[ETYPE] != row[ETYPE]:
            raise StsError(
                f"specimen {row[KEY]} of {path} is {first[ETYPE]} in one row and {row[ETYPE]} in "
                "another: correct one of them"
            )
        if _is_superseded(first) and not _is_superseded(row):
            kept[row[KEY]] = row
    if len(kept) < len(rows):
        logger.info("%d rows of %s repeat a specimen and are left out", len(rows) - len(kept), path)
    return list(kept.values())


def _is_superseded(row: _Row) -> bool:
    return row.get(SUPERSEDED, "").lower() == "true"
