"""Histograms of spike statistics: real ones filled, others as lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sts.base.types import Floats
from sts.reports.figures.style import FAINT, INK, look, new_figure, save

COLOURS: Final = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")
REAL: Final = "#CFCFCB"


@dataclass(frozen=True, kw_only=True, eq=False)
class HistogramPanel:
    """One quantity: the bins, the real counts, and those of others by name."""

    title: str
    edges: Floats
    real: Floats
    others: Mapping[str, Floats]


def draw_histograms(stem: Path, panels: list[HistogramPanel]) -> list[Path]:
    """Draw a panel a quantity; return the PNG and the SVG."""
    rows = (len(panels) + 1) // 2
    names = list(panels[0].others)
    with look():
        figure = new_figure(9.6, 0.7 + 2.5 * rows)
        grid: Any = figure.subplots(rows, 2, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            _draw(axes, panel)
        handles: list[Any] = [Patch(color=REAL, label="real, test stretch")]
        handles += [
            Line2D([], [], color=colour, linewidth=1.4, label=name)
            for name, colour in zip(names, COLOURS, strict=False)
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), frameon=False
        )
        return save(figure, stem)


def _draw(axes: Axes, panel: HistogramPanel) -> None:
    axes.stairs(_parts(panel.real), panel.edges, fill=True, color=REAL)
    for order, (counts, colour) in enumerate(zip(panel.others.values(), COLOURS, strict=False)):
        # The first is judged, the others are what it is judged by.
        width = 1.0 if order else 1.8
        axes.stairs(_parts(counts), panel.edges, color=colour, linewidth=width, zorder=9 - order)
    axes.set_xlabel(panel.title)
    axes.set_ylabel("part of samples")
    axes.set_xlim(panel.edges[0], panel.edges[-1])
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)
    axes.tick_params(colors=INK)


def _parts(counts: Floats) -> Floats:
    return np.asarray(counts / max(counts.sum(), 1))
