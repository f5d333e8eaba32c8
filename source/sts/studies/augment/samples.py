"""Rows of the first division to look at: real training cells, real held-out ones, and made ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from sts.augment.contract import GENERATORS
from sts.augment.evaluate import Bench
from sts.augment.neurons import Neurons
from sts.base.files import write_csv
from sts.base.types import Floats, Ints
from sts.studies.augment.results import GeneratedRows, Results

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
