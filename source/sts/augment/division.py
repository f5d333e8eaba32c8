"""Which neurons are fitted on and which are scored: dealt out by group, classes evenly spread."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.augment.tasks import Task, Universe
from sts.base.errors import StsError
from sts.base.types import Ints

PROTOCOLS: Final = ("cv", "paper")
# The paper holds one in five neurons out.
PAPER_PARTS: Final = 5
FEWEST_FOLDS: Final = 3
MOST_FOLDS: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """Rows of a task's neurons on both sides of one division."""

    repeat: int
    fold: int
    fit: Ints
    scored: Ints


def fold_count(task: Task) -> int:
    """Return as many folds as the rarest class has neurons, at least 3 and at most 5."""
    counts = task.neurons.counts()
    return int(np.clip(counts[counts > 0].min(), FEWEST_FOLDS, MOST_FOLDS))


def divisions(task: Task, protocol: str, *, folds: int, repeats: int, seed: int) -> list[Division]:
    """Return the divisions of a protocol.

    Tasks that share a universe share them: with the same folds and seed, a neuron stands on the
    same side in all. In the paper's protocol the one division is repeated, other seeds at work.
    """
    if protocol == "paper":
        dealt = deal(task.universe, PAPER_PARTS, np.random.default_rng([seed, 0]))
        return [_division(task, dealt, repeat=repeat, fold=0) for repeat in range(repeats)]
    if folds < FEWEST_FOLDS:
        raise StsError(f"--folds must be at least {FEWEST_FOLDS}, not {folds}")
    found = []
    for repeat in range(repeats):
        dealt = deal(task.universe, folds, np.random.default_rng([seed, repeat]))
        found += [_division(task, dealt, repeat=repeat, fold=fold) for fold in range(folds)]
    return found


def _division(task: Task, dealt: dict[str, int], *, repeat: int, fold: int) -> Division:
    held_out = np.array([dealt[group] == fold for group in task.neurons.group.tolist()])
    if not held_out.any() or held_out.all():
        groups = len(set(task.neurons.group.tolist()))
        raise StsError(
            f"{len(held_out)} neurons, {groups} of them with values of their own, are too few to "
            "divide: add some or lower --folds"
        )
    return Division(
        repeat=repeat,
        fold=fold,
        fit=np.flatnonzero(~held_out),
        scored=np.flatnonzero(held_out),
    )


def deal(universe: Universe, folds: int, rng: np.random.Generator) -> dict[str, int]:
    """Return the fold of each group: within strata, within classes and in all as even as can be."""
    order = rng.permutation(len(universe.group))
    counts: dict[str, Counter[int]] = {}
    found: dict[str, int] = {}
    for row in sorted(order.tolist(), key=lambda row: str(universe.stratum[row])):
        keys = (f"s {universe.stratum[row]}", f"c {universe.label[row]}", "all")
        chances = rng.permutation(folds)
        fold = min(
            range(folds),
            key=lambda f: (*(counts.setdefault(key, Counter())[f] for key in keys), chances[f]),
        )
        for key in keys:
            counts[key][fold] += 1
        found[str(universe.group[row])] = fold
    return found


def nested(y: Ints, folds: int, rng: np.random.Generator) -> Iterator[tuple[Ints, Ints]]:
    """Yield rows to fit on and to score on within training rows, classes evenly spread."""
    places = np.arange(len(y)).astype(str)
    labels = y.astype(str)
    dealt = deal(Universe(group=places, stratum=labels, label=labels), folds, rng)
    fold = np.array([dealt[place] for place in places])
    for each in range(folds):
        yield np.flatnonzero(fold != each), np.flatnonzero(fold == each)
