"""A benchmark on made-up neurons that is small enough for a test."""

from pathlib import Path
from typing import Any

import numpy as np

from sts.augment.grid import Item, divide_neurons
from sts.augment.simulated import write_simulated_tables
from sts.augment.tasks import load_task
from sts.base.workspace import Workspace
from sts.studies.augment.settings import Job, make_benchmark_job
from sts.studies.augment.store import Store, open_store

FEW = ("naive-bayes", "lda")
TIMES = ("seconds",)


def made_workspace(folder: Path) -> Workspace:
    """Return a workspace with simulated tables."""
    workspace = Workspace(folder)
    write_simulated_tables(workspace.data, np.random.default_rng(1))
    return workspace


def job_of(**changes: Any) -> Job:
    """Return a job of few cells."""
    given = {"classifiers": FEW, "added": (20,), "repeats": 1, "folds": 3, "fidelity": False}
    return make_benchmark_job(**{"methods": ("smote",), **given, **changes})


def first_item(place: Workspace, job: Job) -> tuple[Item, Store]:
    """Return SMOTE on the first fold, and where its cells are kept."""
    task = load_task("e", place.data)
    divided = divide_neurons(task, "cv", folds=3, repeats=1, seed=0)
    store = open_store(place.output, job, task, divided)
    item = Item(method="smote", task="e", division=divided[0], neurons=task.neurons, grid=job.grid)
    return item, store


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return cells as they are whenever they are scored."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
