"""Scores against added rows, classifiers side by side, learning curves, and gains of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sts.base.types import Floats
from sts.evaluation.scores import Interval
from sts.reports.figures.style import (
    DIVERGING,
    FAINT,
    INK,
    SCREEN,
    Paper,
    look,
    new_figure,
    save,
)

# Okabe and Ito's colours, then other distinct ones.
LINE_COLOURS: Final = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7A5195",
    "#8C6D31",
    "#6B6B6B",
    INK,
)
# A marker for each colour.
MARKERS: Final = "osD^vP<>X*"
# Most methods side by side.
WIDEST: Final = 4
# Scores that are drawn, and their names.
DRAWN_SCORES: Final = {"accuracy": "accuracy", "macro_f1": "macro F1"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One classifier: its scores at each level."""

    name: str
    values: Mapping[str, Sequence[Interval]]
    """The values of each score, one for each level."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One method: a line for each classifier."""

    title: str
    levels: Sequence[str]
    """The label of each level, such as 0, 100, 1,000."""
    lines: Sequence[Line] = field(default_factory=tuple)


def draw_levels(stem: Path, panels: Sequence[Panel], *, paper: Paper = SCREEN) -> list[Path]:
    """Draw accuracy and macro F1 against added rows, one column a method; return PNG and SVG."""
    wide = min(len(panels), WIDEST)
    blocks = [panels[start : start + wide] for start in range(0, len(panels), wide)]
    with look():
        figure = new_figure(max(5.4, 0.9 + 2.6 * wide), 0.6 + 5.0 * len(blocks), paper)
        grid: Any = figure.subplots(len(DRAWN_SCORES) * len(blocks), wide, squeeze=False)
        for number, block in enumerate(blocks):
            _draw_block(grid[len(DRAWN_SCORES) * number : len(DRAWN_SCORES) * (number + 1)], block)
        for place in range(len(DRAWN_SCORES)):
            _share_limits(grid[place :: len(DRAWN_SCORES)].ravel())
        names = [line.name for line in panels[0].lines]
        figure.legend(
            handles=_make_handles(names),
            loc="outside lower center",
            ncols=min(len(names), len(panels) + 1, 5),
            frameon=False,
        )
        return save(figure, stem, paper=paper)


def _draw_block(rows: Any, panels: Sequence[Panel]) -> None:
    """Draw a row of axes for each score; axes without a method stay empty."""
    for axes, (score, name) in zip(rows, DRAWN_SCORES.items(), strict=True):
        for each, panel in zip(axes, panels, strict=False):
            _draw_panel(each, panel, score)
        for each in axes[len(panels) :]:
            each.set_axis_off()
        axes[0].set_ylabel(name)
    for top, bottom, panel in zip(rows[0], rows[-1], panels, strict=False):
        top.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
        bottom.set_xlabel("rows added to each class")


def _share_limits(axes: Sequence[Axes]) -> None:
    """Give the axes of one score the same limits, so that methods can be compared."""
    used = [each for each in axes if each.axison]
    limits = np.array([each.get_ylim() for each in used])
    for each in used:
        each.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def _draw_panel(axes: Axes, panel: Panel, score: str) -> None:
    places = np.arange(len(panel.levels))
    count = len(panel.lines)
    for number, line in enumerate(panel.lines):
        # Side by side, so that intervals do not hide each other.
        shift = 0.5 * (number - (count - 1) / 2) / max(count, 1)
        _draw_line(axes, places + shift, line.values[score], number)
    axes.set_xticks(places, panel.levels)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)


def _draw_line(axes: Axes, at: Any, values: Sequence[Interval], number: int) -> None:
    colour = LINE_COLOURS[number % len(LINE_COLOURS)]
    heights = np.array([each.value for each in values])
    axes.plot(at, heights, color=colour, linewidth=1.0, **_style_marker(number))
    for place, each in zip(at, values, strict=True):
        if np.isfinite([each.low, each.high]).all():
            axes.plot([place, place], [each.low, each.high], color=colour, linewidth=0.6, alpha=0.6)


def _style_marker(number: int) -> dict[str, Any]:
    return {"marker": MARKERS[number % len(MARKERS)], "markersize": 3.2, "zorder": 3}


def _make_handles(names: Sequence[str]) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            color=LINE_COLOURS[number % len(LINE_COLOURS)],
            label=name,
            **_style_marker(number),
        )
        for number, name in enumerate(names)
    ]


def draw_landscape(
    stem: Path,
    lines: Sequence[Line],
    curves: Sequence[Line],
    parts: Sequence[str],
    *,
    paper: Paper = SCREEN,
) -> list[Path]:
    """Draw every classifier without added rows, and its learning curve; return PNG and SVG.

    Parameters
    ----------
    lines
        One for each classifier, with one level.
    curves
        One for each classifier, with a level for each part of the training rows; may be empty.
    """
    with look():
        figure = new_figure(9.6, 1.6 + 0.28 * max(len(lines), 7), paper)
        panels: Any = figure.subplots(1, 2 if curves else 1, squeeze=False)[0]
        _draw_rows(panels[0], lines)
        if curves:
            _draw_curves(panels[1], curves, parts)
            figure.legend(
                handles=_make_handles([line.name for line in curves]),
                loc="outside lower center",
                ncols=5,
                frameon=False,
            )
        return save(figure, stem, paper=paper)


