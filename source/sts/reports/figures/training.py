"""Figures of a training: loss and accuracy by epoch, and the calibration of the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sts.base.files import write_csv
from sts.base.types import Floats
from sts.evaluation.calibration import Reliability
from sts.reports.figures.style import (
    CLASS_COLOURS,
    FAINT,
    INK,
    SCREEN,
    Paper,
    look,
    new_figure,
    save,
)

# Colours of curves; no class has them.
CURVE_COLOURS: Final = {"training": "#56B4E9", "validation": INK}
CURVE_QUANTITIES: Final = ("loss", "accuracy")
# The table that a run keeps of the curves of its folds.
CURVES: Final = "curves.csv"
TRACKED_CURVES: Final = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
CURVE_COLUMNS: Final = ("fold", "epoch", *TRACKED_CURVES, "best")
# Mark of the best epoch of a fold.
BEST_EPOCH_MARK: Final[dict[str, Any]] = {
    "marker": "o",
    "markersize": 4.5,
    "markerfacecolor": CLASS_COLOURS["Excitatory"],
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
    "clip_on": False,
    "linestyle": "none",
    "zorder": 3,
}
# Colours of the parts of a bar: both accuracy and confidence, confidence only, accuracy only.
BAR_COLOURS: Final = {"right": "#56B4E9", "too sure": "#E69F00", "not sure enough": "#BCE0F5"}


@dataclass(frozen=True, kw_only=True)
class FoldCurves:
    """Loss and accuracy of one fold by epoch; None or empty if not measured."""

    train_loss: Sequence[float | None]
    train_accuracy: Sequence[float | None]
    validation_loss: Sequence[float | None] = ()
    validation_accuracy: Sequence[float | None] = ()
    best_epoch: int | None = None
    """Counted from 1."""

    def values(self, part: str, quantity: str) -> Floats:
        """Return one curve, (epochs,) or empty; NaN where it was not finite."""
        prefix = {"training": "train", "validation": "validation"}[part]
        values = np.asarray(getattr(self, f"{prefix}_{quantity}"), dtype=np.float64)
        finite = np.isfinite(values)
        return np.where(finite, values, np.nan) if finite.any() else values[:0]


def write_curves(path: Path, folds: Sequence[FoldCurves]) -> None:
    """Write losses and accuracies, a row for each fold and epoch."""
    write_csv(path, CURVE_COLUMNS, list_epochs(folds))


def list_epochs(folds: Sequence[FoldCurves]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of curves, one for each fold and epoch."""
    for number, fold in enumerate(folds, start=1):
        for epoch in range(1, len(fold.train_loss) + 1):
            row: dict[str, Any] = {"fold": number, "epoch": epoch}
            for name in TRACKED_CURVES:
                values = getattr(fold, name)
                row[name] = values[epoch - 1] if epoch <= len(values) else None
            yield row | {"best": int(epoch == fold.best_epoch)}


def draw_curves(
    stem: Path, folds: Sequence[FoldCurves], *, title: str = "", paper: Paper = SCREEN
) -> list[Path]:
    """Draw loss and accuracy of all folds, with mean and spread; return PNG and SVG.

    After Amprimo et al. (2025), Fig. 3.
    """
    with look():
        figure = new_figure(9.6, 3.6, paper)
        panels: Any = figure.subplots(1, 2)
        for axes, quantity in zip(panels, CURVE_QUANTITIES, strict=True):
            for part in CURVE_COLOURS:
                _draw_part(axes, folds, part, quantity)
            _mark_best(axes, folds, quantity)
            _label_curves(axes, quantity, _find_highest_loss(folds))
        figure.legend(
            handles=_make_curve_legend(folds), loc="outside lower center", ncols=4, frameon=False
        )
        if title and not paper.is_print:
            figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
        return save(figure, stem, paper=paper)


def _draw_part(axes: Axes, folds: Sequence[FoldCurves], part: str, quantity: str) -> None:
    curves = [curve for fold in folds if len(curve := fold.values(part, quantity))]
    thin: dict[str, Any] = {"color": CURVE_COLOURS[part], "linewidth": 0.6, "alpha": 0.55}
    for curve in curves:
        # A curve of one epoch needs a marker to be seen.
        marker = "." if len(curve) == 1 else ""
        axes.plot(np.arange(1, len(curve) + 1), curve, marker=marker, **thin)
    if not curves:
        return
    # The mean ends with the shortest fold: after that it would jump each time a fold stops.
    shared = min(map(len, curves))
    stacked = np.stack([curve[:shared] for curve in curves])
    mean, spread = stacked.mean(axis=0), stacked.std(axis=0)
    epochs = np.arange(1, shared + 1)
    axes.plot(epochs, mean, color=CURVE_COLOURS[part], linewidth=2.0)
    if len(curves) > 1:
        axes.fill_between(
            epochs, mean - spread, mean + spread, color=CURVE_COLOURS[part], alpha=0.18, linewidth=0
        )


