"""What a benchmark found."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sts.augment.classifiers import VOTE
from sts.augment.contract import GENERATORS
from sts.augment.division import Division
from sts.augment.grid import BASELINE, BORROW
from sts.augment.scoring import SCORES
from sts.augment.tasks import Task
from sts.base.types import Floats, Ints
from sts.evaluation.bootstrap import Interval
from sts.studies.augment.differences import Difference, levels_of
from sts.studies.augment.settings import Job


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
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
    made: dict[str, Made]
    """By method."""
    failed: dict[str, str]
    """Method and division, and why its cells are missing."""
    differences: list[Difference] = field(default_factory=list)
    folder: Path = Path()

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
        score: levels_of(results.rows, score, protocol=results.job.protocol) for score in SCORES
    }
    keys = {name: (BASELINE, name, 0, 1.0) for name in results.job.classifiers}
    return {
        name: {score: levels[score][key] for score in SCORES}
        for name, key in keys.items()
        if key in levels["accuracy"]
    }
