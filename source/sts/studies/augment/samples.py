"""Rows of generators beside real ones: as a table, and their densities as a figure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from sts.augment.curation import label_with_unit
from sts.augment.neurons import Neurons
from sts.base.files import write_csv
from sts.base.runs import Run
from sts.base.types import Floats, Ints
from sts.reports.benchmark_scores import method_title
from sts.reports.figures.augment_fidelity import draw_densities
from sts.studies.augment.results import Results

TRAINING_SOURCE: Final = "real, training"
HELD_OUT_SOURCE: Final = "real, held out"
# Number of features in the figure of densities.
DENSITIES: Final = 12
# Rank correlation above which only one of two features is drawn.
ALIKE: Final = 0.9


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Rows in the units of the table, by source."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    rows: dict[str, Floats]
    labels: dict[str, Ints]
    shown: tuple[int, ...]
    """Indices of the features that are drawn."""


def collect_samples(results: Results) -> Samples | None:
    """Return synthetic rows with real ones of both sides; None without synthetic rows."""
    if not results.samples:
        return None
    neurons, division = results.task.neurons, results.divisions[0]
    condition = results.task.condition
    fit, scored = (
        neurons.rows(side if condition is None else side[condition.met[side]])
        for side in (division.fit, division.scored)
    )
    synthetic = {method_title(method): sample for method, sample in results.samples.items()}
    return Samples(
        names=neurons.names,
        classes=neurons.classes,
        rows={TRAINING_SOURCE: fit.X, HELD_OUT_SOURCE: scored.X}
        | {n: s.rows for n, s in synthetic.items()},
        labels={TRAINING_SOURCE: fit.y, HELD_OUT_SOURCE: scored.y}
        | {n: s.labels for n, s in synthetic.items()},
        shown=_choose_features(fit),
    )


def _choose_features(neurons: Neurons) -> tuple[int, ...]:
    """Return the features that separate the classes best, without nearly equal ones."""
    ratios = []
    for column in neurons.X.T:
        known = np.isfinite(column)
        values, y = column[known], neurons.y[known]
        groups = [values[y == label] for label in np.unique(y)]
        means = np.array([group.mean() for group in groups])
        within = float(np.mean([group.var() for group in groups])) if groups else 0.0
        ratios.append(float(means.var()) / within if within > 0 else 0.0)
    chosen: list[int] = []
    for place in np.argsort(ratios)[::-1].tolist():
        if all(_correlate(neurons.X[:, place], neurons.X[:, other]) < ALIKE for other in chosen):
            chosen.append(place)
    return tuple(chosen[:DENSITIES])


def _correlate(one: Floats, other: Floats) -> float:
    """Return the absolute rank correlation of two features."""
    known = np.isfinite(one) & np.isfinite(other)
    if min(len(np.unique(one[known])), len(np.unique(other[known]))) < 2:
        return 0.0
    return abs(float(spearmanr(one[known], other[known]).statistic))


def write_samples(path: Path, samples: Samples) -> None:
    """Write all rows with their source and their class."""
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


def draw_samples(run: Run, samples: Samples) -> list[Path]:
    """Draw the densities of the chosen features."""
    places = list(samples.shown)
    return draw_densities(
        run.figures / "densities",
        [label_with_unit(samples.names[place]) for place in places],
        {name: rows[:, places] for name, rows in samples.rows.items()},
    )
