"""Cells of the grid: what tells one from another, and the file in which finished ones are kept."""

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.files import read_csv, write_csv
from sts.evaluation.metrics import PLAIN_SCORES, RECALL

KEYS: Final = ("method", "repeat", "fold", "added", "part", "classifier")
TIME: Final = "seconds"
ABOUT: Final = ("setup", "how", "train_rows", "synthetic_rows", "scored_rows", TIME)
# Beside which all others are seen: training rows as they are.
BASELINE: Final = "none"
# Real neurons without morphology that join the training rows.
BORROW: Final = "borrow"

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ScoreKey:
    """One cell of the grid."""

    method: str
    repeat: int
    fold: int
    added: int
    """Rows that are added to every class."""
    part: float
    """Of the training rows that is used."""
    classifier: str


def key_of(row: Row) -> ScoreKey:
    """Return which cell a row is of."""
    return ScoreKey(**{name: row[name] for name in KEYS})


def columns_for(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a table of cells."""
    return (*KEYS, *PLAIN_SCORES, *(RECALL + name for name in classes), *ABOUT)


def write_scores(path: Path, rows: Iterable[Row], classes: Sequence[str]) -> None:
    """Write cells, one a row, in the order of their keys."""
    write_csv(path, columns_for(classes), in_order(rows))


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return cells in the order of their keys."""
    return sorted(rows, key=lambda row: astuple(key_of(row)))


def read_scores(path: Path) -> list[dict[str, Any]]:
    """Return what `write_scores` has written."""
    return [
        {name: _value(name, text) for name, text in row.items()}
        for row in read_csv(path, (*KEYS, *PLAIN_SCORES, *ABOUT))
    ]


WHOLE: Final = ("repeat", "fold", "added", "train_rows", "synthetic_rows", "scored_rows")
TEXT: Final = ("method", "classifier", "setup", "how")


def _value(name: str, text: str) -> Any:
    if name in TEXT:
        return text
    if name in WHOLE:
        return int(text)
    return float(text) if text else math.nan


def rng_of(seed: int, *words: str | int) -> np.random.Generator:
    """Return a generator of random numbers that belongs to these words alone."""
    return np.random.default_rng([seed, *(_number(word) for word in words)])


def seed_of(seed: int, *words: str | int) -> int:
    """Return a seed that belongs to these words alone."""
    return int(rng_of(seed, *words).integers(2**31 - 1))


def _number(word: str | int) -> int:
    return word if isinstance(word, int) else zlib.crc32(word.encode())
