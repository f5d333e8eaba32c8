"""Figures of voltage traces and their scalograms: one cell in full, or one of each class."""

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
    SCREEN,
    STEP_S,
    SWEEP_TITLES,
    Paper,
    look,
    new_figure,
    save,
    shade,
)
from sts.scalograms.transform import compute_scalograms
from sts.scalograms.wavelet import FREQS_HZ
from sts.signals.resample import BEFORE_S, RATE_HZ

# Columns of an image, about as many as it has pixels, so that no two are mixed when drawn.
IMAGE_COLUMNS: Final = 800
CLASS_COLUMNS: Final = 240
# Percentile at which the colours end: the few very high values, at spikes, must not hide the rest.
SCALE_PERCENTILE: Final = 99.5


@dataclass(frozen=True, kw_only=True, eq=False)
class CellPicture:
    """The data of one cell for a figure; row 0 is its rheobase sweep, row 1 its second sweep."""

    specimen_id: str
    label: str
    """Class, "" if not known."""
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
        """Return class, specimen and data set in a line."""
        known = [self.label or "class not known", f"specimen {self.specimen_id}", self.dataset]
        return "  ·  ".join(part for part in known if part)

    @property
    def colour(self) -> str:
        """Return the colour of the class."""
        return CLASS_COLOURS.get(self.label, INK)

    @property
    def times_ms(self) -> Floats:
        """Return the times of the samples from the onset of the step."""
        samples: Floats = np.arange(self.traces.shape[-1]) / self.rate_hz
        return (samples - self.onset_s) * 1e3

    @property
    def span_ms(self) -> tuple[float, float]:
        """Return the start of the first column of a scalogram and the end of the last."""
        start_ms = float(self.times_ms[0])
        return start_ms, start_ms + self.scalograms.shape[2] / self.rate_hz * 1e3


def picture_of(cell: SweepStore) -> CellPicture:
    """Return the only cell of a store, with its scalograms."""
    (traces,) = cell.traces
    return CellPicture(
        specimen_id=str(cell.specimen_id[0]),
        label=str(cell.label[0]),
        dataset=str(cell.dataset[0]),
        traces=traces,
        scalograms=compute_scalograms(traces),
        freqs_hz=FREQS_HZ,
        amplitudes_pa=(float(cell.rheobase_pa[0]), float(cell.step_pa[0])),
        rate_hz=RATE_HZ,
        onset_s=BEFORE_S,
    )


def draw_cell(
    stem: Path, picture: CellPicture, *, prediction: str = "", paper: Paper = SCREEN
) -> list[Path]:
    """Draw both sweeps of a cell over their scalograms; return PNG and SVG.

    Parameters
    ----------
    prediction
        The prediction of a network, for the title.
    """
    with look():
        figure = new_figure(9.6, 5.2, paper)
        limit = find_colour_limit(picture.scalograms)
        grid: Any = figure.subplots(
            3, 2, sharex=True, sharey="row", gridspec_kw={"height_ratios": [5, 1, 5]}
        )
        for row, name in enumerate(SWEEP_TITLES):
            column = grid[:, row]
            column[0].set_title(f"{name}: {picture.amplitudes_pa[row]:.0f} pA", loc="left")
            draw_trace(column[0], picture, row)
            _draw_step(column[1], picture, row)
            image = _draw_scalogram(column[2], picture, row, limit=limit, columns=IMAGE_COLUMNS)
            column[2].set_xlabel("time from stimulus onset (ms)")
        _name_rows(grid[:, 0], ["membrane\npotential (mV)", "current\n(pA)", "frequency (Hz)"])
        _add_bar(figure, image, grid[2, :])
        if not paper.is_print:
            title = "  ·  ".join(part for part in (picture.title, prediction) if part)
            figure.suptitle(title, fontsize=11, fontweight="bold", color=picture.colour)
        return save(figure, stem, paper=paper)


