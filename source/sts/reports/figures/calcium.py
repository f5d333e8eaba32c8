"""Figures of calcium: traces of real and generated neurons, spike statistics, and training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sts.base.types import Bools, Floats, Ints
from sts.reports.figures.style import (
    CLASS_COLOURS,
    DIVERGING,
    FAINT,
    INK,
    SCREEN,
    Paper,
    look,
    new_figure,
    save,
)

MOST_NEURONS: Final = 8
TRACE_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73")
# Height of a trace, as a part of the distance to the next one.
FILLED: Final = 0.8
SOURCE_COLOURS: Final = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")
REAL_COLOUR: Final = "#CFCFCB"
MATRIX_COLOURS: Final = "viridis"
# Percentile at which the colours end: a few very high values must not hide the rest.
_PERCENTILE: Final = 99.0


@dataclass(frozen=True, kw_only=True, eq=False)
class TracePanel:
    """One window of traces, with its title."""

    title: str
    traces: Floats
    """(neurons, frames)."""
    spikes: Bools
    """(neurons, frames), True at each spike."""
    neurons: Sequence[int] = ()
    """Numbers of the neurons, if these are not all of them."""


def draw_traces(
    stem: Path,
    panels: Sequence[TracePanel],
    *,
    rate_hz: float,
    unit: str = "",
    paper: Paper = SCREEN,
) -> list[Path]:
    """Draw windows side by side on the same scales; return PNG and SVG."""
    rows = choose_neurons(panels[0].traces)
    shown, names = len(rows), panels[0].neurons or range(len(panels[0].traces))
    low = np.min([panel.traces[rows].min(axis=1) for panel in panels], axis=0)
    high = np.max([panel.traces[rows].max(axis=1) for panel in panels], axis=0)
    with look():
        figure = new_figure(9.6, 0.9 + 0.5 * shown, paper)
        axes_of: Any = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, panel, colour in zip(axes_of, panels, TRACE_COLOURS, strict=False):
            _draw_panel(axes, panel, rows, (low, high), rate_hz=rate_hz, colour=colour)
        axes_of[0].set_yticks(range(shown), [f"neuron {names[row]}" for row in rows])
        axes_of[0].set_ylim(shown - 0.4, -0.75)
        about = f"each neuron scaled alike in all panels{f', unit: {unit}' if unit else ''}; "
        if not paper.is_print:
            figure.supxlabel(about + "marks: spikes that OASIS finds", fontsize=8, color=INK)
        return save(figure, stem, paper=paper)


def choose_neurons(traces: Floats) -> Ints:
    """Return the rows of the neurons that vary most, not silent ones, in their order."""
    return np.sort(np.argsort(-traces.std(axis=1), kind="stable")[:MOST_NEURONS])


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


@dataclass(frozen=True, kw_only=True, eq=False)
class HistogramPanel:
    """Histograms of one quantity: of real data, and of others by name."""

    title: str
    edges: Floats
    real: Floats
    others: Mapping[str, Floats]


def draw_histograms(
    stem: Path, panels: list[HistogramPanel], *, paper: Paper = SCREEN
) -> list[Path]:
    """Draw a panel for each quantity; return PNG and SVG."""
    rows = (len(panels) + 1) // 2
    names = list(panels[0].others)
    with look():
        figure = new_figure(9.6, 0.7 + 2.5 * rows, paper)
        grid: Any = figure.subplots(rows, 2, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            _draw_histogram(axes, panel)
        handles: list[Any] = [Patch(color=REAL_COLOUR, label="real, test stretch")]
        handles += [
            Line2D([], [], color=colour, linewidth=1.4, label=name)
            for name, colour in zip(names, SOURCE_COLOURS, strict=False)
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), frameon=False
        )
        return save(figure, stem, paper=paper)


def _draw_histogram(axes: Axes, panel: HistogramPanel) -> None:
    axes.stairs(_parts(panel.real), panel.edges, fill=True, color=REAL_COLOUR)
    for order, (counts, colour) in enumerate(
        zip(panel.others.values(), SOURCE_COLOURS, strict=False)
    ):
        # The first one is the subject, the others are for comparison.
        width = 1.0 if order else 1.8
        axes.stairs(_parts(counts), panel.edges, color=colour, linewidth=width, zorder=9 - order)
    axes.set_xlabel(panel.title)
    axes.set_ylabel("part of samples")
    axes.set_xlim(panel.edges[0], panel.edges[-1])
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)
    axes.tick_params(colors=INK)


def _parts(counts: Floats) -> Floats:
    return np.asarray(counts / max(counts.sum(), 1))


def draw_matrices(
    stem: Path,
    matrices: Mapping[str, Floats],
    *,
    label: str,
    diverging: bool = True,
    axes_labels: tuple[str, str] = ("neuron", "neuron"),
    paper: Paper = SCREEN,
) -> list[Path]:
    """Draw matrices side by side, by title; return PNG and SVG.

    Parameters
    ----------
    diverging
        Whether values have a sign: then colours are white at 0, and the diagonal is left out.
    """
    shown = {
        title: np.where(np.eye(len(one), dtype=bool), np.nan, one) if diverging else one
        for title, one in matrices.items()
    }
    every = np.concatenate([one[np.isfinite(one)] for one in shown.values()])
    top = float(np.percentile(np.abs(every), _PERCENTILE)) if len(every) else 1.0
    low, high = (-top, top) if diverging else (0.0, top)
    with look():
        figure = new_figure(9.6, 9.6 / max(len(shown), 2) + 0.2, paper)
        panels: Any = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, (title, matrix) in zip(panels, shown.items(), strict=True):
            image = axes.imshow(
                matrix,
                cmap=DIVERGING if diverging else MATRIX_COLOURS,
                vmin=low,
                vmax=high,
                interpolation="nearest",
                aspect="auto" if not diverging else "equal",
            )
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
            axes.set_xlabel(axes_labels[1])
        panels[0].set_ylabel(axes_labels[0])
        bar = figure.colorbar(image, ax=list(panels), shrink=0.8, label=label)
        bar.outline.set_visible(False)
        return save(figure, stem, paper=paper)


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvePanel:
    """Curves of one quantity over x: of real data, and of others by name."""

    x_label: str
    y_label: str
    x: Floats
    real: Floats
    others: Mapping[str, Floats]


def draw_spectra(stem: Path, panels: list[CurvePanel], *, paper: Paper = SCREEN) -> list[Path]:
    """Draw curves such as autocorrelation and power spectrum side by side; return PNG and SVG."""
    with look():
        figure = new_figure(9.6, 3.4, paper)
        every: Any = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(every, panels, strict=True):
            axes.plot(panel.x, panel.real, color=INK, linewidth=3.0, alpha=0.35, label="real")
            for order, (name, colour) in enumerate(zip(panel.others, SOURCE_COLOURS, strict=False)):
                # The first one is the subject and is drawn on top.
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
        return save(figure, stem, paper=paper)


def draw_training(
    stem: Path,
    steps: Sequence[int],
    distances: Sequence[float],
    scores: Sequence[float],
    *,
    best_step: int,
    paper: Paper = SCREEN,
) -> list[Path]:
    """Draw the critic's distance and the score of generated windows, by step."""
    with look():
        figure = new_figure(9.6, 3.2, paper)
        panels: Any = figure.subplots(1, 2)
        named = (
            (panels[0], distances, "critic: real less generated"),
            (panels[1], scores, "unlikeness to validation"),
        )
        for axes, values, label in named:
            axes.plot(steps, values, color=INK, linewidth=1.4, marker=".")
            axes.set_xlabel("steps of the generator")
            axes.set_ylabel(label)
            axes.set_ylim(min(0.0, *values), 1.05 * max(*values, 0.01))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)
        if best_step in steps:
            at = list(steps).index(best_step)
            panels[1].plot(
                best_step,
                scores[at],
                "o",
                color=CLASS_COLOURS["Excitatory"],
                label=f"kept: step {best_step:,}",
            )
            panels[1].legend(frameon=False)
        return save(figure, stem, paper=paper)
