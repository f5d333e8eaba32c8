"""Where in a scalogram a network looks: in one cell, and on average in each class."""

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
from sts.reports.figures.scalogram import STEP_S, CellPicture
from sts.reports.figures.style import (
    CLASS_COLOURS,
    DIVERGING,
    FAINT,
    INK,
    look,
    new_figure,
    save,
    shade,
)

SWEEPS: Final = ("rheobase sweep", "second sweep")
SEQUENTIAL: Final = "OrRd"
# About as many columns as there are pixels.
CELL_COLUMNS: Final = 800
CLASS_COLUMNS: Final = 240
# The strongest pixels are few: the colours end below them, so that the rest is seen.
SCALE_PERCENTILE: Final = 99.5
# How dark the scalogram lies beneath, 0 to 1: there to be recognised, not to compete.
UNDERLAY: Final = 0.45
# The time over which the profile of attention adds up.
PROFILE_MS: Final = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassSaliency:
    """The saliency of the cells of one class, averaged on common axes."""

    label: str
    cells: int
    saliency: Floats
    """(2, frequencies, times), row 0 of the rheobase sweep; its sign is not looked at."""


def draw_saliency(
    stem: Path, cell: CellPicture, *, maps: Mapping[str, Floats], said: str = ""
) -> list[Path]:
    """Draw the sweeps of a cell over what each method finds decisive; return PNG and SVG.

    Parameters
    ----------
    cell
        One without traces, (0, n), has its scalograms drawn instead; amplitudes that are not known
        are NaN.
    maps
        By name of the method, (2, frequencies, times) over the axes of the scalograms, at any
        resolution. One with negative values is drawn as speaking for and against the class.
    said
        What the network says of the cell, for the title.
    """
    with look():
        figure = new_figure(9.6, 1.7 + 2.1 * len(maps))
        ratios = [4, *[5] * len(maps)]
        grid: Any = figure.subplots(
            1 + len(maps), 2, sharex=True, sharey="row", height_ratios=ratios, squeeze=False
        )
        for sweep, name in enumerate(SWEEPS):
            amplitude_pa = cell.amplitudes_pa[sweep]
            known = "" if np.isnan(amplitude_pa) else f": {amplitude_pa:.0f} pA"
            grid[0, sweep].set_title(f"{name}{known}", loc="left")
            grid[-1, sweep].set_xlabel("time from stimulus onset (ms)")
        _draw_sweeps(figure, grid[0], cell)
        for row, (method, saliency) in zip(grid[1:], maps.items(), strict=True):
            _draw_method(figure, row, cell, saliency)
            row[0].set_title(method, loc="left")
            row[0].set_ylabel("frequency (Hz)")
        title = "  ·  ".join(part for part in (cell.title, said) if part)
        figure.suptitle(title, fontsize=11, fontweight="bold", color=cell.colour)
        return save(figure, stem)


def _draw_sweeps(figure: Figure, axes: Sequence[Axes], cell: CellPicture) -> None:
    """Draw what the network was given: the traces, or the scalograms where there are none."""
    if len(cell.traces):
        for sweep, one in enumerate(axes):
            _draw_trace(one, cell, sweep)
        axes[0].set_ylabel("membrane\npotential (mV)")
        return
    limit = _limit(cell.scalograms)
    scale = ScalarMappable(Normalize(-limit, limit), DIVERGING)
    for one, scalogram in zip(axes, cell.scalograms, strict=True):
        colours = scale.to_rgba(_strongest(scalogram, CELL_COLUMNS))[..., :3]
        _draw_image(one, colours, times_ms=_span_ms(cell), freqs_hz=cell.freqs_hz)
    axes[0].set_ylabel("frequency (Hz)")
    bar = figure.colorbar(scale, ax=list(axes), pad=0.015, fraction=0.03, aspect=14, extend="both")
    bar.set_label("coefficient (mV)", labelpad=6)
    bar.outline.set_visible(False)


def _span_ms(cell: CellPicture) -> tuple[float, float]:
    """Return from the beginning of the first column of a scalogram to the end of the last."""
    start_ms = float(cell.times_ms[0])
    return start_ms, start_ms + cell.scalograms.shape[2] / cell.rate_hz * 1e3


def _draw_trace(axes: Axes, cell: CellPicture, sweep: int) -> None:
    shade(axes, 0.0, STEP_S * 1e3)
    axes.plot(cell.times_ms, cell.traces[sweep], color=cell.colour)
    axes.set_xlim(cell.times_ms[0], cell.times_ms[-1])
    axes.xaxis.set_major_locator(MultipleLocator(250))
    axes.yaxis.set_major_locator(MultipleLocator(40))


