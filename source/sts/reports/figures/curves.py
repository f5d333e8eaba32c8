"""Loss and accuracy by epoch, every fold with mean and spread (Amprimo et al., 2025, Fig. 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sts.base.types import Floats
from sts.reports.figures.style import CLASS_COLOURS, FAINT, INK, look, new_figure, save

# Two colours that are no class's.
COLOURS: Final = {"training": "#56B4E9", "validation": INK}
QUANTITIES: Final = ("loss", "accuracy")


@dataclass(frozen=True, kw_only=True)
class FoldCurves:
    """The epochs of one fold, first to last; None or no values where nothing was measured."""

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


def draw_curves(stem: Path, folds: Sequence[FoldCurves], *, title: str = "") -> list[Path]:
    """Draw loss and accuracy of all folds; return the PNG and the SVG."""
    with look():
        figure = new_figure(9.6, 3.6)
        panels: Any = figure.subplots(1, 2)
        for axes, quantity in zip(panels, QUANTITIES, strict=True):
            for part in COLOURS:
                _draw_part(axes, folds, part, quantity)
            _mark_best(axes, folds, quantity)
            _dress(axes, quantity, _highest(folds))
        figure.legend(handles=_legend(folds), loc="outside lower center", ncols=4, frameon=False)
        if title:
            figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
        return save(figure, stem)


def _draw_part(axes: Axes, folds: Sequence[FoldCurves], part: str, quantity: str) -> None:
    curves = [curve for fold in folds if len(curve := fold.values(part, quantity))]
    thin: dict[str, Any] = {"color": COLOURS[part], "linewidth": 0.6, "alpha": 0.55}
    for curve in curves:
        # One epoch is no line.
        marker = "." if len(curve) == 1 else ""
        axes.plot(np.arange(1, len(curve) + 1), curve, marker=marker, **thin)
    if not curves:
        return
    # Past the end of the shortest the mean would jump each time that a fold stops.
    shared = min(map(len, curves))
    stacked = np.stack([curve[:shared] for curve in curves])
    mean, spread = stacked.mean(axis=0), stacked.std(axis=0)
    epochs = np.arange(1, shared + 1)
    axes.plot(epochs, mean, color=COLOURS[part], linewidth=2.0)
    if len(curves) > 1:
        axes.fill_between(
            epochs, mean - spread, mean + spread, color=COLOURS[part], alpha=0.18, linewidth=0
        )


def _mark_best(axes: Axes, folds: Sequence[FoldCurves], quantity: str) -> None:
    for fold in folds:
        curve = fold.values("validation", quantity)
        if fold.best_epoch is not None and len(curve):
            axes.plot(fold.best_epoch, curve[fold.best_epoch - 1], **BEST)


BEST: Final[dict[str, Any]] = {
    "marker": "o",
    "markersize": 4.5,
    "markerfacecolor": CLASS_COLOURS["Excitatory"],
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
    "clip_on": False,
    "linestyle": "none",
    "zorder": 3,
}


def _highest(folds: Sequence[FoldCurves]) -> float:
    """Return where the losses end; a burst at a high learning rate must not flatten the rest."""
    losses = np.concatenate([fold.values(part, "loss") for fold in folds for part in COLOURS])
    finite = losses[np.isfinite(losses)]
    return 1.1 * float(np.percentile(finite, 98)) if len(finite) else 1.0


def _dress(axes: Axes, quantity: str, highest_loss: float) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss (cross-entropy, nats)" if quantity == "loss" else "accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set_xlim(0.5, max(1.5, axes.get_xlim()[1]))
    if quantity == "loss":
        axes.set_ylim(0.0, highest_loss)
    else:
        axes.set_ylim(max(0.0, axes.get_ylim()[0] - 0.02), 1.005)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)


def _legend(folds: Sequence[FoldCurves]) -> list[Line2D]:
    several = f", mean and spread of {len(folds)} folds" if len(folds) > 1 else ""
    handles = [
        Line2D([], [], color=colour, linewidth=2, label=f"{part}{several}")
        for part, colour in COLOURS.items()
        if any(len(fold.values(part, "loss")) for fold in folds)
    ]
    if len(folds) > 1:
        handles.append(Line2D([], [], color=FAINT, linewidth=0.6, label="one fold"))
    if any(fold.best_epoch and len(fold.values("validation", "loss")) for fold in folds):
        handles.append(Line2D([], [], label="best epoch of a fold", **BEST))
    return handles
