"""What each feature adds in every cell, by its value: summary plots of SHAP values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from sts.base.types import Floats, Ints
from sts.reports.figures.style import CLASS_COLOURS, FAINT, INK, look, new_figure, save

# From low to high, neither end a class's colour, apart in lightness for print without colour.
VALUES: Final = LinearSegmentedColormap.from_list("values", ["#3B2F80", "#A06CB4", "#F5A65B"])
MISSING: Final = "#B9B9B9"
# Columns of points into which a row is divided to find how wide it is where.
COLUMNS: Final = 120
# Half the height of a row that points may fill.
HALF: Final = 0.4
# Height of one row, inches: of few features, and of all.
ROOMY_IN: Final = 0.42
TIGHT_IN: Final = 0.155
# The words beside the scale need as much, and more of it would say no more.
LEAST_IN: Final = 2.9
SCALE_IN: Final = 2.2


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassContributions:
    """What features add to the score of one class."""

    label: str
    names: Sequence[str]
    """The features to be drawn, the strongest first."""
    contributions: Floats
    """(cells, features), SHAP values of these."""
    ranks: Floats
    """(cells, features), 0 for the lowest value of a feature to 1 for the highest; NaN: missing."""


def draw_top(stem: Path, classes: Sequence[ClassContributions]) -> list[Path]:
    """Draw the strongest features of every class, a panel each; return PNG and SVG."""
    rows = -(-len(classes) // 2)
    most = max(len(each.names) for each in classes)
    with look():
        figure = new_figure(9.6, max(LEAST_IN, rows * (most * ROOMY_IN + 0.75) + 0.3))
        grid: Any = figure.subplots(rows, 2, squeeze=False)
        for axes, each in zip(grid.flat, classes, strict=False):
            _draw_class(axes, each, size=6.0)
            axes.set_yticks(range(len(each.names)), each.names)
        for axes in grid.flat[len(classes) :]:
            axes.remove()
        _add_scale(figure, list(grid.flat[: len(classes)]))
        return save(figure, stem)


def draw_all(stem: Path, classes: Sequence[ClassContributions]) -> list[Path]:
    """Draw all features, in one order for every class, a column each; return PNG and SVG."""
    names = classes[0].names
    with look():
        figure = new_figure(2.2 + 2.0 * len(classes), max(LEAST_IN, 1.1 + TIGHT_IN * len(names)))
        grid: Any = figure.subplots(1, len(classes), sharey=True, squeeze=False)
        for axes, each in zip(grid.flat, classes, strict=True):
            _draw_class(axes, each, size=1.6)
        grid[0, 0].set_yticks(range(len(names)), names, fontsize=7)
        _add_scale(figure, list(grid.flat))
        return save(figure, stem)


def _draw_class(axes: Axes, each: ClassContributions, *, size: float) -> None:
    heights = np.column_stack(
        [row + HALF * swarm(values) for row, values in enumerate(each.contributions.T)]
    )
    # The missing ones lie below the others.
    order = np.argsort(np.nan_to_num(each.ranks, nan=-1.0), axis=None, kind="stable")
    colours = VALUES(np.nan_to_num(each.ranks).ravel())
    colours[np.isnan(each.ranks).ravel()] = _rgba(MISSING)
    axes.scatter(
        each.contributions.ravel()[order],
        heights.ravel()[order],
        s=size,
        c=colours[order],
        linewidths=0,
        # Thousands of points are pixels, also in the SVG.
        rasterized=True,
    )
    axes.axvline(0, color=INK, linewidth=0.7, zorder=0)
    axes.set_ylim(len(each.names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel("SHAP value (logit)")
    axes.set_title(
        each.label,
        loc="left",
        fontsize=11,
        fontweight="bold",
        color=CLASS_COLOURS.get(each.label, INK),
    )


def swarm(values: Floats) -> Floats:
    """Return how far each point is moved sideways, -1 to 1, so that a crowd shows its size."""
    if not len(values):
        return np.zeros(0)
    low, high = float(values.min()), float(values.max())
    width = (high - low) / COLUMNS or 1.0
    columns: Ints = np.minimum((values - low) / width, COLUMNS - 1).astype(int)
    order = np.lexsort((values, columns))
    first = np.searchsorted(columns[order], columns[order])
    place = np.empty(len(values), dtype=int)
    place[order] = np.arange(len(values)) - first
    # To the one side and the other in turn, ever farther.
    steps = (place + 1) // 2 * np.where(place % 2, 1, -1)
    return np.asarray(steps / max(1, int(np.abs(steps).max())))


def _rgba(colour: str) -> tuple[float, float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue, 1.0


def _add_scale(figure: Any, panels: list[Axes]) -> None:
    scale = ScalarMappable(norm=Normalize(0, 1), cmap=VALUES)
    share = SCALE_IN / figure.get_figheight()
    bar = figure.colorbar(
        scale, ax=panels, location="right", shrink=min(0.9, share), aspect=25, pad=0.01
    )
    bar.set_ticks([0, 1], labels=["low", "high"])
    bar.set_label("value of the feature (grey: missing)")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
