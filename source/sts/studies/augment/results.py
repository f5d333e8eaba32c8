"""What a benchmark found, and rows of its first division to look at."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import spearmanr

from sts.augment.contract import GENERATORS
from sts.augment.division import Division
from sts.augment.evaluate import Bench
from sts.augment.grid import BASELINE, BORROW
from sts.augment.neurons import Neurons
from sts.augment.tasks import Task
from sts.base.files import write_csv
from sts.base.types import Floats, Ints
from sts.evaluation.predictions import PLAIN_SCORES
from sts.evaluation.scores import Interval
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


TRAINING: Final = "real, training"
HELD_OUT: Final = "real, held out"
# Features in the figure.
SHOWN: Final = 12
# Features that follow each other more closely are drawn once.
ALIKE: Final = 0.9


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Rows in the units of the table, by where they come from."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    rows: dict[str, Floats]
    labels: dict[str, Ints]
    shown: tuple[int, ...]
    """Places of the features that are drawn: those by which the training cells differ most."""


def made_by(bench: Bench) -> GeneratedRows:
    """Return made rows, as many of each class as there are training cells."""
    labels, counts = np.unique(bench.view.y, return_counts=True)
    wanted = dict(zip(labels.tolist(), counts.tolist(), strict=True))
    rows, y = bench.synthetic(wanted, "samples")
    space = bench.view.space
    whole = np.full((len(rows), len(bench.fit.names)), np.nan)
    whole[:, space.kept] = space.inverse(rows)
    return GeneratedRows(rows=whole, labels=y)


def make_samples(results: Results) -> Samples | None:
    """Return what was made beside both real sides; None if nothing was."""
    if not results.made:
        return None
    neurons, division = results.task.neurons, results.divided[0]
    fit, scored = neurons.rows(division.fit), neurons.rows(division.scored)
    made = {GENERATORS[method].title: each for method, each in results.made.items()}
    return Samples(
        names=neurons.names,
        classes=neurons.classes,
        rows={TRAINING: fit.X, HELD_OUT: scored.X} | {n: each.rows for n, each in made.items()},
        labels={TRAINING: fit.y, HELD_OUT: scored.y} | {n: each.labels for n, each in made.items()},
        shown=_most_telling(fit),
    )


def _most_telling(neurons: Neurons) -> tuple[int, ...]:
    """Return the features whose class means vary most for their spread within classes."""
    ratios = []
    for column in neurons.X.T:
        known = np.isfinite(column)
        values, y = column[known], neurons.y[known]
        groups = [values[y == label] for label in np.unique(y)]
        means = np.array([each.mean() for each in groups])
        within = float(np.mean([each.var() for each in groups])) if groups else 0.0
        ratios.append(float(means.var()) / within if within > 0 else 0.0)
    chosen: list[int] = []
    for place in np.argsort(ratios)[::-1].tolist():
        if all(_alike(neurons.X[:, place], neurons.X[:, other]) < ALIKE for other in chosen):
            chosen.append(place)
    return tuple(chosen[:SHOWN])


def _alike(one: Floats, other: Floats) -> float:
    """Return how closely two features follow each other, by rank: 0 to 1."""
    known = np.isfinite(one) & np.isfinite(other)
    if min(len(np.unique(one[known])), len(np.unique(other[known]))) < 2:
        return 0.0
    return abs(float(spearmanr(one[known], other[known]).statistic))


def write_samples(path: Path, samples: Samples) -> None:
    """Write all rows with where they come from and their class."""
    write_csv(
        path,
        ("source", "class", *samples.names),
        (
            {
                "source": source,
                "class": samples.classes[label],
                **dict(zip(samples.names, row.tolist(), strict=True)),
            }
            for source, rows in samples.rows.items()
            for row, label in zip(rows, samples.labels[source], strict=True)
        ),
    )
