"""Confusion matrices, of all cells and of each data set side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from sts.evaluation.scores import Scores
from sts.reports.figures.style import CLASS_COLOURS, FAINT, INK, look, new_figure, save

MOST_IN_A_ROW: Final = 3
# Of more classes than these the squares are too small for two lines of text.
ROOMY: Final = 6
# Square of one class, inches.
ROOMY_IN: Final = 0.74
TIGHT_IN: Final = 0.36
# How much of a class's colour a full square takes: dark text stays legible on every class.
STRENGTH: Final = 0.75


def draw_confusion(stem: Path, scores: Mapping[str, Scores]) -> list[Path]:
    """Draw one matrix for each group of cells that `by_dataset` tells; return PNG and SVG."""
    columns = min(len(scores), MOST_IN_A_ROW)
    rows = -(-len(scores) // columns)
    classes = next(iter(scores.values())).classes
    side_in = len(classes) * (ROOMY_IN if len(classes) <= ROOMY else TIGHT_IN)
    with look():
        figure = new_figure((side_in + 1.1) * columns, (side_in + 1.2) * rows)
        grid: Any = figure.subplots(rows, columns, squeeze=False)
        for axes, (name, one) in zip(grid.flat, scores.items(), strict=False):
            _draw_matrix(axes, name, one)
        for axes in grid.flat[len(scores) :]:
            axes.remove()
        return save(figure, stem)


def _draw_matrix(axes: Axes, name: str, scores: Scores) -> None:
    counts = scores.confusion
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    colours = [to_rgb(CLASS_COLOURS.get(label, INK)) for label in scores.classes]
    missing_light = STRENGTH * (1.0 - np.array(colours))
    squares = 1.0 - np.nan_to_num(shares)[:, :, None] * missing_light[:, None, :]
    axes.imshow(squares, interpolation="nearest", aspect="equal")
    for row, column in np.ndindex(*counts.shape):
        if counts[row].sum():
            _write(axes, (row, column), int(counts[row, column]), shares[row, column])
    _name_classes(axes, scores, colours)
    accuracy = f"balanced accuracy {scores.balanced_accuracy.in_words()}"
    axes.set_title(
        f"{name} · {scores.cells:,} cells", loc="left", fontsize=11, fontweight="bold", pad=18
    )
    axes.annotate(
        accuracy, (0, 1), xytext=(0, 6), xycoords="axes fraction", textcoords="offset points"
    )


def _write(axes: Axes, at: tuple[int, int], count: int, share: float) -> None:
    """Write the share of the true class and, where there is room, the cells."""
    row, column = at
    colour = INK if count else FAINT
    where: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
    percent = f"{100 * share:.0f}"
    if axes.get_images()[0].get_size()[0] > ROOMY:
        axes.text(column, row, percent if count else "", fontsize=7, **where)
        return
    weight = "bold" if row == column else "normal"
    axes.text(column, row - 0.1, f"{percent} %", fontsize=10, fontweight=weight, **where)
    axes.text(column, row + 0.24, f"{count:,}", fontsize=7, **where)


def _name_classes(axes: Axes, scores: Scores, colours: list[tuple[float, float, float]]) -> None:
    classes = scores.classes
    roomy = len(classes) <= ROOMY
    named = [f"{name}\nn = {scores.per_class[name].support:,}" for name in classes]
    tight = [f"{name} ({scores.per_class[name].support:,})" for name in classes]
    axes.set_xticks(range(len(classes)), classes, rotation=0 if roomy else 90)
    axes.set_yticks(range(len(classes)), named if roomy else tight)
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        for label, colour in zip(labels, colours, strict=True):
            label.set(color=colour, fontweight="bold", fontsize=8)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    edges = np.arange(len(classes) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
