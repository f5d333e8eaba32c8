"""Small tables of neurons whose truth is known."""

from pathlib import Path

import numpy as np

from sts.augment.grid import Division, divide_neurons
from sts.augment.neurons import Neurons
from sts.augment.simulated import write_simulated_tables
from sts.augment.tasks import Task, load_task

NAMES = ("vrest", "tau", "sag", "ri", "peak_t_ramp")


def blobs(counts: tuple[int, ...] = (30, 20, 12), *, seed: int = 0, apart: float = 2.0) -> Neurons:
    """Return classes around different means; a tenth of one feature is missing."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    X = rng.standard_normal((len(y), len(NAMES))) + apart * rng.standard_normal(
        (len(counts), len(NAMES))
    ).take(y, axis=0)
    X[rng.random(len(y)) < 0.1, 1] = np.nan
    ids = np.array([f"n{number}" for number in range(len(y))])
    return Neurons(
        specimen_id=ids,
        group=ids,
        y=y,
        X=X,
        names=NAMES,
        classes=tuple(f"class {label}" for label in range(len(counts))),
    )


def simulated_task(folder: Path, name: str = "e", *, features: str = "curated") -> Task:
    """Return a task of made-up tables."""
    if not (folder / "e-type.csv").is_file():
        write_simulated_tables(folder, np.random.default_rng(1))
    return load_task(name, folder, features=features)


def halves(neurons: Neurons, *, seed: int = 0) -> Division:
    """Return one division of neurons, one in three scored."""
    order = np.random.default_rng(seed).permutation(len(neurons))
    third = len(neurons) // 3
    return Division(repeat=0, fold=0, fit=np.sort(order[third:]), scored=np.sort(order[:third]))


def first_division(task: Task, *, folds: int = 3) -> Division:
    """Return the first fold of a task."""
    return divide_neurons(task, "cv", folds=folds, repeats=1, seed=0)[0]