def _draw_rows(axes: Axes, lines: Sequence[Line]) -> None:
    ordered = sorted(lines, key=lambda line: line.values["macro_f1"][0].value)
    fills = {"accuracy": "white", "macro_f1": INK}
    for row, line in enumerate(ordered):
        for score, shift in (("accuracy", 0.13), ("macro_f1", -0.13)):
            (each,) = line.values[score]
            axes.plot([each.low, each.high], [row + shift] * 2, color=INK, linewidth=0.8)
            axes.plot(
                each.value,
                row + shift,
                marker="o",
                markersize=4.5,
                markerfacecolor=fills[score],
                markeredgecolor=INK,
                linestyle="none",
            )
    axes.set_yticks(range(len(ordered)), [line.name for line in ordered])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.5)
    axes.set_xlabel("accuracy (open) and macro F1 (filled)")
    axes.set_title("No rows added", loc="left", fontsize=10, fontweight="bold")


def _draw_curves(axes: Axes, curves: Sequence[Line], parts: Sequence[str]) -> None:
    places = np.arange(len(parts))
    for number, line in enumerate(curves):
        heights = [each.value for each in line.values["macro_f1"]]
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        axes.plot(places, heights, color=colour, **_style_marker(number))
    axes.set_xticks(places, parts)
    axes.set_xlabel("part of the training neurons")
    axes.set_ylabel("macro F1")
    axes.set_title("Learning curves", loc="left", fontsize=10, fontweight="bold")
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)


def draw_class_gains(
    stem: Path,
    gains: Floats,
    *,
    classes: Sequence[str],
    methods: Sequence[str],
    clear: Sequence[Sequence[bool]],
    paper: Paper = SCREEN,
) -> list[Path]:
    """Draw the gain in recall of each class by each method; return PNG and SVG.

    Parameters
    ----------
    gains
        (methods, classes), NaN where a gain is not known.
    classes
        Names of the classes, with their numbers of neurons.
    clear
        (methods, classes), whether the interval excludes 0; these gains are bold.
    """
    # The colours end at the largest gain.
    reach = max(float(np.abs(gains[np.isfinite(gains)]).max(initial=0.0)), 0.01)
    with look():
        figure = new_figure(1.8 + 0.52 * len(classes), 1.6 + 0.34 * len(methods), paper)
        axes: Any = figure.subplots()
        image = axes.imshow(gains, vmin=-reach, vmax=reach, cmap=DIVERGING, aspect="auto")
        for row, column in zip(*np.nonzero(np.isfinite(gains)), strict=True):
            value = gains[row, column]
            weight = "bold" if clear[row][column] else "normal"
            colour = "white" if abs(value) > 0.65 * reach else INK
            style: Any = {"fontsize": 6.5, "fontweight": weight, "color": colour}
            axes.text(column, row, f"{value:+.2f}", ha="center", va="center", **style)
        axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=7)
        axes.set_yticks(range(len(methods)), methods)
        axes.tick_params(length=0)
        figure.colorbar(image, label="change in recall", pad=0.01)
        return save(figure, stem, paper=paper)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A learning curve that is continued."""

    name: str
    counts: Floats
    """(folds, parts)."""
    scores: Floats
    drawn: Floats
    """The numbers of neurons of the fitted curve."""
    fitted: Floats
    band: tuple[Floats, Floats]
    target: float
    """The score of the best augmentation."""


def draw_forecasts(stem: Path, curves: Sequence[Curve], *, paper: Paper = SCREEN) -> list[Path]:
    """Draw scores against numbers of neurons, one panel for each curve; return PNG and SVG."""
    wide = min(len(curves), 6)
    high = -(-len(curves) // wide)
    with look():
        figure = new_figure(0.6 + 1.9 * wide, 0.6 + 1.7 * high, paper)
        grid: Any = figure.subplots(high, wide, squeeze=False, sharey=True)
        for axes, curve in zip(grid.ravel(), curves, strict=False):
            _draw_forecast(axes, curve)
        for axes in grid.ravel()[len(curves) :]:
            axes.set_axis_off()
        figure.supxlabel("training neurons (logarithmic)", fontsize=9)
        figure.supylabel("macro F1 (first panel) and recall", fontsize=9)
        return save(figure, stem, paper=paper)


def _draw_forecast(axes: Axes, curve: Curve) -> None:
    colour = LINE_COLOURS[0]
    axes.fill_between(curve.drawn, *curve.band, color=colour, alpha=0.18, linewidth=0)
    axes.plot(curve.drawn, curve.fitted, color=colour, linewidth=1.0)
    axes.plot(
        curve.counts.ravel(),
        curve.scores.ravel(),
        marker="o",
        markersize=2.2,
        linestyle="none",
        color=INK,
        alpha=0.6,
    )
    if np.isfinite(curve.target):
        axes.axhline(curve.target, color=LINE_COLOURS[1], linewidth=0.9, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlim(0.9 * curve.counts.min(), 1.05 * curve.drawn.max())
    axes.set_ylim(-0.03, 1.03)
    ends = [curve.counts.min(), curve.counts.max(), curve.drawn.max()]
    axes.set_xticks(ends, [f"{end:,.0f}" for end in ends], fontsize=6.5)
    axes.minorticks_off()
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)
    axes.set_title(curve.name, loc="left", fontsize=8.5, fontweight="bold")