def _draw_method(figure: Figure, axes: Sequence[Axes], cell: CellPicture, saliency: Floats) -> None:
    """Draw one method for both sweeps, in colours that mean the same for both."""
    signed = bool((saliency < 0).any())
    limit = _limit(saliency)
    scale = ScalarMappable(
        Normalize(-limit if signed else 0.0, limit), DIVERGING if signed else SEQUENTIAL
    )
    beneath = _limit(cell.scalograms)
    for sweep, one in enumerate(axes):
        rows = cell.scalograms.shape[1]
        scalogram = _strongest(np.abs(cell.scalograms[sweep]), CELL_COLUMNS)
        grey = 1.0 - UNDERLAY * np.minimum(scalogram / beneath, 1.0)
        wanted = _stretched(_strongest(saliency[sweep], CELL_COLUMNS), rows, scalogram.shape[1])
        colours = scale.to_rgba(wanted)[..., :3]
        # Colour covers as much as it says: where nothing is decisive the scalogram stands alone.
        cover = np.minimum(np.abs(wanted) / limit, 1.0)[..., None]
        _draw_image(
            one,
            cover * colours + (1 - cover) * grey[..., None],
            times_ms=_span_ms(cell),
            freqs_hz=cell.freqs_hz,
        )
    ends = ("against", "for the class") if signed else ("none", "strong")
    _add_bar(figure, scale, axes, ends=ends)


def _add_bar(
    figure: Figure, scale: ScalarMappable, axes: Sequence[Axes], *, ends: tuple[str, str]
) -> None:
    """Add the scale of colours; how strong is relative, so that its ends are words."""
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
) -> list[Path]:
    """Draw when and at which frequencies each class is recognised; return the PNG and the SVG.

    Parameters
    ----------
    freqs_hz
        Of the rows, ascending and evenly spaced.
    window_ms
        From the beginning of the first column to the end of the last, from the stimulus onset.
    """
    shares = [_share(one.saliency) for one in averages]
    limit = _limit(np.stack([_strongest(sweep, CLASS_COLUMNS) for s in shares for sweep in s]))
    scale = ScalarMappable(Normalize(0.0, limit), SEQUENTIAL)
    with look():
        figure = new_figure(2.6 * len(averages) + 1.3, 5.4)
        grid: Any = figure.subplots(
            3, len(averages), sharex=True, sharey="row", height_ratios=[3, 4, 4], squeeze=False
        )
        for column, one, share in zip(grid.T, averages, shares, strict=True):
            colour = CLASS_COLOURS.get(one.label, INK)
            column[0].set_title(one.label, loc="left", fontsize=11, fontweight="bold", color=colour)
            column[0].set_title(f"{one.cells:,} cells", loc="right", color=FAINT)
            _draw_profile(column[0], share, window_ms=window_ms, colour=colour)
            for axes, sweep in zip(column[1:], share, strict=True):
                image = scale.to_rgba(_strongest(sweep, CLASS_COLUMNS))[..., :3]
                _draw_image(axes, image, times_ms=window_ms, freqs_hz=freqs_hz)
            column[2].set_xlabel("time from onset (ms)")
        _name_class_rows(grid[:, 0])
        _add_bar(figure, scale, grid[1:].ravel(), ends=("none", "strong"))
        return save(figure, stem)


def _name_class_rows(axes: Sequence[Axes]) -> None:
    axes[0].set_ylabel(f"share of saliency\nin {PROFILE_MS:.0f} ms")
    axes[0].legend(loc="upper right", frameon=False, fontsize=7, handlelength=1.2)
    for one, name in zip(axes[1:], SWEEPS, strict=True):
        one.set_ylabel(f"{name}\nfrequency (Hz)")


def _share(saliency: Floats) -> Floats:
    """Return what part of the whole lies in each pixel."""
    strength: Floats = np.abs(saliency)
    return strength / (strength.sum() or 1.0)


def _draw_profile(
    axes: Axes, share: Floats, *, window_ms: tuple[float, float], colour: str
) -> None:
    """Draw how much of the saliency falls into each stretch of time."""
    shade(axes, 0.0, STEP_S * 1e3)
    columns_ms = np.linspace(*window_ms, share.shape[-1] + 1)
    edges_ms = np.arange(window_ms[0], window_ms[1] + PROFILE_MS / 2, PROFILE_MS)
    for sweep, dashes, name in zip(share, ((0, (2, 1)), "-"), SWEEPS, strict=True):
        # A column that two stretches share is divided between them.
        so_far = np.append(0.0, sweep.sum(axis=0).cumsum())
        added = np.diff(np.interp(edges_ms, columns_ms, so_far))
        axes.stairs(added, edges_ms, color=colour, linestyle=dashes, linewidth=0.9, label=name)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_ylim(bottom=0.0)


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


def _limit(values: Floats) -> float:
    """Return where the colours end."""
    return float(np.percentile(np.abs(values), SCALE_PERCENTILE)) or 1.0


def _strongest(values: Floats, columns: int) -> Floats:
    """Return at most so many columns, each the strongest of its neighbours."""
    width = -(-values.shape[1] // columns)
    starts = np.arange(0, values.shape[1], width)
    highest = np.maximum.reduceat(values, starts, axis=1)
    lowest = np.minimum.reduceat(values, starts, axis=1)
    strongest: Floats = np.where(highest >= -lowest, highest, lowest)
    return strongest


def _stretched(values: Floats, rows: int, columns: int) -> Floats:
    """Return an image with each pixel repeated or left out until it has the size wanted."""
    height, width = values.shape
    down = (np.arange(rows) + 0.5) * height / rows
    across = (np.arange(columns) + 0.5) * width / columns
    stretched: Floats = values[down.astype(int)][:, across.astype(int)]
    return stretched
