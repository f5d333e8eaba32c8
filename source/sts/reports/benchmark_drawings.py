"""The figures of a benchmark of synthetic rows, from its scores."""

from pathlib import Path

import numpy as np

from sts.augment.contract import GENERATORS
from sts.augment.grid import BASELINE
from sts.evaluation.predictions import RECALL
from sts.evaluation.scores import Interval
from sts.reports.benchmark_scores import (
    BenchmarkScores,
    Gain,
    Level,
    copying_ratio,
    mean_known,
    method_title,
    summarise_fidelity,
    summarise_scores,
)
from sts.reports.figures.augment_fidelity import HeatMap, MethodPlace, draw_heat_maps, draw_map
from sts.reports.figures.augment_scores import (
    DRAWN_SCORES,
    Line,
    Panel,
    draw_class_gains,
    draw_landscape,
    draw_levels,
)
from sts.reports.figures.style import ONE_COLUMN, SCREEN, Paper
from sts.tabular.classifiers import classifier_title


def _summarise_shown(scores: BenchmarkScores) -> dict[str, dict[Level, Interval]]:
    protocol = scores.protocol
    return {
        score: summarise_scores(scores.rows, score, protocol=protocol) for score in DRAWN_SCORES
    }


def draw_baseline(stem: Path, scores: BenchmarkScores, *, paper: Paper = SCREEN) -> list[Path]:
    """Draw classifiers without added rows, and their learning curves."""
    levels = _summarise_shown(scores)
    known = levels["accuracy"]
    parts = sorted({key[3] for key in known if key[0] == BASELINE})

    def make_lines(parts: list[float]) -> list[Line]:
        """Return a line for each classifier that has a score at all parts."""
        keys = {name: [(BASELINE, name, 0, part) for part in parts] for name in scores.classifiers}
        return [
            Line(
                name=classifier_title(name),
                values={score: [levels[score][key] for key in each] for score in DRAWN_SCORES},
            )
            for name, each in keys.items()
            if all(key in known for key in each)
        ]

    return draw_landscape(
        stem,
        make_lines([1.0]),
        make_lines(parts) if len(parts) > 1 else [],
        [f"{100 * part:.0f} %" for part in parts],
        paper=paper,
    )


def draw_added(stem: Path, scores: BenchmarkScores, *, paper: Paper = SCREEN) -> list[Path] | None:
    """Draw accuracy and macro F1 against N, one column for each method that adds rows."""
    levels = _summarise_shown(scores)
    added = (0, *scores.added)
    panels = []
    for method in scores.methods:
        if method not in GENERATORS or not GENERATORS[method].adds_rows:
            continue
        lines = []
        for name in scores.classifiers:
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
    if paper.is_print and len(panels) == 1:
        paper = ONE_COLUMN
    return draw_levels(stem, panels, paper=paper) if panels else None


def _select_gains(scores: BenchmarkScores, score: str) -> list[Gain]:
    """Return the gains of the main classifier at the smallest N of each method."""
    return [
        gain
        for gain in scores.gains
        if gain.classifier == scores.main_classifier
        and gain.score == score
        and gain.added in (0, scores.added[0])
    ]


def describe_selection(scores: BenchmarkScores) -> str:
    """Return in words which gains are drawn: the classifier and N."""
    name = classifier_title(scores.main_classifier)
    return f"{name}, {scores.added[0]:,} rows added to each class"


def draw_gains(stem: Path, scores: BenchmarkScores, *, paper: Paper = SCREEN) -> list[Path] | None:
    """Draw the gain in recall of every class."""
    columns = [_select_gains(scores, RECALL + name) for name in scores.classes]
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
    return draw_class_gains(
        stem,
        gains,
        classes=[f"{name} ({n})" for name, n in scores.classes.items()],
        methods=[method_title(method) for method in methods],
        clear=clear.tolist(),
        paper=paper,
    )


def draw_places(stem: Path, scores: BenchmarkScores) -> list[Path] | None:
    """Draw the map of all methods that generate rows."""
    fidelity, name = summarise_fidelity(scores.fidelity), "two_sample_auc, held-out"
    real = fidelity.get(BASELINE, {}).get(name)
    if real is None:
        return None
    places = []
    for each in _select_gains(scores, "macro_f1"):
        auc = fidelity.get(each.method, {}).get(name)
        distance = copying_ratio(fidelity, each.method)
        if auc is not None and distance is not None:
            title = method_title(each.method)
            places.append(MethodPlace(name=title, gain=each.difference, auc=auc, distance=distance))
    if not places:
        return None
    gain_of = describe_selection(scores)
    return draw_map(stem, places, real=real, gain_of=gain_of)


def draw_fidelity(
    stem: Path, scores: BenchmarkScores, *, paper: Paper = SCREEN
) -> list[Path] | None:
    """Draw the KS distances of every class and feature, those of real cells first."""
    here = [row for row in scores.fidelity if row["measure"] == "ks"]
    features = list(dict.fromkeys(row["feature"] for row in here))
    labels = {row["label"] for row in here}
    classes = [name for name in scores.classes if name in labels]
    maps = []
    for method in scores.methods:
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
        stem, maps, classes=classes, features=features, what="KS distance", paper=paper
    )