def _mark_best(axes: Axes, folds: Sequence[FoldCurves], quantity: str) -> None:
    for fold in folds:
        curve = fold.values("validation", quantity)
        if fold.best_epoch is not None and len(curve):
            axes.plot(fold.best_epoch, curve[fold.best_epoch - 1], **BEST_EPOCH_MARK)


def _find_highest_loss(folds: Sequence[FoldCurves]) -> float:
    """Return the end of the axis of losses; a few very high losses must not flatten the rest."""
    losses = np.concatenate([fold.values(part, "loss") for fold in folds for part in CURVE_COLOURS])
    finite = losses[np.isfinite(losses)]
    return 1.1 * float(np.percentile(finite, 98)) if len(finite) else 1.0


def _label_curves(axes: Axes, quantity: str, highest_loss: float) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss (cross-entropy, nats)" if quantity == "loss" else "accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set_xlim(0.5, max(1.5, axes.get_xlim()[1]))
    if quantity == "loss":
        axes.set_ylim(0.0, highest_loss)
    else:
        axes.set_ylim(max(0.0, axes.get_ylim()[0] - 0.02), 1.005)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)


def _make_curve_legend(folds: Sequence[FoldCurves]) -> list[Line2D]:
    several = f", mean and spread of {len(folds)} folds" if len(folds) > 1 else ""
    handles = [
        Line2D([], [], color=colour, linewidth=2, label=f"{part}{several}")
        for part, colour in CURVE_COLOURS.items()
        if any(len(fold.values(part, "loss")) for fold in folds)
    ]
    if len(folds) > 1:
        handles.append(Line2D([], [], color=FAINT, linewidth=0.6, label="one fold"))
    if any(fold.best_epoch and len(fold.values("validation", "loss")) for fold in folds):
        handles.append(Line2D([], [], label="best epoch of a fold", **BEST_EPOCH_MARK))
    return handles


def draw_reliability(
    stem: Path,
    before: Reliability,
    *,
    rng: np.random.Generator,
    after: Reliability | None = None,
    temperature: float | None = None,
) -> list[Path]:
    """Draw how often a model is correct by its confidence; return PNG and SVG.

    Parameters
    ----------
    before, after
        Before calibration, and after it if it is calibrated.
    rng
        Draws the error that perfect calibration would show with as many cells.
    """
    by = "" if temperature is None else f" (temperature {temperature:.2f})"
    panels = {"as trained": before} | ({f"calibrated{by}": after} if after is not None else {})
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
            _draw_accuracy(column[0], diagram)
            _draw_counts(column[1], diagram)
        handles = grid[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2 * len(panels), frameon=False)
        grid[0, 0].set_ylabel("share that is right")
        grid[1, 0].set_ylabel("cells")
        return save(figure, stem)


def _draw_accuracy(axes: Axes, diagram: Reliability) -> None:
    bins = len(diagram.cells)
    filled = diagram.cells > 0
    left = np.arange(bins)[filled] / bins
    right, sure = diagram.accuracy[filled], diagram.confidence[filled]
    both = np.minimum(right, sure)
    heights = (both, np.maximum(sure - right, 0), np.maximum(right - sure, 0))
    bar: dict[str, Any] = {"width": 1 / bins, "align": "edge", "edgecolor": "white"}
    for (name, colour), height, bottom in zip(
        BAR_COLOURS.items(), heights, (0 * both, both, both), strict=True
    ):
        axes.bar(left, height, bottom=bottom, color=colour, label=name, **bar)
    axes.plot([0, 1], [0, 1], color=INK, linestyle=(0, (4, 3)), label="well calibrated")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _draw_counts(axes: Axes, diagram: Reliability) -> None:
    bins = len(diagram.cells)
    axes.bar(
        np.arange(bins) / bins,
        diagram.cells,
        width=1 / bins,
        align="edge",
        color=FAINT,
        edgecolor="white",
    )
    # Short labels: those at the ends of neighbouring panels are close together.
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel("probability of the predicted class")
