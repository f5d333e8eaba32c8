"""How real synthetic rows are: a map of methods, measures by class and feature, densities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.stats import gaussian_kde

from sts.base.types import Floats
from sts.evaluation.scores import Interval
from sts.reports.figures.augment_scores import LINE_COLOURS
from sts.reports.figures.style import (
    DPI,
    FAINT,
    INK,
    MM_PER_IN,
    PRINT_SCALE,
    SCREEN,
    SHADE,
    Paper,
    look,
    new_figure,
    save,
)

# Densities side by side, and points of each curve.
DENSITY_COLUMNS: Final = 3
CURVE_POINTS: Final = 200
# Most heat maps in one column.
ABOVE: Final = 3
# Greatest height in print: 230 mm, before it is made smaller.
HIGHEST_IN: Final = 230.0 / MM_PER_IN / PRINT_SCALE
# Percentiles between which densities are drawn: one far value must not compress all others.
DRAWN_PERCENTILES: Final = (1.0, 99.0)
# Colours of the distance to the nearest training cell: 0 is a copy, 1 as far as a new cell.
COPY: Final = (0.0, 1.2)
# Sizes in points: of a marker, of a letter, and of a line of text.
RADIUS: Final = 4.5
LETTER: Final = 4.4
LINE: Final = 10.0

# Left, below, right, above.
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class MethodPlace:
    """The place of one method on the map."""

    name: str
    gain: Interval
    """In macro F1."""
    auc: float
    """Area under the curve of a classifier that separates synthetic from held-out rows."""
    distance: float
    """Distance to the nearest training cell; that of held-out cells is 1."""


def draw_map(stem: Path, places: Sequence[MethodPlace], *, real: float, gain_of: str) -> list[Path]:
    """Draw gain against fidelity, with copying as colour; return PNG and SVG.

    Parameters
    ----------
    real
        The area under the curve for real training cells.
    gain_of
        The classifier and N of the gains, as a text.
    """
    with look():
        figure = new_figure(7.2, 4.4)
        axes: Any = figure.subplots()
        axes.axhline(0, color=INK, linewidth=0.7)
        axes.axvline(real, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
        for place in places:
            if np.isfinite([place.gain.low, place.gain.high]).all():
                axes.plot(
                    [place.auc] * 2,
                    [place.gain.low, place.gain.high],
                    color=FAINT,
                    linewidth=0.8,
                )
        points = axes.scatter(
            [place.auc for place in places],
            [place.gain.value for place in places],
            c=[place.distance for place in places],
            cmap="viridis",
            vmin=COPY[0],
            vmax=COPY[1],
            s=70,
            edgecolors=INK,
            linewidths=0.7,
            zorder=3,
        )
        axes.margins(x=0.12, y=0.1)
        axes.set_xlabel("separation from held-out cells (AUC; dashed: real cells)")
        axes.set_ylabel(f"gain in macro F1, {gain_of}")
        figure.colorbar(points, label="distance to the nearest training cell, held-out cells' = 1")
        # The positions of points on the page are known after the layout.
        figure.draw_without_rendering()
        _name_points(axes, places)
        return save(figure, stem)


def _name_points(axes: Axes, places: Sequence[MethodPlace]) -> None:
    """Write each name beside its point, where it covers neither a name nor another point."""
    points = [
        72 / DPI * axes.transData.transform((place.auc, place.gain.value)) for place in places
    ]
    taken = [_make_box(point, (-RADIUS, -RADIUS), 2 * RADIUS, 2 * RADIUS) for point in points]
    for place, point in zip(places, points, strict=True):
        width = LETTER * len(place.name)
        free = [
            offset
            for offset in _list_offsets(width)
            if not any(_overlap(_make_box(point, offset, width, LINE), other) for other in taken)
        ]
        offset = (free or _list_offsets(width))[0]
        taken.append(_make_box(point, offset, width, LINE))
        axes.annotate(
            place.name,
            (place.auc, place.gain.value),
            xytext=offset,
            textcoords="offset points",
            fontsize=8,
            va="bottom",
            annotation_clip=False,
        )


def _list_offsets(width: float) -> list[tuple[float, float]]:
    """Return possible offsets of a name from its point: beside it, then above and below."""
    right, left = RADIUS + 2, -RADIUS - 6 - width
    return [
        (x, y - LINE / 2)
        for y in (0.0, 9.0, -9.0, 18.0, -18.0, 27.0, -27.0)
        for x in (right, left, -width / 2 if abs(y) >= LINE else right)
    ]


def _make_box(point: Any, offset: tuple[float, float], width: float, height: float) -> Box:
    left, below = point[0] + offset[0], point[1] + offset[1]
    return left, below, left + width, below + height


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatMap:
    """One measure of one method."""

    title: str
    values: Floats
    """(classes, features), NaN where nothing was measured."""


def draw_heat_maps(
    stem: Path,
    maps: Sequence[HeatMap],
    *,
    classes: Sequence[str],
    features: Sequence[str],
    what: str,
    paper: Paper = SCREEN,
) -> list[Path]:
    """Draw maps of class by feature on one scale; return PNG and SVG."""
    known = np.concatenate([each.values.ravel() for each in maps])
    known = known[np.isfinite(known)]
    top = float(known.max()) if len(known) else 1.0
    columns = 1 if len(maps) <= ABOVE or paper.is_print else 2
    rows = -(-len(maps) // columns)
    wide, high = 0.078 * len(features), 0.1 * len(classes)
    if paper.is_print:
        # A row in print is wide enough for larger text, and a page high enough for so much.
        high = min(0.13 * len(classes), (HIGHEST_IN - 1.9) / rows - 0.35)
    size = min(7.0, 60.0 * high / len(classes)) if paper.is_print else 5.0
    with look():
        figure = new_figure(
            max(6.0, 1.2 + (1.0 + wide) * columns), 1.9 + (0.35 + max(high, 0.5)) * rows, paper
        )
        grid: Any = figure.subplots(rows, columns, squeeze=False)
        # Down the first column, then down the second: compared maps are close together.
        for number, axes in enumerate(grid.T.ravel()):
            if number >= len(maps):
                axes.set_axis_off()
                continue
            image = _draw_map(axes, maps[number], classes, top=top, size=size)
            last = number == len(maps) - 1 or number % rows == rows - 1
            axes.set_xticks(
                range(len(features)), features if last else [], rotation=90, fontsize=max(size, 5)
            )
        figure.colorbar(
            image, ax=grid.ravel().tolist(), label=what, location="top", shrink=0.4, aspect=30
        )
        return save(figure, stem, paper=paper)


def _draw_map(
    axes: Axes, one: HeatMap, classes: Sequence[str], *, top: float, size: float
) -> AxesImage:
    image = axes.imshow(one.values, vmin=0.0, vmax=top, cmap="cividis_r", aspect="auto")
    axes.set_title(one.title, loc="left", fontsize=8, fontweight="bold")
    axes.set_yticks(range(len(classes)), classes, fontsize=size)
    axes.tick_params(length=0, pad=2)
    return image


def draw_densities(
    stem: Path, features: Sequence[str], sources: Mapping[str, Floats]
) -> list[Path]:
    """Draw the densities of features, a panel each and a line a source; return PNG and SVG.

    Parameters
    ----------
    sources
        By name: real training cells first, then held-out cells, then synthetic rows; each
        (n, features), NaN where a value is missing.
    """
    rows = -(-len(features) // DENSITY_COLUMNS)
    with look():
        figure = new_figure(9.6, 0.9 + 1.75 * rows)
        grid: Any = figure.subplots(rows, DENSITY_COLUMNS, squeeze=False)
        for place, axes in enumerate(grid.ravel()):
            if place >= len(features):
                axes.set_axis_off()
                continue
            _draw_feature(axes, [source[:, place] for source in sources.values()])
            axes.set_title(features[place], loc="left", fontsize=8)
        figure.legend(
            handles=[
                Line2D([], [], label=name, **_style_line(n)) for n, name in enumerate(sources)
            ],
            loc="outside lower center",
            ncols=min(4, len(sources)),
            frameon=False,
        )
        return save(figure, stem)


def _draw_feature(axes: Axes, columns: Sequence[Floats]) -> None:
    known = [column[np.isfinite(column)] for column in columns]
    together = np.concatenate(known)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if not len(together):
        return
    low, high = np.percentile(together, DRAWN_PERCENTILES)
    if not high > low:
        return
    at = np.linspace(low, high, CURVE_POINTS)
    for number, values in enumerate(known):
        # Only of values in the drawn range: far values would make the curve too smooth.
        inside = values[(values >= low) & (values <= high)]
        if len(inside) < 3 or np.ptp(inside) == 0:
            continue
        heights = gaussian_kde(inside)(at) * len(inside) / len(values)
        if number == 0:
            axes.fill_between(at, heights, color=SHADE, linewidth=0)
        axes.plot(at, heights, **_style_line(number))
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(bottom=0)


def _style_line(number: int) -> dict[str, Any]:
    """Return the style of a source: real cells in black and grey, synthetic rows in colour."""
    if number == 0:
        return {"color": INK, "linewidth": 1.2}
    if number == 1:
        return {"color": FAINT, "linewidth": 1.2, "linestyle": (0, (3, 2))}
    return {"color": LINE_COLOURS[(number - 2) % len(LINE_COLOURS)], "linewidth": 0.9}
