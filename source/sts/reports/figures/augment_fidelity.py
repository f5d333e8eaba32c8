"""How real made rows are: class by feature, and the densities of single features."""

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
from sts.reports.figures.augment_scores import COLOURS
from sts.reports.figures.style import FAINT, INK, SHADE, look, new_figure, save

COLUMNS: Final = 3
POINTS: Final = 200
# So many maps stand above one another, more in two columns.
ABOVE: Final = 3
# What lies further out is not drawn: one value must not press all others together.
MIDDLE: Final = (1.0, 99.0)


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
) -> list[Path]:
    """Draw maps of class by feature on one scale, the first one first; return PNG and SVG."""
    known = np.concatenate([each.values.ravel() for each in maps])
    known = known[np.isfinite(known)]
    top = float(known.max()) if len(known) else 1.0
    columns = 1 if len(maps) <= ABOVE else 2
    rows = -(-len(maps) // columns)
    wide, high = 0.078 * len(features), 0.1 * len(classes)
    with look():
        figure = new_figure(
            max(6.0, 1.2 + (1.0 + wide) * columns), 1.9 + (0.35 + max(high, 0.5)) * rows
        )
        grid: Any = figure.subplots(rows, columns, squeeze=False)
        # Down the first column, then down the second: what is compared stands close together.
        for number, axes in enumerate(grid.T.ravel()):
            if number >= len(maps):
                axes.set_axis_off()
                continue
            image = _draw_map(axes, maps[number], classes, top=top)
            last = number == len(maps) - 1 or number % rows == rows - 1
            axes.set_xticks(range(len(features)), features if last else [], rotation=90, fontsize=5)
        figure.colorbar(
            image, ax=grid.ravel().tolist(), label=what, location="top", shrink=0.4, aspect=30
        )
        return save(figure, stem)


def _draw_map(axes: Axes, one: HeatMap, classes: Sequence[str], *, top: float) -> AxesImage:
    image = axes.imshow(one.values, vmin=0.0, vmax=top, cmap="cividis_r", aspect="auto")
    axes.set_title(one.title, loc="left", fontsize=8, fontweight="bold")
    axes.set_yticks(range(len(classes)), classes, fontsize=5)
    axes.tick_params(length=0, pad=2)
    return image


def draw_densities(
    stem: Path, features: Sequence[str], sources: Mapping[str, Floats]
) -> list[Path]:
    """Draw the densities of features, a panel each and a line a source; return PNG and SVG.

    Parameters
    ----------
    sources
        By name, real training cells first, then real held-out cells, then what was made; each
        (n, features), NaN where a value is missing.
    """
    rows = -(-len(features) // COLUMNS)
    with look():
        figure = new_figure(9.6, 0.9 + 1.75 * rows)
        grid: Any = figure.subplots(rows, COLUMNS, squeeze=False)
        for place, axes in enumerate(grid.ravel()):
            if place >= len(features):
                axes.set_axis_off()
                continue
            _draw_feature(axes, [each[:, place] for each in sources.values()])
            axes.set_title(features[place], loc="left", fontsize=8)
        figure.legend(
            handles=_handles(list(sources)),
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
    low, high = np.percentile(together, MIDDLE)
    if not high > low:
        return
    at = np.linspace(low, high, POINTS)
    for number, values in enumerate(known):
        # Of what is drawn alone: values far out would make the curve as broad as they lie away.
        inside = values[(values >= low) & (values <= high)]
        if len(inside) < 3 or np.ptp(inside) == 0:
            continue
        heights = gaussian_kde(inside)(at) * len(inside) / len(values)
        if number == 0:
            axes.fill_between(at, heights, color=SHADE, linewidth=0)
        axes.plot(at, heights, **_line(number))
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(bottom=0)


def _line(number: int) -> dict[str, Any]:
    """Return how a source is drawn: real cells in ink, what was made in colour."""
    if number == 0:
        return {"color": INK, "linewidth": 1.2}
    if number == 1:
        return {"color": FAINT, "linewidth": 1.2, "linestyle": (0, (3, 2))}
    return {"color": COLOURS[(number - 2) % len(COLOURS)], "linewidth": 0.9}


def _handles(names: Sequence[str]) -> list[Line2D]:
    return [Line2D([], [], label=name, **_line(number)) for number, name in enumerate(names)]
