"""Results as the figures want them."""

from pathlib import Path

import numpy as np

from sts.augment.contract import GENERATORS
from sts.augment.curation import with_unit
from sts.augment.grid import BASELINE
from sts.base.runs import Run
from sts.evaluation.predictions import RECALL
from sts.evaluation.scores import Interval
from sts.reports.figures.augment_fidelity import HeatMap, draw_densities, draw_heat_maps
from sts.reports.figures.augment_map import MethodPlace, draw_class_gains, draw_map
from sts.reports.figures.augment_scores import SHOWN, Line, Panel, draw_landscape, draw_levels
from sts.studies.augment.differences import Gain, score_levels
from sts.studies.augment.results import Results, Samples, fidelity_summary, name_of
from sts.studies.augment.words import copying_ratio
from sts.tabular.classifiers import classifier_title

Levels = dict[tuple[str, str, int, float], Interval]


def _levels(results: Results) -> dict[str, Levels]:
    return {
        score: score_levels(results.rows, score, protocol=results.job.protocol) for score in SHOWN
    }


def draw_baseline(run: Run, results: Results) -> list[Path]:
    """Draw classifiers without added rows, and their learning curves."""
    levels = _levels(results)
    names = [
        name for name in results.job.classifiers if (BASELINE, name, 0, 1.0) in levels["accuracy"]
    ]
    parts = sorted({key[3] for key in levels["accuracy"] if key[0] == BASELINE})

    def line(name: str, at: list[float]) -> Line:
        return Line(
            name=classifier_title(name),
            values={
                score: [levels[score][BASELINE, name, 0, part] for part in at] for score in SHOWN
            },
        )

    whole = [
        name
        for name in names
        if all((BASELINE, name, 0, part) in levels["accuracy"] for part in parts)
    ]
    return draw_landscape(
        run.figures / "baseline",
        [line(name, [1.0]) for name in names],
        [line(name, parts) for name in whole] if len(parts) > 1 else [],
        [f"{100 * part:.0f} %" for part in parts],
    )


def draw_added(run: Run, results: Results) -> list[Path] | None:
    """Draw accuracy and macro F1 against N, a column a method that adds rows."""
    levels = _levels(results)
    added = (0, *results.job.added)
    panels = []
    for method in results.job.methods:
        if not GENERATORS[method].adds_rows:
            continue
        lines = []
        for name in results.job.classifiers:
            keys = [(BASELINE if n == 0 else method, name, n, 1.0) for n in added]
            if all(key in levels["accuracy"] for key in keys):
                values = {score: [levels[score][key] for key in keys] for score in SHOWN}
                lines.append(Line(name=classifier_title(name), values=values))
        if lines:
            panels.append(
                Panel(
                    title=GENERATORS[method].title,
                    levels=[f"{n:,}" if n % 1000 or not n else f"{n // 1000}k" for n in added],
                    lines=lines,
                )
            )
    return draw_levels(run.figures / "added", panels) if panels else None


def _told(results: Results, score: str) -> list[Gain]:
    """Return the differences of the classifier that speaks for all, at one N of each method."""
    return [
        each
        for each in results.differences
        if each.classifier == results.speaker
        and each.score == score
        and each.added in (0, _spoken(results))
    ]


def _spoken(results: Results) -> int:
    """Return the N that is looked at more closely: the least."""
    return results.job.added[0]


def gain_words(results: Results) -> str:
    """Return whose gain is drawn."""
    return f"{classifier_title(results.speaker)}, {_spoken(results):,} rows added to each class"


def draw_gains(run: Run, results: Results) -> list[Path] | None:
    """Draw what the recall of every class gains."""
    neurons = results.task.neurons
    recalls = [RECALL + name for name in neurons.classes]
    columns = {score: _told(results, score) for score in recalls}
    methods = list(dict.fromkeys(each.method for several in columns.values() for each in several))
    if not methods:
        return None
    gains = np.full((len(methods), len(recalls)), np.nan)
    told = np.zeros(gains.shape, dtype=bool)
    for column, score in enumerate(recalls):
        for each in columns[score]:
            row = methods.index(each.method)
            gains[row, column] = each.difference.value
            told[row, column] = each.verdict in ("helps", "hurts")
    counts = neurons.counts().tolist()
    return draw_class_gains(
        run.figures / "classes",
        gains,
        classes=[f"{name} ({n})" for name, n in zip(neurons.classes, counts, strict=True)],
        methods=[name_of(method) for method in methods],
        told=told.tolist(),
    )


def draw_places(run: Run, results: Results) -> list[Path] | None:
    """Draw the map of all methods that make rows."""
    fidelity, name = fidelity_summary(results), "two_sample_auc, held-out"
    floor = fidelity.get(BASELINE, {}).get(name)
    if floor is None:
        return None
    places = []
    for each in _told(results, "macro_f1"):
        told_apart = fidelity.get(each.method, {}).get(name)
        distance = copying_ratio(fidelity, each.method)
        if told_apart is not None and distance is not None:
            places.append(
                MethodPlace(
                    name=name_of(each.method),
                    gain=each.difference,
                    told_apart=told_apart,
                    distance=distance,
                )
            )
    if not places:
        return None
    return draw_map(run.figures / "map", places, floor=floor, gain_of=gain_words(results))


def draw_fidelity(run: Run, results: Results) -> list[Path] | None:
    """Draw the KS distances of every class and feature, the floor first."""
    here = [row for row in results.fidelity if row["measure"] == "ks"]
    features = list(dict.fromkeys(row["feature"] for row in here))
    classes = [
        name for name in results.task.neurons.classes if any(r["label"] == name for r in here)
    ]
    maps = []
    for method in results.job.rows_of_grid:
        values: dict[tuple[str, str], list[float]] = {}
        for row in here:
            if row["method"] == method and row["against"] == "held-out":
                values.setdefault((row["label"], row["feature"]), []).append(row["value"])
        if not values:
            continue
        table = np.array(
            [[_mean(values.get((name, each), [])) for each in features] for name in classes]
        )
        name = "Real training cells" if method == BASELINE else name_of(method)
        title = f"{name} against held-out cells"
        maps.append(HeatMap(title=title, values=table))
    if not maps:
        return None
    return draw_heat_maps(
        run.figures / "fidelity", maps, classes=classes, features=features, what="KS distance"
    )


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def draw_samples(run: Run, samples: Samples) -> list[Path]:
    """Draw the densities of the features that tell most."""
    places = list(samples.shown)
    return draw_densities(
        run.figures / "densities",
        [with_unit(samples.names[place]) for place in places],
        {name: rows[:, places] for name, rows in samples.rows.items()},
    )
