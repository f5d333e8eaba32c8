"""Is it real, does it help, is it a copy: all methods on one map; and what each class gains."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from sts.base.types import Floats
from sts.evaluation.scores import Interval
from sts.reports.figures.style import DIVERGING, DPI, FAINT, INK, look, new_figure, save

# Nearest training cell of made rows over that of held-out cells: a copy 0, as far as a new cell 1.
COPY: Final = (0.0, 1.2)
# In points: of a marker, of a letter, and of a line of text.
RADIUS: Final = 4.5
LETTER: Final = 4.4
LINE: Final = 10.0

# Left, below, right, above.
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class MethodPlace:
    """Where one method lies."""

    name: str
    gain: Interval
    """In macro F1."""
    told_apart: float
    """Area under the curve of a classifier that tells made from held-out rows."""
    distance: float
    """To the nearest training cell, held-out cells' being 1."""


def draw_map(
    stem: Path, places: Sequence[MethodPlace], *, floor: float, gain_of: str
) -> list[Path]:
    """Draw gain against fidelity, copying as colour; return PNG and SVG.

    Parameters
    ----------
    floor
        How well real cells are told from other real ones.
    gain_of
        The classifier and N whose gain it is, in words.
    """
    with look():
        figure = new_figure(7.2, 4.4)
        axes: Any = figure.subplots()
        axes.axhline(0, color=INK, linewidth=0.7)
        axes.axvline(floor, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
        for place in places:
            if np.isfinite([place.gain.low, place.gain.high]).all():
                axes.plot(
                    [place.told_apart] * 2,
                    [place.gain.low, place.gain.high],
                    color=FAINT,
                    linewidth=0.8,
                )
        points = axes.scatter(
            [place.told_apart for place in places],
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
        axes.set_xlabel("told from held-out cells (AUC; dashed: real cells)")
        axes.set_ylabel(f"gain in macro F1, {gain_of}")
        figure.colorbar(points, label="distance to the nearest training cell, held-out cells' = 1")
        # Where points come to lie on the page is known once everything else has its place.
        figure.draw_without_rendering()
        _name_points(axes, places)
        return save(figure, stem)


def _name_points(axes: Axes, places: Sequence[MethodPlace]) -> None:
    """Write each name beside its point, where neither a name nor another point stands."""
    points = [
        72 / DPI * axes.transData.transform((place.told_apart, place.gain.value))
        for place in places
    ]
    taken = [_box(point, (-RADIUS, -RADIUS), 2 * RADIUS, 2 * RADIUS) for point in points]
    for place, point in zip(places, points, strict=True):
        width = LETTER * len(place.name)
        free = [
            offset
            for offset in _offsets(width)
            if not any(_meet(_box(point, offset, width, LINE), other) for other in taken)
        ]
        offset = (free or _offsets(width))[0]
        taken.append(_box(point, offset, width, LINE))
        axes.annotate(
            place.name,
            (place.told_apart, place.gain.value),
            xytext=offset,
            textcoords="offset points",
            fontsize=8,
            va="bottom",
            annotation_clip=False,
        )


def _offsets(width: float) -> list[tuple[float, float]]:
    """Return where a name may begin, seen from its point: beside it, then above and below."""
    right, left = RADIUS + 2, -RADIUS - 6 - width
    return [
        (x, y - LINE / 2)
        for y in (0.0, 9.0, -9.0, 18.0, -18.0, 27.0, -27.0)
        for x in (right, left, -width / 2 if abs(y) >= LINE else right)
    ]


def _box(point: Any, offset: tuple[float, float], width: float, height: float) -> Box:
    left, below = point[0] + offset[0], point[1] + offset[1]
    return left, below, left + width, below + height


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def draw_class_gains(
    stem: Path,
    gains: Floats,
    *,
    classes: Sequence[str],
    methods: Sequence[str],
    told: Sequence[Sequence[bool]],
) -> list[Path]:
    """Draw what the recall of each class gains by each method; return PNG and SVG.

    Parameters
    ----------
    gains
        (methods, classes), NaN where nothing is known.
    classes
        With how many neurons there are of each.
    told
        (methods, classes), whether the interval leaves 0 out.
    """
    known = np.abs(gains[np.isfinite(gains)])
    reach = max(float(known.max()) if len(known) else 0.0, 0.01)
    with look():
        figure = new_figure(1.8 + 0.52 * len(classes), 1.6 + 0.34 * len(methods))
        axes: Any = figure.subplots()
        image = axes.imshow(gains, vmin=-reach, vmax=reach, cmap=DIVERGING, aspect="auto")
        for row, column in np.ndindex(*gains.shape):
            value = gains[row, column]
            if np.isfinite(value):
                weight = "bold" if told[row][column] else "normal"
                colour = "white" if abs(value) > 0.65 * reach else INK
                axes.text(
                    column,
                    row,
                    f"{value:+.2f}",
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    fontweight=weight,
                    color=colour,
                )
        axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=7)
        axes.set_yticks(range(len(methods)), methods)
        axes.tick_params(length=0)
        figure.colorbar(image, label="change in recall", pad=0.01)
        return save(figure, stem)
