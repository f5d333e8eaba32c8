"""Voltage traces over their scalograms: one cell in full, or one of each class side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MultipleLocator

from sts.base.types import Floats
from sts.datasets.store import SweepStore
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
from sts.scalograms.transform import scalograms_of
from sts.scalograms.wavelet import FREQS_HZ
from sts.signals.resample import BEFORE_S, RATE_HZ

# About as many columns as there are pixels, so that none is mixed of its neighbours when drawn.
CELL_COLUMNS: Final = 800
CLASS_COLUMNS: Final = 240
# Spikes are rare and their coefficients far above the rest: the scale ends at this percentile, so
# that what lies between them is seen as well.
SCALE_PERCENTILE: Final = 99.5
STEP_S: Final = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class CellPicture:
    """What is drawn of one cell; row 0 is its rheobase sweep, row 1 its second sweep."""

    specimen_id: str
    label: str
    """Its class, "" if not known."""
    traces: Floats
    """(2, n), mV."""
    scalograms: Floats
    """(2, len(freqs_hz), n)."""
    freqs_hz: Floats
    """Ascending, evenly spaced."""
    amplitudes_pa: tuple[float, float]
    rate_hz: float
    onset_s: float
    """From the first sample to the onset of the step."""
    dataset: str = ""

    @property
    def title(self) -> str:
        """Return who it is, in a line."""
        known = [self.label or "class not known", f"specimen {self.specimen_id}", self.dataset]
        return "  ·  ".join(part for part in known if part)

    @property
    def colour(self) -> str:
        """Return the colour of its class."""
        return CLASS_COLOURS.get(self.label, INK)

    @property
    def times_ms(self) -> Floats:
        """Return the times of the samples from the onset of the step."""
        samples: Floats = np.arange(self.traces.shape[-1]) / self.rate_hz
        return (samples - self.onset_s) * 1e3


def picture_of(cell: SweepStore) -> CellPicture:
    """Return what is drawn of a store's only cell."""
    (traces,) = cell.traces
    return CellPicture(
        specimen_id=str(cell.specimen_id[0]),
        label=str(cell.label[0]),
        dataset=str(cell.dataset[0]),
        traces=traces,
        scalograms=scalograms_of(traces),
        freqs_hz=FREQS_HZ,
        amplitudes_pa=(float(cell.rheobase_pa[0]), float(cell.step_pa[0])),
        rate_hz=RATE_HZ,
        onset_s=BEFORE_S,
    )


def draw_cell(stem: Path, picture: CellPicture, *, said: str = "") -> list[Path]:
    """Draw both sweeps of a cell over their scalograms; return the PNG and the SVG.

    `said` is what a network says of the cell, for the title.
    """
    with look():
        figure = new_figure(9.6, 5.2)
        limit = _limit(picture.scalograms)
        grid: Any = figure.subplots(
            3, 2, sharex=True, sharey="row", gridspec_kw={"height_ratios": [5, 1, 5]}
        )
        for row, name in enumerate(("rheobase sweep", "second sweep")):
            column = grid[:, row]
            column[0].set_title(f"{name}: {picture.amplitudes_pa[row]:.0f} pA", loc="left")
            _draw_trace(column[0], picture, row)
            _draw_step(column[1], picture, row)
            image = _draw_scalogram(column[2], picture, row, limit=limit, columns=CELL_COLUMNS)
            column[2].set_xlabel("time from stimulus onset (ms)")
        _name_rows(grid[:, 0], ["membrane\npotential (mV)", "current\n(pA)", "frequency (Hz)"])
        _add_bar(figure, image, grid[2, :])
        title = "  ·  ".join(part for part in (picture.title, said) if part)
        figure.suptitle(title, fontsize=11, fontweight="bold", color=picture.colour)
        return save(figure, stem)


