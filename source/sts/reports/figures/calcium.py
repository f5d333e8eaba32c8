"""Calcium traces of several neurons, real and generated side by side, with their spikes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from sts.base.types import Bools, Floats
from sts.reports.figures.style import FAINT, INK, look, new_figure, save

MOST_NEURONS: Final = 8
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73")
# Room of a trace, of the distance to the next one.
FILLED: Final = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class TracePanel:
    """One window and how it is called."""

    title: str
    traces: Floats
    """(neurons, frames)."""
    spikes: Bools
    """(neurons, frames), where a spike was found."""


def draw_traces(
    stem: Path, panels: Sequence[TracePanel], *, rate_hz: float, unit: str = ""
) -> list[Path]:
    """Draw windows side by side on the same scales; return the PNG and the SVG."""
    shown = min(MOST_NEURONS, len(panels[0].traces))
    # The neurons that vary most in the first window: silent ones show nothing.
    rows = np.sort(np.argsort(-panels[0].traces.std(axis=1), kind="stable")[:shown])
    low = np.min([panel.traces[rows].min(axis=1) for panel in panels], axis=0)
    high = np.max([panel.traces[rows].max(axis=1) for panel in panels], axis=0)
    with look():
        figure = new_figure(9.6, 0.9 + 0.5 * shown)
        axes_of: Any = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, panel, colour in zip(axes_of, panels, COLOURS, strict=False):
            _draw_panel(axes, panel, rows, (low, high), rate_hz=rate_hz, colour=colour)
        axes_of[0].set_yticks(range(shown), [f"neuron {row}" for row in rows])
        axes_of[0].set_ylim(shown - 0.4, -0.75)
        about = f"each neuron scaled alike in all panels{f', unit: {unit}' if unit else ''}; "
        figure.supxlabel(about + "marks: spikes that OASIS finds", fontsize=8, color=INK)
        return save(figure, stem)


def _draw_panel(
    axes: Axes,
    panel: TracePanel,
    rows: Any,
    limits: tuple[Floats, Floats],
    *,
    rate_hz: float,
    colour: str,
) -> None:
    times = np.arange(panel.traces.shape[1]) / rate_hz
    for place, row in enumerate(rows):
        low, high = limits[0][place], limits[1][place]
        height = (panel.traces[row] - low) / max(high - low, 1e-12) * FILLED
        axes.plot(times, place + FILLED / 2 - height, color=colour)
        at = times[panel.spikes[row]]
        axes.plot(at, np.full(len(at), place + 0.48), "|", color=INK, markersize=3.5)
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel("time (s)")
    axes.set_xlim(0, times[-1])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT, alpha=0.2, linewidth=0.5)
