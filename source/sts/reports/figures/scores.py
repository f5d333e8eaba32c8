"""Figures of scores: models, confusion matrices, panels of scores, risk and coverage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sts.evaluation.abstention import RiskCoverage
from sts.evaluation.predictions import SCORES
from sts.evaluation.scores import Interval, Scores
from sts.reports.figures.style import (
    BAR_COLOUR,
    CLASS_COLOURS,
    FAINT,
    INK,
    SCREEN,
    SERIES_COLOURS,
    SERIES_MARKERS,
    SHADE,
    Paper,
    look,
    new_figure,
    save,
)

# Scores that are compared between models.
COMPARED_SCORES: Final = ("balanced_accuracy", "weighted_f1")
DATASET_MARKERS: Final = "^vDsPX"
# Heights of the interval and of the markers in a bar, from its middle.
INTERVAL_AT: Final = -0.09
DATASETS_AT: Final = 0.13
POINT: Final[dict[str, Any]] = {
    "markersize": 5.5,
    "markerfacecolor": "white",
    "markeredgecolor": INK,
    "markeredgewidth": 0.8,
    "linestyle": "none",
    "zorder": 3,
    # A marker at 1 is drawn whole, beyond the end of the axis.
    "clip_on": False,
}

# Confusion matrices side by side.
MATRICES_IN_A_ROW: Final = 3
# Largest number of classes whose squares have space for two lines of text.
ROOMY: Final = 6
# Side of the square of one class, inches.
ROOMY_IN: Final = 0.74
TIGHT_IN: Final = 0.36
# Strength of the colour of a full square: dark text stays legible on it.
STRENGTH: Final = 0.75

# Least height of a row, and what it needs for the score of each series, inches.
ROW_IN: Final = 0.5
SERIES_IN: Final = 0.15
# Part of a row that its series take up.
SPREAD: Final = 0.66


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """The scores of one model, by name, such as `weighted_f1`."""

    name: str
    scores: Mapping[str, Interval]
    by_dataset: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)


def draw_bars(
    stem: Path,
    models: Sequence[ModelScores],
    *,
    cells: str,
    chance: float | None = 0.25,
    paper: Paper = SCREEN,
) -> list[Path]:
    """Draw balanced accuracy and weighted F1 of models; return PNG and SVG.

    After Amprimo et al. (2025), Fig. 4.

    Parameters
    ----------
    models
        Models that were scored on the same cells.
    cells
        A description of these cells, for the title.
    chance
        Balanced accuracy of guessing, one over the number of classes; None leaves it out.
    """
    datasets = sorted({name for model in models for name in model.by_dataset})
    with look():
        figure = new_figure(9.6, 1.9 + 0.5 * len(models), paper)
        if not paper.is_print:
            figure.suptitle(cells, x=0.01, ha="left", fontsize=10)
        panels: Any = figure.subplots(1, 2, sharey=True)
        for axes, score in zip(panels, COMPARED_SCORES, strict=True):
            for row, model in enumerate(models):
                _draw_model(axes, row, model, score=score, datasets=datasets)
            _label_bars(axes, score, models)
        if chance is not None:
            panels[0].axvline(chance, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        handles = _make_bar_legend(datasets, chance=chance)
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False
        )
        return save(figure, stem, paper=paper)


def _draw_model(
    axes: Axes, row: int, model: ModelScores, *, score: str, datasets: Sequence[str]
) -> None:
    if (interval := model.scores.get(score)) is None:
        return
    axes.barh(row, interval.value, height=0.6, color=BAR_COLOUR)
    line = [row + INTERVAL_AT] * 2
    axes.plot([interval.low, interval.high], line, color=INK, linewidth=1.6, clip_on=False)
    axes.text(1.03, row, interval.in_words(), va="center", fontsize=8)
    for marker, dataset in zip(DATASET_MARKERS, datasets, strict=False):
        part = model.by_dataset.get(dataset, {}).get(score)
        if part is not None:
            axes.plot(part.value, row + DATASETS_AT, marker=marker, **POINT)


def _label_bars(axes: Axes, score: str, models: Sequence[ModelScores]) -> None:
    name = SCORES[score]
    axes.set_title(name[0].upper() + name[1:], loc="left", fontsize=11, fontweight="bold")
    axes.set_xlim(0, 1.0)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel(f"{name} (0 to 1)")
    axes.set_yticks(range(len(models)), [model.name for model in models])
    axes.set_ylim(len(models) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)


def _make_bar_legend(datasets: Sequence[str], *, chance: float | None) -> list[Any]:
    handles: list[Any] = [
        Patch(color=BAR_COLOUR, label="all cells"),
        Line2D([], [], color=INK, linewidth=1.4, label="95 % interval"),
    ]
    handles += [
        Line2D([], [], marker=marker, label=dataset, **POINT)
        for marker, dataset in zip(DATASET_MARKERS, datasets, strict=False)
    ]
    if chance is not None:
        handles.append(Line2D([], [], color=INK, linestyle=(0, (4, 3)), label="guessing"))
    return handles


def draw_confusion(stem: Path, scores: Mapping[str, Scores]) -> list[Path]:
    """Draw a confusion matrix for each group of cells, side by side; return PNG and SVG."""
    columns = min(len(scores), MATRICES_IN_A_ROW)
    rows = -(-len(scores) // columns)
    classes = next(iter(scores.values())).classes
    side_in = len(classes) * (ROOMY_IN if len(classes) <= ROOMY else TIGHT_IN)
    with look():
        figure = new_figure((side_in + 1.1) * columns, (side_in + 1.2) * rows)
        grid: Any = figure.subplots(rows, columns, squeeze=False)
        for axes, (name, one) in zip(grid.flat, scores.items(), strict=False):
            _draw_matrix(axes, name, one)
        for axes in grid.flat[len(scores) :]:
            axes.remove()
        return save(figure, stem)


def _draw_matrix(axes: Axes, name: str, scores: Scores) -> None:
    counts = scores.confusion
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    colours = [to_rgb(CLASS_COLOURS.get(label, INK)) for label in scores.classes]
    missing_light = STRENGTH * (1.0 - np.array(colours))
    squares = 1.0 - np.nan_to_num(shares)[:, :, None] * missing_light[:, None, :]
    axes.imshow(squares, interpolation="nearest", aspect="equal")
    for row, column in np.ndindex(*counts.shape):
        if counts[row].sum():
            _write_square(axes, (row, column), int(counts[row, column]), shares[row, column])
    _name_classes(axes, scores, colours)
    accuracy = f"balanced accuracy {scores.balanced_accuracy.in_words()}"
    axes.set_title(
        f"{name} · {scores.cells:,} cells", loc="left", fontsize=11, fontweight="bold", pad=18
    )
    axes.annotate(
        accuracy, (0, 1), xytext=(0, 6), xycoords="axes fraction", textcoords="offset points"
    )


def _write_square(axes: Axes, at: tuple[int, int], count: int, share: float) -> None:
    """Write the share of the true class and, if there is space, the number of cells."""
    row, column = at
    colour = INK if count else FAINT
    where: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
    percent = f"{100 * share:.0f}"
    if axes.get_images()[0].get_size()[0] > ROOMY:
        axes.text(column, row, percent if count else "", fontsize=7, **where)
        return
    weight = "bold" if row == column else "normal"
    axes.text(column, row - 0.1, f"{percent} %", fontsize=10, fontweight=weight, **where)
    axes.text(column, row + 0.24, f"{count:,}", fontsize=7, **where)


def _name_classes(axes: Axes, scores: Scores, colours: list[tuple[float, float, float]]) -> None:
    classes = scores.classes
    roomy = len(classes) <= ROOMY
    named = [f"{name}\nn = {scores.per_class[name].support:,}" for name in classes]
    tight = [f"{name} ({scores.per_class[name].support:,})" for name in classes]
    axes.set_xticks(range(len(classes)), classes, rotation=0 if roomy else 90)
    axes.set_yticks(range(len(classes)), named if roomy else tight)
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        for label, colour in zip(labels, colours, strict=True):
            label.set(color=colour, fontweight="bold", fontsize=8)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    edges = np.arange(len(classes) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)


@dataclass(frozen=True, kw_only=True)
class ScorePanel:
    """Scores of several series in the rows of one panel."""

    title: str
    label: str
    """Label of the axis."""
    rows: Sequence[str]
    marks: Mapping[str, Mapping[str, Interval]]
    """Scores by series, then by row; a series may lack a row."""
    lowest: float = 0.0


def draw_transfer(stem: Path, panels: Sequence[ScorePanel]) -> list[Path]:
    """Draw scores with intervals, the first row on top; return PNG and SVG.

    A series has the same colour in all panels.
    """
    series = list(dict.fromkeys(name for panel in panels for name in panel.marks))
    rows = [len(panel.rows) for panel in panels]
    with look():
        row_in = max(ROW_IN, SERIES_IN * max(len(panel.marks) for panel in panels))
        figure = new_figure(7.4, 1.2 + row_in * sum(rows) + 0.6 * len(panels))
        grid: Any = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)
        for axes, panel in zip(grid[:, 0], panels, strict=True):
            _draw_panel(axes, panel, series)
        handles = [
            Line2D([], [], color=colour, marker=marker, markersize=5, label=name)
            for name, colour, marker in zip(series, SERIES_COLOURS, SERIES_MARKERS, strict=False)
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(3, len(series)), frameon=False
        )
        return save(figure, stem)


def _draw_panel(axes: Axes, panel: ScorePanel, series: Sequence[str]) -> None:
    shown = [name for name in series if name in panel.marks]
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(shown)) if len(shown) > 1 else [0.0]
    for name, offset in zip(shown, offsets, strict=True):
        at = series.index(name)
        for row, heading in enumerate(panel.rows):
            if (interval := panel.marks[name].get(heading)) is not None:
                _draw_mark(axes, row + offset, interval, SERIES_COLOURS[at], SERIES_MARKERS[at])
    for row in range(1, len(panel.rows), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=SHADE, linewidth=0, zorder=0)
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
    axes.set_yticks(range(len(panel.rows)), list(panel.rows))
    axes.set_ylim(len(panel.rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(panel.lowest, 1.0)
    axes.set_xlabel(panel.label)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)


def _draw_mark(axes: Axes, at: float, score: Interval, colour: str, marker: str) -> None:
    axes.plot([score.low, score.high], [at, at], color=colour, linewidth=1.4, clip_on=False)
    axes.plot(
        score.value,
        at,
        marker=marker,
        markersize=5,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=0.5,
        linestyle="none",
        clip_on=False,
    )
    right = axes.get_yaxis_transform()
    axes.text(1.01, at, f"{score.value:.3f}", va="center", fontsize=7, color=INK, transform=right)


def draw_risk(stem: Path, curves: Mapping[str, RiskCoverage]) -> list[Path]:
    """Draw the share of wrong calls among the surest ones against their number; PNG and SVG."""
    with look():
        figure = new_figure(5.6, 3.4)
        axes = figure.subplots()
        for colour, (name, curve) in zip(SERIES_COLOURS, curves.items(), strict=False):
            axes.plot(curve.coverage, curve.risk, color=colour, linewidth=1.4, label=name)
        axes.set_xlim(0, 1.0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("share of cells with a call (0 to 1)")
        axes.set_ylabel("share of wrong calls among them")
        axes.grid(color=FAINT, alpha=0.25, linewidth=0.5)
        axes.set_axisbelow(True)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return save(figure, stem)
