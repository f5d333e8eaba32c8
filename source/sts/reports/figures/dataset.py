"""Figures of a data set: reasons of left-out cells, medians of features, and sweeps of classes."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator

from sts.base.types import Floats
from sts.reports.figures.style import (
    BAR_COLOUR,
    CLASS_COLOURS,
    FAINT,
    INK,
    SERIES_COLOURS,
    SERIES_MARKERS,
    SHADE,
    STEP_S,
    SWEEP_TITLES,
    look,
    new_figure,
    save,
    shade,
)

FAILED_COLOUR: Final = "#B22222"
STATUS_COLOURS: Final = {"excluded": BAR_COLOUR, "failed": FAILED_COLOUR}
# Most characters of a reason on a line, and the height of a line and of a bar, inches.
REASON_WIDTH: Final = 52
REASON_LINE_IN: Final = 0.16
REASON_BAR_IN: Final = 0.26
# Height of the row of a feature, inches.
FEATURE_IN: Final = 0.155
# Medians farther than this from that of all cells are drawn at the edge.
FARTHEST: Final = 2.0


def draw_reasons(stem: Path, counts: Mapping[str, Mapping[str, int]]) -> list[Path]:
    """Draw how many recordings were left out, by reason; return its file.

    Parameters
    ----------
    counts
        For each reason the number of recordings by status, `excluded` or `failed`.
    """
    names = ["\n".join(textwrap.wrap(reason, REASON_WIDTH)) or "no reason" for reason in counts]
    heights = [REASON_BAR_IN + REASON_LINE_IN * name.count("\n") for name in names]
    # Reasons on several lines take more room than those on one.
    at = np.cumsum(heights) - np.array(heights) / 2
    with look():
        figure = new_figure(7.4, 1.1 + sum(heights))
        axes: Any = figure.subplots()
        left = np.zeros(len(names))
        for status, colour in STATUS_COLOURS.items():
            widths = np.array([each.get(status, 0) for each in counts.values()], dtype=float)
            axes.barh(at, widths, left=left, height=0.18, color=colour)
            left += widths
        for place, total in zip(at, left, strict=True):
            axes.annotate(
                f"{total:,.0f}", (total, place), (3, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(at, names)
        axes.set_ylim(sum(heights), 0)
        axes.set_xlim(0, 1.1 * max(left.max(), 1))
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.set_xlabel("recordings")
        shown = {name for each in counts.values() for name in each}
        handles = [
            Patch(color=colour, label=name)
            for name, colour in STATUS_COLOURS.items()
            if name in shown
        ]
        figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
        return save(figure, stem, kinds=("svg",))


def draw_medians(
    stem: Path, names: Sequence[str], medians: Mapping[str, Sequence[float]]
) -> list[Path]:
    """Draw the median of every feature in each data set, side by side; return its file.

    Parameters
    ----------
    medians
        By data set, one for each feature: the distance to the median of all cells, in
        interquartile ranges of all cells; NaN where a set does not have the feature.
    """
    rows = np.arange(len(names))
    with look():
        figure = new_figure(7.4, 1.1 + FEATURE_IN * len(names))
        axes: Any = figure.subplots()
        for row in rows[1::2]:
            axes.axhspan(row - 0.5, row + 0.5, color=SHADE, linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.7)
        handles = []
        for number, (name, values) in enumerate(medians.items()):
            style = _style_of_set(number)
            inside = np.clip(np.asarray(values, dtype=float), -FARTHEST, FARTHEST)
            axes.plot(inside, rows, clip_on=False, **style)
            handles.append(Line2D([], [], label=name, **style))
        axes.set_yticks(rows, names, fontsize=7)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(-FARTHEST, FARTHEST)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel("median, from that of all cells, in their interquartile ranges")
        figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False)
        return save(figure, stem, kinds=("svg",))


def _style_of_set(number: int) -> dict[str, Any]:
    """Return the marker of a data set; with many sets a colour comes again, with other markers."""
    count = len(SERIES_COLOURS)
    return {
        "marker": SERIES_MARKERS[(number + number // count) % count],
        "markersize": 4.5,
        "color": SERIES_COLOURS[number % count],
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
        "linestyle": "none",
        "zorder": 3,
    }


def draw_overlay(
    stem: Path, groups: Mapping[str, Floats], *, rate_hz: float, onset_s: float
) -> list[Path]:
    """Draw the sweeps of several cells of each class on each other; return its file.

    Parameters
    ----------
    groups
        By class, (cells, 2, samples) in mV: rheobase sweep and second sweep.
    onset_s
        From the first sample to the onset of the step.
    """
    with look():
        figure = new_figure(max(4.2, 2.7 * len(groups) + 0.5), 4.2)
        grid: Any = figure.subplots(2, len(groups), sharex=True, sharey="row", squeeze=False)
        for column, (name, traces) in zip(grid.T, groups.items(), strict=True):
            colour = CLASS_COLOURS.get(name, INK)
            column[0].set_title(name, loc="left", fontsize=11, fontweight="bold", color=colour)
            cells = f"{len(traces)} cell{'s' if len(traces) > 1 else ''}"
            column[0].set_title(cells, loc="right", color=FAINT)
            times_ms = (np.arange(traces.shape[-1]) / rate_hz - onset_s) * 1e3
            for axes, sweeps in zip(column, traces.swapaxes(0, 1), strict=True):
                _overlay(axes, times_ms, sweeps, colour)
            column[-1].set_xlabel("time from onset (ms)")
        for axes, name in zip(grid[:, 0], SWEEP_TITLES, strict=True):
            axes.set_ylabel(f"{name}\n(mV)")
        # An SVG would have a hundred thousand points.
        return save(figure, stem, kinds=("png",))


def _overlay(axes: Axes, times_ms: Floats, sweeps: Floats, colour: str) -> None:
    shade(axes, 0.0, STEP_S * 1e3)
    axes.plot(times_ms, sweeps.T, color=colour, linewidth=0.5, alpha=0.6)
    axes.set_xlim(times_ms[0], times_ms[-1])
    axes.xaxis.set_major_locator(MultipleLocator(250))
    axes.yaxis.set_major_locator(MultipleLocator(40))
