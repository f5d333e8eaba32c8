"""Autocorrelation and power spectrum of traces: real ones and others as lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sts.base.types import Floats
from sts.reports.figures.calcium_histograms import COLOURS
from sts.reports.figures.style import FAINT, INK, look, new_figure, save


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvePanel:
    """One quantity: what it is drawn over, the real curve, and those of others by name."""

    x_label: str
    y_label: str
    x: Floats
    real: Floats
    others: Mapping[str, Floats]


def draw_curves(stem: Path, panels: list[CurvePanel]) -> list[Path]:
    """Draw panels side by side; return the PNG and the SVG."""
    with look():
        figure = new_figure(9.6, 3.4)
        every: Any = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(every, panels, strict=True):
            axes.plot(panel.x, panel.real, color=INK, linewidth=3.0, alpha=0.35, label="real")
            for order, (name, colour) in enumerate(zip(panel.others, COLOURS, strict=False)):
                # What is judged lies above what it is judged by.
                axes.plot(
                    panel.x,
                    panel.others[name],
                    color=colour,
                    linewidth=1.2,
                    zorder=9 - order,
                    label=name,
                )
            axes.set_xlabel(panel.x_label)
            axes.set_ylabel(panel.y_label)
            axes.set_xlim(0, float(np.max(panel.x)))
            axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)
        handles, names = every[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(handles), frameon=False)
        return save(figure, stem)
