"""Figures of saliency: the important parts of a scalogram, in one cell and in each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from sts.base.types import Floats
from sts.reports.figures.scalogram import (
    CLASS_COLUMNS,
    IMAGE_COLUMNS,
    CellPicture,
    draw_trace,
    find_colour_limit,
    keep_strongest,
)
from sts.reports.figures.style import (
    CLASS_COLOURS,
    DIVERGING,
    FAINT,
    INK,
    SCREEN,
    STEP_S,
    SWEEP_TITLES,
    Paper,
    look,
    new_figure,
    save,
    shade,
)
from sts.signals.resample import BEFORE_S, WINDOW_S

SALIENCY_COLOURS: Final = "OrRd"
# Darkness of the scalogram under the colours, 0 to 1: it must be visible, but not dominate.
UNDERLAY: Final = 0.45
# Duration over which the profile sums the saliency.
PROFILE_MS: Final = 10.0
# Start and end of the maps of a cell, from the stimulus onset.
WINDOW_MS: Final = (-BEFORE_S * 1e3, (WINDOW_S - BEFORE_S) * 1e3)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassSaliency:
    """The mean saliency of the cells of one class."""

    label: str
    cells: int
    saliency: Floats
    """(2, frequencies, times), row 0 of the rheobase sweep; its sign is ignored."""


def draw_saliency(
    stem: Path, cell: CellPicture, *, maps: Mapping[str, Floats], prediction: str = ""
) -> list[Path]:
    """Draw the sweeps of a cell over the saliency by each method; return PNG and SVG.

    Parameters
    ----------
    cell
        Without traces, (0, n), its scalograms are drawn instead; unknown amplitudes are NaN.
    maps
        Saliency by the name of the method, (2, frequencies, times) on the axes of the scalograms,
        at any resolution. Negative values count against the class.
    prediction
        The prediction of the network, for the title.
    """
    with look():
        figure = new_figure(9.6, 1.7 + 2.1 * len(maps))
        ratios = [4, *[5] * len(maps)]
        grid: Any = figure.subplots(
            1 + len(maps), 2, sharex=True, sharey="row", height_ratios=ratios, squeeze=False
        )
        for sweep, name in enumerate(SWEEP_TITLES):
            amplitude_pa = cell.amplitudes_pa[sweep]
            known = "" if np.isnan(amplitude_pa) else f": {amplitude_pa:.0f} pA"
            grid[0, sweep].set_title(f"{name}{known}", loc="left")
            grid[-1, sweep].set_xlabel("time from stimulus onset (ms)")
        _draw_sweeps(figure, grid[0], cell)
        for row, (method, saliency) in zip(grid[1:], maps.items(), strict=True):
            _draw_method(figure, row, cell, saliency)
            row[0].set_title(method, loc="left")
            row[0].set_ylabel("frequency (Hz)")
        title = "  ·  ".join(part for part in (cell.title, prediction) if part)
        figure.suptitle(title, fontsize=11, fontweight="bold", color=cell.colour)
        return save(figure, stem)


def _draw_sweeps(figure: Figure, axes: Sequence[Axes], cell: CellPicture) -> None:
    """Draw the traces, or the scalograms if there are no traces."""
    if len(cell.traces):
        for sweep, one in enumerate(axes):
            draw_trace(one, cell, sweep)
        axes[0].set_ylabel("membrane\npotential (mV)")
        return
    limit = find_colour_limit(cell.scalograms)
    scale = ScalarMappable(Normalize(-limit, limit), DIVERGING)
    for one, scalogram in zip(axes, cell.scalograms, strict=True):
        colours = scale.to_rgba(keep_strongest(scalogram, IMAGE_COLUMNS))[..., :3]
        _draw_image(one, colours, times_ms=cell.span_ms, freqs_hz=cell.freqs_hz)
    axes[0].set_ylabel("frequency (Hz)")
    bar = figure.colorbar(scale, ax=list(axes), pad=0.015, fraction=0.03, aspect=14, extend="both")
    bar.set_label("coefficient (mV)", labelpad=6)
    bar.outline.set_visible(False)


def _draw_method(figure: Figure, axes: Sequence[Axes], cell: CellPicture, saliency: Floats) -> None:
    """Draw the saliency by one method, in the same colours for both sweeps."""
    signed = bool((saliency < 0).any())
    limit = find_colour_limit(saliency)
    scale = ScalarMappable(
        Normalize(-limit if signed else 0.0, limit), DIVERGING if signed else SALIENCY_COLOURS
    )
    beneath = find_colour_limit(cell.scalograms)
    for sweep, one in enumerate(axes):
        rows = cell.scalograms.shape[1]
        scalogram = keep_strongest(np.abs(cell.scalograms[sweep]), IMAGE_COLUMNS)
        grey = 1.0 - UNDERLAY * np.minimum(scalogram / beneath, 1.0)
        strength = _resize(keep_strongest(saliency[sweep], IMAGE_COLUMNS), rows, scalogram.shape[1])
        colours = scale.to_rgba(strength)[..., :3]
        # The stronger the saliency, the more it covers the scalogram.
        cover = np.minimum(np.abs(strength) / limit, 1.0)[..., None]
        _draw_image(
            one,
            cover * colours + (1 - cover) * grey[..., None],
            times_ms=cell.span_ms,
            freqs_hz=cell.freqs_hz,
        )
    ends = ("against", "for the class") if signed else ("none", "strong")
    _add_bar(figure, scale, axes, ends=ends)


def _add_bar(
    figure: Figure, scale: ScalarMappable, axes: Sequence[Axes], *, ends: tuple[str, str]
) -> None:
    """Add the scale of colours; saliency has no unit, so that its ends are words."""
    bar = figure.colorbar(scale, ax=list(axes), pad=0.015, fraction=0.03, aspect=18)
    bar.ax.set_yticks(scale.get_clim(), ends)
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)


def draw_class_saliency(
    stem: Path,
    averages: Sequence[ClassSaliency],
    *,
    freqs_hz: Floats,
    window_ms: tuple[float, float],
    paper: Paper = SCREEN,
) -> list[Path]:
    """Draw the times and frequencies at which each class is recognised; return PNG and SVG.

    Parameters
    ----------
    freqs_hz
        Frequencies of the rows, ascending and evenly spaced.
    window_ms
        Start of the first column and end of the last one, from the stimulus onset.
    """
    strengths = [np.abs(one.saliency) for one in averages]
    shares = [strength / (strength.sum() or 1.0) for strength in strengths]
    limit = find_colour_limit(
        np.stack([keep_strongest(sweep, CLASS_COLUMNS) for s in shares for sweep in s])
    )
    scale = ScalarMappable(Normalize(0.0, limit), SALIENCY_COLOURS)
    with look():
        figure = new_figure(2.6 * len(averages) + 1.3, 5.4, paper)
        grid: Any = figure.subplots(
            3, len(averages), sharex=True, sharey="row", height_ratios=[3, 4, 4], squeeze=False
        )
        for column, one, share in zip(grid.T, averages, shares, strict=True):
            colour = CLASS_COLOURS.get(one.label, INK)
            column[0].set_title(one.label, loc="left", fontsize=11, fontweight="bold", color=colour)
            column[0].set_title(f"{one.cells:,} cells", loc="right", color=FAINT)
            _draw_profile(column[0], share, window_ms=window_ms, colour=colour)
            for axes, sweep in zip(column[1:], share, strict=True):
                image = scale.to_rgba(keep_strongest(sweep, CLASS_COLUMNS))[..., :3]
                _draw_image(axes, image, times_ms=window_ms, freqs_hz=freqs_hz)
            column[2].set_xlabel("time from onset (ms)")
        # After the last class: all classes share this axis.
        grid[0, 0].set_ylim(bottom=0.0)
        _name_class_rows(grid[:, 0])
        _add_bar(figure, scale, grid[1:].ravel(), ends=("none", "strong"))
        return save(figure, stem, paper=paper)


def _name_class_rows(axes: Sequence[Axes]) -> None:
    axes[0].set_ylabel(f"share of saliency\nin {PROFILE_MS:.0f} ms")
    axes[0].legend(loc="upper right", frameon=False, fontsize=7, handlelength=1.2)
    for one, name in zip(axes[1:], SWEEP_TITLES, strict=True):
        one.set_ylabel(f"{name}\nfrequency (Hz)")


def _draw_profile(
    axes: Axes, share: Floats, *, window_ms: tuple[float, float], colour: str
) -> None:
    """Draw the part of the saliency in each stretch of time."""
    shade(axes, 0.0, STEP_S * 1e3)
    columns_ms = np.linspace(*window_ms, share.shape[-1] + 1)
    edges_ms = np.arange(window_ms[0], window_ms[1] + PROFILE_MS / 2, PROFILE_MS)
    for sweep, dashes, name in zip(share, ((0, (2, 1)), "-"), SWEEP_TITLES, strict=True):
        # A column in two stretches is divided between them.
        total = np.append(0.0, sweep.sum(axis=0).cumsum())
        added = np.diff(np.interp(edges_ms, columns_ms, total))
        axes.stairs(added, edges_ms, color=colour, linestyle=dashes, linewidth=0.9, label=name)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")


def _draw_image(
    axes: Axes, pixels: Floats, *, times_ms: tuple[float, float], freqs_hz: Floats
) -> None:
    half_hz = (freqs_hz[-1] - freqs_hz[0]) / (len(freqs_hz) - 1) / 2
    axes.imshow(
        np.clip(pixels, 0.0, 1.0),
        extent=(*times_ms, freqs_hz[0] - half_hz, freqs_hz[-1] + half_hz),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_xlim(*times_ms)
    for edge_ms in (0.0, STEP_S * 1e3):
        axes.axvline(edge_ms, color=INK, linewidth=0.6, linestyle=(0, (3, 3)))
    axes.xaxis.set_major_locator(MultipleLocator(250))
    axes.yaxis.set_major_locator(MultipleLocator(40, offset=freqs_hz[0]))


def _resize(values: Floats, rows: int, columns: int) -> Floats:
    """Return an image of another size, each pixel from the nearest one."""
    height, width = values.shape
    down = (np.arange(rows) + 0.5) * height / rows
    across = (np.arange(columns) + 0.5) * width / columns
    resized: Floats = values[down.astype(int)][:, across.astype(int)]
    return resized
