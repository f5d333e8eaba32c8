"""Reliability diagrams: how often the classifier is right when it says it is so sure."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from sts.evaluation.calibration import Reliability
from sts.reports.figures.style import FAINT, INK, look, new_figure, save

# What is stacked in a bar: said and met, said and not met, met and not said.
COLOURS: Final = {"right": "#56B4E9", "too sure": "#E69F00", "not sure enough": "#BCE0F5"}


def draw_reliability(
    stem: Path,
    before: Reliability,
    *,
    rng: np.random.Generator,
    after: Reliability | None = None,
    temperature: float | None = None,
) -> list[Path]:
    """Draw calibration before and, if given, after the temperature; return PNG and SVG.

    `rng` draws what perfect calibration would show with as many cells.
    """
    told = "" if temperature is None else f" (temperature {temperature:.2f})"
    panels = {"as trained": before} | ({f"calibrated{told}": after} if after is not None else {})
    with look():
        figure = new_figure(3.9 * len(panels) + 0.3, 4.6)
        grid: Any = figure.subplots(
            2, len(panels), sharex=True, sharey="row", squeeze=False, height_ratios=[4, 1]
        )
        for column, (name, diagram) in zip(grid.T, panels.items(), strict=True):
            error = diagram.error(rng)
            perfect = error.perfect_in_words().replace(": ", ":\n", 1)
            title = f"{name}\nECE {error.value:.3f}; {perfect}"
            column[0].set_title(title, loc="left", fontsize=10, fontweight="bold")
            _draw_diagram(column[0], diagram)
            _draw_cells(column[1], diagram)
        handles = grid[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2 * len(panels), frameon=False)
        grid[0, 0].set_ylabel("share that is right")
        grid[1, 0].set_ylabel("cells")
        return save(figure, stem)


def _draw_diagram(axes: Axes, diagram: Reliability) -> None:
    bins = len(diagram.cells)
    filled = diagram.cells > 0
    left = np.arange(bins)[filled] / bins
    met, said = diagram.accuracy[filled], diagram.confidence[filled]
    both = np.minimum(met, said)
    heights = (both, np.maximum(said - met, 0), np.maximum(met - said, 0))
    bar: dict[str, Any] = {"width": 1 / bins, "align": "edge", "edgecolor": "white"}
    for (name, colour), height, bottom in zip(
        COLOURS.items(), heights, (0 * both, both, both), strict=True
    ):
        axes.bar(left, height, bottom=bottom, color=colour, label=name, **bar)
    axes.plot([0, 1], [0, 1], color=INK, linestyle=(0, (4, 3)), label="well calibrated")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _draw_cells(axes: Axes, diagram: Reliability) -> None:
    bins = len(diagram.cells)
    axes.bar(
        np.arange(bins) / bins,
        diagram.cells,
        width=1 / bins,
        align="edge",
        color=FAINT,
        edgecolor="white",
    )
    # Short at both ends, where the panels meet.
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel("probability of the predicted class")
