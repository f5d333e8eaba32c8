"""The grid of a benchmark: its cells, the file of finished ones, and one method on one division."""

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.augment.division import Division
from sts.augment.neurons import Neurons
from sts.augment.views import Preparing
from sts.base.files import read_csv, write_csv
from sts.evaluation.predictions import PLAIN_SCORES, RECALL
from sts.tabular.classifiers import CLASSIFIERS, VOTE

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


# Parts of the training rows at which the learning curve is drawn; all of them are the baseline.
CURVE: Final = (0.2, 0.4, 0.6, 0.8)
WEIGHTS: Final = "weights"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Which cells there are, and how each is made."""

    added: tuple[int, ...] = (100, 500, 1000)
    classifiers: tuple[str, ...] = (*CLASSIFIERS, VOTE)
    preparing: Preparing = field(default_factory=Preparing)
    tune: bool = False
    curves: bool = True
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One method on one division, with all that is needed to work on it anywhere."""

    method: str
    task: str
    division: Division
    neurons: Neurons
    grid: Grid
    lenders: Neurons | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the generator, where they differ from the tuned ones."""

    def cells(self) -> list[ScoreKey]:
        """Return the cells of this item."""
        return [
            ScoreKey(
                method=self.method,
                repeat=self.division.repeat,
                fold=self.division.fold,
                added=added,
                part=part,
                classifier=name,
            )
            for added, part in self._levels()
            for name in self.grid.classifiers
        ]

    def _levels(self) -> Iterator[tuple[int, float]]:
        if self.method in (BORROW, WEIGHTS):
            yield 0, 1.0
        elif self.method == BASELINE:
            # One repeat is enough for a curve.
            parts = CURVE if self.grid.curves and self.division.repeat == 0 else ()
            yield from ((0, part) for part in (*parts, 1.0))
        else:
            yield from ((added, 1.0) for added in self.grid.added)
