"""What a benchmark found."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sts.augment.contract import GENERATORS
from sts.augment.division import Division
from sts.augment.grid import BASELINE, BORROW
from sts.augment.tasks import Task
from sts.base.types import Floats, Ints
from sts.evaluation.bootstrap import Interval
from sts.evaluation.metrics import PLAIN_SCORES
from sts.studies.augment.differences import Gain, score_levels
from sts.studies.augment.settings import Job
from sts.tabular.classifiers import VOTE


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedRows:
    """Rows that a generator made in the first division, in the units of the table."""

    rows: Floats
    """(n, features), NaN where a value is missing."""
    labels: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """All cells of a job, and what follows from them."""

    job: Job
    task: Task
    divided: tuple[Division, ...]
    rows: list[dict[str, Any]]
    fidelity: list[dict[str, Any]]
    """Rows of method, repeat, fold and a figure."""
    made: dict[str, GeneratedRows]
    """By method."""
    failed: dict[str, str]
    """Where cells are missing, and why."""
    notes: dict[tuple[str, str], int] = field(default_factory=dict)
    """By method and what it did otherwise than asked for: in how many divisions."""
    differences: list[Gain] = field(default_factory=list)
    folder: Path = Path()
    simulated: bool = False
    """Whether the neurons are made up."""

    @property
    def speaker(self) -> str:
        """Return the classifier that speaks for all where one must."""
        names = self.job.classifiers
        return VOTE if VOTE in names else names[-1]


def name_of(method: str) -> str:
    """Return what figures and tables call a method."""
    if method == BASELINE:
        return "None"
    return "Real neurons" if method == BORROW else GENERATORS[method].title


def baseline_of(results: Results) -> dict[str, dict[str, Interval]]:
    """Return the scores of every classifier on real training neurons alone."""
    levels = {
        score: score_levels(results.rows, score, protocol=results.job.protocol)
        for score in PLAIN_SCORES
    }
    keys = {name: (BASELINE, name, 0, 1.0) for name in results.job.classifiers}
    return {
        name: {score: levels[score][key] for score in PLAIN_SCORES}
        for name, key in keys.items()
        if key in levels["accuracy"]
    }


def fidelity_summary(results: Results) -> dict[str, dict[str, float]]:
    """Return the mean of every measure, by method and then by measure and side."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in results.fidelity:
        name = f"{row['measure']}, {row['against']}" if row["against"] else row["measure"]
        if np.isfinite(row["value"]):
            values.setdefault(row["method"], {}).setdefault(name, []).append(row["value"])
    return {
        method: {name: float(np.mean(several)) for name, several in found.items()}
        for method, found in values.items()
    }
