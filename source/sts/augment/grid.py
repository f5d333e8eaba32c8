"""The grid of a benchmark: the divisions of its neurons, and the scores of a method on each."""

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.augment.given import Condition
from sts.augment.neurons import Neurons
from sts.augment.preparation import RowPreparation
from sts.augment.tasks import SplitGroups, Task
from sts.base.errors import StsError
from sts.base.files import read_csv, write_csv
from sts.base.types import Ints
from sts.evaluation.predictions import PLAIN_SCORES, RECALL
from sts.tabular.classifiers import CLASSIFIERS, VOTE

DIVISION_PROTOCOLS: Final = ("cv", "paper")
# The paper holds out one in five neurons.
PAPER_PARTS: Final = 5
FEWEST_GRID_FOLDS: Final = 3
MOST_FOLDS: Final = 5
KEYS: Final = ("method", "repeat", "fold", "added", "part", "classifier")
TIME: Final = "seconds"
ABOUT: Final = ("setup", "how", "train_rows", "synthetic_rows", "scored_rows", TIME)
# The reference method: unchanged training rows.
BASELINE: Final = "none"
# The method that adds real neurons without morphology to the training rows.
BORROW: Final = "borrow"
# The method that adds the same neurons without their labels, which a classifier guesses.
UNLABELLED: Final = "unlabelled"
REAL_NEURONS: Final = (BORROW, UNLABELLED)
WEIGHTS: Final = "weights"
# Methods that correct probabilities: by class frequencies, or by thresholds chosen on inner folds.
PRIORS: Final = "priors"
THRESHOLDS: Final = "thresholds"
# Shares of the training rows in the learning curve, in addition to all rows.
CURVE: Final = (0.2, 0.4, 0.6, 0.8)

_Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """Training and scored neurons of one division, as indices of the neurons of the task."""

    repeat: int
    fold: int
    fit: Ints
    scored: Ints


def choose_fold_count(task: Task) -> int:
    """Return the number of neurons of the rarest class, limited to 3 to 5 folds."""
    counts = task.neurons.counts()
    return int(np.clip(counts[counts > 0].min(), FEWEST_GRID_FOLDS, MOST_FOLDS))


def divide_neurons(
    task: Task, protocol: str, *, folds: int, repeats: int, seed: int
) -> list[Division]:
    """Return the divisions of a protocol. Neurons on which settings were chosen are not scored.

    Tasks with the same groups share their divisions: with the same folds and seed, a neuron is on
    the same side in all tasks. The paper's protocol repeats one division with other seeds.
    """
    if protocol == "paper":
        fold_of = deal_groups(task.groups, PAPER_PARTS, np.random.default_rng([seed, 0]))
        return [_divide(task, fold_of, repeat=repeat, fold=0) for repeat in range(repeats)]
    if folds < FEWEST_GRID_FOLDS:
        raise StsError(f"--folds must be at least {FEWEST_GRID_FOLDS}, not {folds}")
    divisions = []
    for repeat in range(repeats):
        fold_of = deal_groups(task.groups, folds, np.random.default_rng([seed, repeat]))
        divisions += [_divide(task, fold_of, repeat=repeat, fold=fold) for fold in range(folds)]
    return divisions


def _divide(task: Task, fold_of: Mapping[str, int], *, repeat: int, fold: int) -> Division:
    # A group that is dealt to no fold is never scored.
    held_out = np.array([fold_of.get(group) == fold for group in task.neurons.group.tolist()])
    if not held_out.any() or held_out.all():
        groups = len(set(task.neurons.group.tolist()))
        raise StsError(
            f"{len(held_out)} neurons, {groups} of them with different values, are too few to "
            "divide: add neurons or lower --folds"
        )
    fit, scored = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    return Division(repeat=repeat, fold=fold, fit=fit, scored=scored)