def draw_classes(stem: Path, pictures: Sequence[CellPicture]) -> list[Path]:
    """Draw the second sweep of several cells side by side; return the PNG and the SVG."""
    with look():
        figure = new_figure(2.7 * len(pictures) + 0.9, 4.4)
        limit = _limit(np.stack([picture.scalograms[1] for picture in pictures]))
        grid: Any = figure.subplots(2, len(pictures), sharex=True, sharey="row", squeeze=False)
        for column, picture in zip(grid.T, pictures, strict=True):
            name = picture.label or picture.specimen_id
            column[0].set_title(
                name, loc="left", fontsize=11, fontweight="bold", color=picture.colour
            )
            column[0].set_title(f"{picture.amplitudes_pa[1]:.0f} pA", loc="right", color=FAINT)
            _draw_trace(column[0], picture, 1)
            image = _draw_scalogram(column[1], picture, 1, limit=limit, columns=CLASS_COLUMNS)
            column[1].set_xlabel("time from onset (ms)")
        _name_rows(grid[:, 0], ["membrane\npotential (mV)", "frequency (Hz)"])
        _add_bar(figure, image, grid[1, :])
        return save(figure, stem)


def _limit(scalograms: Floats) -> float:
    """Return where the colours end, the same for all that are compared."""
    return float(np.percentile(np.abs(scalograms), SCALE_PERCENTILE)) or 1.0


def _draw_trace(axes: Axes, picture: CellPicture, row: int) -> None:
    shade(axes, 0.0, STEP_S * 1e3)
    axes.plot(picture.times_ms, picture.traces[row], color=picture.colour)
    axes.set_xlim(picture.times_ms[0], picture.times_ms[-1])
    axes.xaxis.set_major_locator(MultipleLocator(250))
    axes.yaxis.set_major_locator(MultipleLocator(40))


def _draw_step(axes: Axes, picture: CellPicture, row: int) -> None:
    times_ms = picture.times_ms
    inside = (times_ms >= 0.0) & (times_ms < STEP_S * 1e3)
    axes.plot(times_ms, np.where(inside, picture.amplitudes_pa[row], 0.0), color=INK)
    axes.set_ylim(*_around(0.0, *picture.amplitudes_pa))
    axes.set_yticks([0.0, max(picture.amplitudes_pa, key=abs)])


def _around(*values: float) -> tuple[float, float]:
    margin = 0.2 * max(max(values) - min(values), 1.0)
    return min(values) - margin, max(values) + margin


def _draw_scalogram(
    axes: Axes, picture: CellPicture, row: int, *, limit: float, columns: int
) -> AxesImage:
    """Draw rows of equal height: the frequencies are 1 Hz apart, and so a network sees them."""
    thinned, width = _thinned(picture.scalograms[row], columns)
    freqs_hz = picture.freqs_hz
    half_hz = (freqs_hz[-1] - freqs_hz[0]) / (len(freqs_hz) - 1) / 2
    start_ms = picture.times_ms[0]
    end_ms = start_ms + thinned.shape[1] * width / picture.rate_hz * 1e3
    image = axes.imshow(
        thinned,
        extent=(start_ms, end_ms, freqs_hz[0] - half_hz, freqs_hz[-1] + half_hz),
        origin="lower",
        aspect="auto",
        cmap=DIVERGING,
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    axes.yaxis.set_major_locator(MultipleLocator(40, offset=freqs_hz[0]))
    return image


def _thinned(scalogram: Floats, columns: int) -> tuple[Floats, int]:
    """Return at most so many columns, each the strongest of its neighbours, and how many those are.

    A mean would wipe out a spike: its positive and negative coefficients cancel.
    """
    width = -(-scalogram.shape[1] // columns)
    whole = scalogram.shape[1] // width * width
    blocks = scalogram[:, :whole].reshape(len(scalogram), -1, width)
    strongest = np.abs(blocks).argmax(axis=2)[:, :, None]
    thinned: Floats = np.take_along_axis(blocks, strongest, axis=2)[:, :, 0]
    return thinned, width


def _name_rows(axes: Sequence[Axes], names: Sequence[str]) -> None:
    for one, name in zip(axes, names, strict=True):
        one.set_ylabel(name)


def _add_bar(figure: Figure, image: AxesImage, axes: Any) -> None:
    bar = figure.colorbar(image, ax=list(axes), pad=0.015, aspect=18, extend="both")
    bar.set_label("coefficient (mV)", labelpad=6)
    bar.outline.set_visible(False)
