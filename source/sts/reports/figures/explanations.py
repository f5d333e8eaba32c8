"""Figures of features: the contribution of each in every cell (SHAP), and the loss without it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from sts.base.types import Floats
from sts.evaluation.scores import Interval
from sts.reports.figures.style import CLASS_COLOURS, FAINT, INK, look, new_figure, save
from sts.tabular.explanations import LOGIT, import_shap

# Colours from low to high values; they differ in lightness too, for print without colour.
VALUES: Final = LinearSegmentedColormap.from_list("values", ["#3B2F80", "#A06CB4", "#F5A65B"])
# Colour of a missing value, as shap draws it.
MISSING: Final = "#777777"
# Height of a row, inches: of few features, of all features, and of a bar.
ROOMY_ROW_IN: Final = 0.42
TIGHT_ROW_IN: Final = 0.155
BAR_IN: Final = 0.24
# Smallest height of a figure and height of its colour scale, in inches, for its label.
LEAST_IN: Final = 2.9
SCALE_IN: Final = 2.2


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassContributions:
    """The contributions of the features to the score of one class."""

    label: str
    names: Sequence[str]
    """Features to draw, the strongest first."""
    contributions: Floats
    """(cells, features), SHAP values."""
    ranks: Floats
    """(cells, features), from 0 for the lowest value of a feature to 1 for the highest, or NaN."""
    unit: str = LOGIT
    """Unit of the contributions."""


def draw_top(stem: Path, classes: Sequence[ClassContributions]) -> list[Path]:
    """Draw the strongest features of every class, a panel each; return PNG and SVG."""
    rows = -(-len(classes) // 2)
    most = max(len(each.names) for each in classes)
    with look():
        figure = new_figure(9.6, max(LEAST_IN, rows * (most * ROOMY_ROW_IN + 0.75) + 0.3))
        grid: Any = figure.subplots(rows, 2, squeeze=False)
        for axes, each in zip(grid.flat, classes, strict=False):
            _draw_class(axes, each, size=6.0)
        for axes in grid.flat[len(classes) :]:
            axes.remove()
        _add_scale(figure, list(grid.flat[: len(classes)]))
        return save(figure, stem)


def draw_all(stem: Path, classes: Sequence[ClassContributions]) -> list[Path]:
    """Draw all features, in one order for every class, a column each; return PNG and SVG."""
    names = classes[0].names
    with look():
        figure = new_figure(
            2.2 + 2.0 * len(classes), max(LEAST_IN, 1.1 + TIGHT_ROW_IN * len(names))
        )
        grid: Any = figure.subplots(1, len(classes), sharey=True, squeeze=False)
        for axes, each in zip(grid.flat, classes, strict=True):
            _draw_class(axes, each, size=1.6)
        grid[0, 0].tick_params(axis="y", labelsize=7)
        _add_scale(figure, list(grid.flat))
        return save(figure, stem)


def _draw_class(axes: Axes, each: ClassContributions, *, size: float) -> None:
    shap, count = import_shap(), len(each.names)
    explained = shap.Explanation(
        values=each.contributions, data=each.ranks, feature_names=list(each.names)
    )
    with _lend_random_state(), warnings.catch_warnings():
        # shap takes percentiles also of a feature that all cells lack.
        warnings.simplefilter("ignore", RuntimeWarning)
        shap.plots.beeswarm(
            explained,
            max_display=count,
            order=np.arange(count),
            color=VALUES,
            color_bar=False,
            s=size,
            ax=axes,
            plot_size=None,
            show=False,
        )
    for dots in axes.collections:
        # Thousands of points are drawn as pixels, also in the SVG.
        dots.set_rasterized(True)
    axes.set_ylim(-0.6, count - 0.4)
    axes.tick_params(axis="y", length=0, labelsize=8, labelcolor=INK)
    axes.tick_params(axis="x", labelsize=8, color=INK, labelcolor=INK)
    axes.set_xlabel(f"SHAP value ({each.unit})", fontsize=9)
    axes.set_title(
        each.label,
        loc="left",
        fontsize=11,
        fontweight="bold",
        color=CLASS_COLOURS.get(each.label, INK),
    )


@contextmanager
def _lend_random_state(seed: int = 0) -> Iterator[None]:
    """Seed numpy's global generator, by which shap shuffles, and restore its state afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


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


def draw_importance(
    stem: Path, names: Sequence[str], losses: Sequence[Interval], *, what: str
) -> list[Path]:
    """Draw the loss of a model without each feature, the first on top; return PNG and SVG."""
    rows = range(len(names))
    with look():
        figure = new_figure(7.2, 0.9 + BAR_IN * len(names))
        axes: Any = figure.subplots()
        axes.barh(rows, [loss.value for loss in losses], height=0.62, color="#6FA8D0")
        for row, each in zip(rows, losses, strict=True):
            axes.plot([each.low, each.high], [row, row], color=INK, linewidth=1.3)
        axes.axvline(0, color=INK, linewidth=0.7)
        axes.set_yticks(rows, names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel(f"{what} (bars), with 95 % intervals (lines)")
        return save(figure, stem)
