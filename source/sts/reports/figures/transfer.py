"""Scores of several series under the same headings, with intervals, in panels side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sts.evaluation.bootstrap import Interval
from sts.reports.figures.style import FAINT, INK, SHADE, look, new_figure, save

# Okabe and Ito (2008) again, but none that stands for a class here: light to dark, then the accent.
COLOURS: Final = ("#8A8A8A", "#56B4E9", "#E69F00", "#222222", "#F0A3A3", "#B22222")
MARKERS: Final = "oDs^<v"
ROW_IN: Final = 0.5
# The share of a row that the series take up.
SPREAD: Final = 0.66


@dataclass(frozen=True, kw_only=True)
class ScorePanel:
    """Rows under a heading; a series has a mark in those rows that it names."""

    title: str
    label: str
    """Of the axis."""
    rows: Sequence[str]
    marks: Mapping[str, Mapping[str, Interval]]
    """By series, then by row."""
    lowest: float = 0.0


def draw_transfer(stem: Path, panels: Sequence[ScorePanel]) -> list[Path]:
    """Draw marks with intervals, the first row on top; return PNG and SVG.

    A series has one colour in all panels.
    """
    series = list(dict.fromkeys(name for panel in panels for name in panel.marks))
    rows = [len(panel.rows) for panel in panels]
    with look():
        figure = new_figure(7.4, 1.2 + ROW_IN * sum(rows) + 0.6 * len(panels))
        grid: Any = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)
        for axes, panel in zip(grid[:, 0], panels, strict=True):
            _draw_panel(axes, panel, series)
        handles = [
            Line2D([], [], color=colour, marker=marker, markersize=5, label=name)
            for name, colour, marker in zip(series, COLOURS, MARKERS, strict=False)
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
            if (found := panel.marks[name].get(heading)) is not None:
                _draw_mark(axes, row + offset, found, COLOURS[at], MARKERS[at])
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


def _draw_mark(axes: Axes, at: float, found: Interval, colour: str, marker: str) -> None:
    axes.plot([found.low, found.high], [at, at], color=colour, linewidth=1.4, clip_on=False)
    axes.plot(
        found.value,
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
    axes.text(1.01, at, f"{found.value:.3f}", va="center", fontsize=6.5, color=INK, transform=right)