def deal_groups(groups: SplitGroups, folds: int, rng: np.random.Generator) -> dict[str, int]:
    """Return the fold of each group, balanced within strata, within classes and overall."""
    order = rng.permutation(len(groups.group))
    counts: dict[str, Counter[int]] = {}
    fold_of: dict[str, int] = {}
    for row in sorted(order.tolist(), key=lambda row: str(groups.stratum[row])):
        keys = (f"s {groups.stratum[row]}", f"c {groups.label[row]}", "all")
        chances = rng.permutation(folds)
        fold = min(
            range(folds),
            key=lambda f: (*(counts.setdefault(key, Counter())[f] for key in keys), chances[f]),
        )
        for key in keys:
            counts[key][fold] += 1
        fold_of[str(groups.group[row])] = fold
    return fold_of


def divide_training_rows(
    y: Ints, folds: int, rng: np.random.Generator
) -> Iterator[tuple[Ints, Ints]]:
    """Yield training rows to fit on and training rows to score, stratified by class."""
    places = np.arange(len(y)).astype(str)
    labels = y.astype(str)
    fold_of = deal_groups(SplitGroups(group=places, stratum=labels, label=labels), folds, rng)
    fold = np.array([fold_of[place] for place in places])
    for each in range(folds):
        yield np.flatnonzero(fold != each), np.flatnonzero(fold == each)


@dataclass(frozen=True, kw_only=True)
class ScoreKey:
    """The key of a score in the grid."""

    method: str
    repeat: int
    fold: int
    added: int
    """Rows that are added to every class."""
    part: float
    """The share of the training rows that is used."""
    classifier: str


def score_key(row: _Row) -> ScoreKey:
    """Return the key of a row of scores."""
    return ScoreKey(**{name: row[name] for name in KEYS})


def score_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a table of scores."""
    return (*KEYS, *PLAIN_SCORES, *(RECALL + name for name in classes), *ABOUT)


def write_scores(path: Path, rows: Iterable[_Row], classes: Sequence[str]) -> None:
    """Write scores in the order of their keys."""
    write_csv(path, score_columns(classes), sort_scores(rows))


def sort_scores(rows: Iterable[_Row]) -> list[_Row]:
    """Return scores in the order of their keys."""
    return sorted(rows, key=lambda row: astuple(score_key(row)))


def read_scores(path: Path) -> list[dict[str, Any]]:
    """Return the scores that `write_scores` has written."""
    return [
        {name: _read_value(name, text) for name, text in row.items()}
        for row in read_csv(path, (*KEYS, *PLAIN_SCORES, *ABOUT))
    ]


def _read_value(name: str, text: str) -> Any:
    if name in ("method", "classifier", "setup", "how"):
        return text
    if name in ("repeat", "fold", "added", "train_rows", "synthetic_rows", "scored_rows"):
        return int(text)
    return float(text) if text else math.nan


def make_rng(seed: int, *words: str | int) -> np.random.Generator:
    """Return a random generator whose seed depends on these words."""
    numbers = (word if isinstance(word, int) else zlib.crc32(word.encode()) for word in words)
    return np.random.default_rng([seed, *numbers])


def make_seed(seed: int, *words: str | int) -> int:
    """Return a seed that depends on these words."""
    return int(make_rng(seed, *words).integers(2**31 - 1))


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The scores of a benchmark, and how each is computed."""

    added: tuple[int, ...] = (100, 500, 1000)
    classifiers: tuple[str, ...] = (*CLASSIFIERS, VOTE)
    preparation: RowPreparation = field(default_factory=RowPreparation)
    tune: bool = False
    curves: bool = True
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One method on one division, with all data for a worker."""

    method: str
    task: str
    division: Division
    neurons: Neurons
    grid: Grid
    borrowed: Neurons | None = None
    """Real neurons that the methods of REAL_NEURONS add."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the generator that differ from the tuned settings."""
    condition: Condition | None = None
    """What added rows must have; None: nothing in particular."""

    def score_keys(self) -> list[ScoreKey]:
        """Return the scores of this item, in the order in which they are computed."""
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
        """Yield rows added and the part of the training rows."""
        if self.method in (*REAL_NEURONS, WEIGHTS, PRIORS, THRESHOLDS):
            yield 0, 1.0
        elif self.method == BASELINE:
            # One repeat is enough for a learning curve.
            parts = CURVE if self.grid.curves and self.division.repeat == 0 else ()
            yield from ((0, part) for part in (*parts, 1.0))
        else:
            yield from ((added, 1.0) for added in self.grid.added)
