"""The figures of a benchmark from its results, and the rows in one of the figures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from sts.augment.contract import GENERATORS
from sts.augment.curation import label_with_unit
from sts.augment.grid import BASELINE
from sts.augment.neurons import Neurons
from sts.base.files import write_csv
from sts.base.runs import Run
from sts.base.types import Floats, Ints
from sts.evaluation.predictions import RECALL
from sts.evaluation.scores import Interval
from sts.reports.figures.augment_fidelity import (
    HeatMap,
    MethodPlace,
    draw_densities,
    draw_heat_maps,
    draw_map,
)
from sts.reports.figures.augment_scores import (
    DRAWN_SCORES,
    Line,
    Panel,
    draw_class_gains,
    draw_landscape,
    draw_levels,
)
from sts.studies.augment.results import (
    Gain,
    Level,
    Results,
    copying_ratio,
    mean_known,
    method_title,
    summarise_fidelity,
    summarise_scores,
)
from sts.tabular.classifiers import classifier_title

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
    fit, scored = neurons.rows(division.fit), neurons.rows(division.scored)
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


def _summarise_shown(results: Results) -> dict[str, dict[Level, Interval]]:
    protocol = results.job.protocol
    return {
        score: summarise_scores(results.rows, score, protocol=protocol) for score in DRAWN_SCORES
    }


def draw_baseline(run: Run, results: Results) -> list[Path]:
    """Draw classifiers without added rows, and their learning curves."""
    levels = _summarise_shown(results)
    known = levels["accuracy"]
    parts = sorted({key[3] for key in known if key[0] == BASELINE})

    def make_lines(parts: list[float]) -> list[Line]:
        """Return a line for each classifier that has a score at all parts."""
        keys = {
            name: [(BASELINE, name, 0, part) for part in parts] for name in results.job.classifiers
        }
        return [
            Line(
                name=classifier_title(name),
                values={score: [levels[score][key] for key in each] for score in DRAWN_SCORES},
            )
            for name, each in keys.items()
            if all(key in known for key in each)
        ]

    return draw_landscape(
        run.figures / "baseline",
        make_lines([1.0]),
        make_lines(parts) if len(parts) > 1 else [],
        [f"{100 * part:.0f} %" for part in parts],
    )


def draw_added(run: Run, results: Results) -> list[Path] | None:
    """Draw accuracy and macro F1 against N, one column for each method that adds rows."""
    levels = _summarise_shown(results)
    added = (0, *results.job.added)
    panels = []
    for method in results.job.methods:
        if not GENERATORS[method].adds_rows:
            continue
        lines = []
        for name in results.job.classifiers:
            keys = [(BASELINE if n == 0 else method, name, n, 1.0) for n in added]
            if all(key in levels["accuracy"] for key in keys):
                values = {score: [levels[score][key] for key in keys] for score in DRAWN_SCORES}
                lines.append(Line(name=classifier_title(name), values=values))
        if lines:
            panels.append(
                Panel(
                    title=method_title(method),
                    levels=[f"{n:,}" if n % 1000 or not n else f"{n // 1000}k" for n in added],
                    lines=lines,
                )
            )
    return draw_levels(run.figures / "added", panels) if panels else None


def _select_gains(results: Results, score: str) -> list[Gain]:
    """Return the gains of the main classifier at the smallest N of each method."""
    return [
        gain
        for gain in results.gains
        if gain.classifier == results.main_classifier
        and gain.score == score
        and gain.added in (0, results.job.added[0])
    ]


def describe_selection(results: Results) -> str:
    """Return in words which gains are drawn: the classifier and N."""
    name = classifier_title(results.main_classifier)
    return f"{name}, {results.job.added[0]:,} rows added to each class"


def draw_gains(run: Run, results: Results) -> list[Path] | None:
    """Draw the gain in recall of every class."""
    neurons = results.task.neurons
    columns = [_select_gains(results, RECALL + name) for name in neurons.classes]
    methods = list(dict.fromkeys(each.method for several in columns for each in several))
    if not methods:
        return None
    gains = np.full((len(methods), len(columns)), np.nan)
    clear = np.zeros(gains.shape, dtype=bool)
    for column, several in enumerate(columns):
        for each in several:
            row = methods.index(each.method)
            gains[row, column] = each.difference.value
            clear[row, column] = each.verdict in ("helps", "hurts")
    counts = neurons.counts().tolist()
    return draw_class_gains(
        run.figures / "classes",
        gains,
        classes=[f"{name} ({n})" for name, n in zip(neurons.classes, counts, strict=True)],
        methods=[method_title(method) for method in methods],
        clear=clear.tolist(),
    )


def draw_places(run: Run, results: Results) -> list[Path] | None:
    """Draw the map of all methods that generate rows."""
    fidelity, name = summarise_fidelity(results), "two_sample_auc, held-out"
    real = fidelity.get(BASELINE, {}).get(name)
    if real is None:
        return None
    places = []
    for each in _select_gains(results, "macro_f1"):
        auc = fidelity.get(each.method, {}).get(name)
        distance = copying_ratio(fidelity, each.method)
        if auc is not None and distance is not None:
            title = method_title(each.method)
            places.append(MethodPlace(name=title, gain=each.difference, auc=auc, distance=distance))
    if not places:
        return None
    gain_of = describe_selection(results)
    return draw_map(run.figures / "map", places, real=real, gain_of=gain_of)


def draw_fidelity(run: Run, results: Results) -> list[Path] | None:
    """Draw the KS distances of every class and feature, those of real cells first."""
    here = [row for row in results.fidelity if row["measure"] == "ks"]
    features = list(dict.fromkeys(row["feature"] for row in here))
    labels = {row["label"] for row in here}
    classes = [name for name in results.task.neurons.classes if name in labels]
    maps = []
    for method in results.job.all_methods:
        values: dict[tuple[str, str], list[float]] = {}
        for row in here:
            if row["method"] == method and row["against"] == "held-out":
                values.setdefault((row["label"], row["feature"]), []).append(row["value"])
        if not values:
            continue
        table = np.array(
            [
                [mean_known(values.get((name, feature), [])) for feature in features]
                for name in classes
            ]
        )
        name = "Real training cells" if method == BASELINE else method_title(method)
        maps.append(HeatMap(title=f"{name} against held-out cells", values=table))
    if not maps:
        return None
    return draw_heat_maps(
        run.figures / "fidelity", maps, classes=classes, features=features, what="KS distance"
    )