def draw_classes(
    stem: Path, pictures: Sequence[CellPicture], *, paper: Paper = SCREEN
) -> list[Path]:
    """Draw the second sweeps of several cells side by side; return PNG and SVG."""
    with look():
        figure = new_figure(2.7 * len(pictures) + 0.9, 4.4, paper)
        limit = find_colour_limit(np.stack([picture.scalograms[1] for picture in pictures]))
        grid: Any = figure.subplots(2, len(pictures), sharex=True, sharey="row", squeeze=False)
        for column, picture in zip(grid.T, pictures, strict=True):
            name = picture.label or picture.specimen_id
            column[0].set_title(
                name, loc="left", fontsize=11, fontweight="bold", color=picture.colour
            )
            column[0].set_title(f"{picture.amplitudes_pa[1]:.0f} pA", loc="right", color=FAINT)
            draw_trace(column[0], picture, 1)
            image = _draw_scalogram(column[1], picture, 1, limit=limit, columns=CLASS_COLUMNS)
            column[1].set_xlabel("time from onset (ms)")
        _name_rows(grid[:, 0], ["membrane\npotential (mV)", "frequency (Hz)"])
        _add_bar(figure, image, grid[1, :])
        return save(figure, stem, paper=paper)


def find_colour_limit(values: Floats) -> float:
    """Return the value at which the colours end, one for all images that are compared."""
    return float(np.percentile(np.abs(values), SCALE_PERCENTILE)) or 1.0


def keep_strongest(values: Floats, columns: int) -> Floats:
    """Return an image of fewer columns, with the strongest value of neighbouring ones.

    Their mean would hide a spike, whose positive and negative coefficients cancel.
    """
    width = -(-values.shape[1] // columns)
    starts = np.arange(0, values.shape[1], width)
    highest = np.maximum.reduceat(values, starts, axis=1)
    lowest = np.minimum.reduceat(values, starts, axis=1)
    strongest: Floats = np.where(highest >= -lowest, highest, lowest)
    return strongest


def draw_trace(axes: Axes, picture: CellPicture, row: int) -> None:
    """Draw the voltage of one sweep, with its step shaded."""
    shade(axes, 0.0, STEP_S * 1e3)
    axes.plot(picture.times_ms, picture.traces[row], color=picture.colour)
    axes.set_xlim(picture.times_ms[0], picture.times_ms[-1])
    axes.xaxis.set_major_locator(MultipleLocator(250))
    axes.yaxis.set_major_locator(MultipleLocator(40))


def _draw_step(axes: Axes, picture: CellPicture, row: int) -> None:
    times_ms = picture.times_ms
    inside = (times_ms >= 0.0) & (times_ms < STEP_S * 1e3)
    axes.plot(times_ms, np.where(inside, picture.amplitudes_pa[row], 0.0), color=INK)
    low, high = min(0.0, *picture.amplitudes_pa), max(0.0, *picture.amplitudes_pa)
    margin = 0.2 * max(high - low, 1.0)
    axes.set_ylim(low - margin, high + margin)
    axes.set_yticks([0.0, max(picture.amplitudes_pa, key=abs)])


def _draw_scalogram(
    axes: Axes, picture: CellPicture, row: int, *, limit: float, columns: int
) -> AxesImage:
    """Draw rows of equal height, as a network sees them: the frequencies are 1 Hz apart."""
    freqs_hz = picture.freqs_hz
    half_hz = (freqs_hz[-1] - freqs_hz[0]) / (len(freqs_hz) - 1) / 2
    image = axes.imshow(
        keep_strongest(picture.scalograms[row], columns),
        extent=(*picture.span_ms, freqs_hz[0] - half_hz, freqs_hz[-1] + half_hz),
        origin="lower",
        aspect="auto",
        cmap=DIVERGING,
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    axes.yaxis.set_major_locator(MultipleLocator(40, offset=freqs_hz[0]))
    return image


def _name_rows(axes: Sequence[Axes], names: Sequence[str]) -> None:
    for one, name in zip(axes, names, strict=True):
        one.set_ylabel(name)


def _add_bar(figure: Figure, image: AxesImage, axes: Any) -> None:
    bar = figure.colorbar(image, ax=list(axes), pad=0.015, aspect=18, extend="both")
    bar.set_label("coefficient (mV)", labelpad=6)
    bar.outline.set_visible(False)
