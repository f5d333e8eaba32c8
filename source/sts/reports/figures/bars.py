"""Models side by side, on the same cells (after Amprimo et al., 2025, Fig. 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sts.evaluation.bootstrap import Interval
from sts.evaluation.metrics import SCORES
from sts.reports.figures.style import FAINT, INK, look, new_figure, save

SHOWN: Final = ("balanced_accuracy", "weighted_f1")
# A colour that is no class's, light enough for what is drawn on it.
COLOUR: Final = "#6FA8D0"
MARKERS: Final = "^vDsPX"
# From the middle of a bar to what is marked in it.
INTERVAL_AT: Final = -0.09
DATASETS_AT: Final = 0.13


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """The scores of one model, by name, such as `weighted_f1`."""

    name: str
    scores: Mapping[str, Interval]
    by_dataset: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)


def draw_bars(
    stem: Path, models: Sequence[ModelScores], *, cells: str, chance: float | None = 0.25
) -> list[Path]:
    """Draw balanced accuracy and weighted F1 of every model; return the PNG and the SVG.

    Parameters
    ----------
    models
        All on the same cells.
    cells
        Which cells these are; it stands above the bars.
    chance
        Balanced accuracy of guessing, one over the number of classes; None leaves it out.
    """
    datasets = sorted({name for model in models for name in model.by_dataset})
    with look():
        figure = new_figure(9.6, 1.9 + 0.5 * len(models))
        figure.suptitle(cells, x=0.01, ha="left", fontsize=10)
        panels: Any = figure.subplots(1, 2, sharey=True)
        for axes, score in zip(panels, SHOWN, strict=True):
            for row, model in enumerate(models):
                _draw_model(axes, row, model, score=score, datasets=datasets)
            _dress(axes, score, models)
        if chance is not None:
            panels[0].axvline(chance, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        handles = _legend(datasets, chance=chance)
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False
        )
        return save(figure, stem)


def _draw_model(
    axes: Axes, row: int, model: ModelScores, *, score: str, datasets: Sequence[str]
) -> None:
    if (interval := model.scores.get(score)) is None:
        return
    axes.barh(row, interval.value, height=0.6, color=COLOUR)
    line = [row + INTERVAL_AT] * 2
    axes.plot([interval.low, interval.high], line, color=INK, linewidth=1.6, clip_on=False)
    axes.text(1.03, row, interval.in_words(), va="center", fontsize=8)
    for marker, dataset in zip(MARKERS, datasets, strict=False):
        found = model.by_dataset.get(dataset, {}).get(score)
        if found is not None:
            axes.plot(found.value, row + DATASETS_AT, marker=marker, **POINT)


POINT: Final[dict[str, Any]] = {
    "markersize": 5.5,
    "markerfacecolor": "white",
    "markeredgecolor": INK,
    "markeredgewidth": 0.8,
    "linestyle": "none",
    "zorder": 3,
    # A score of 1 is whole, not cut by the end of the axis.
    "clip_on": False,
}


def _dress(axes: Axes, score: str, models: Sequence[ModelScores]) -> None:
    name = SCORES[score]
    axes.set_title(name[0].upper() + name[1:], loc="left", fontsize=11, fontweight="bold")
    axes.set_xlim(0, 1.0)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel(f"{name} (0 to 1)")
    axes.set_yticks(range(len(models)), [model.name for model in models])
    axes.set_ylim(len(models) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)


def _legend(datasets: Sequence[str], *, chance: float | None) -> list[Any]:
    handles: list[Any] = [
        Patch(color=COLOUR, label="all cells"),
        Line2D([], [], color=INK, linewidth=1.4, label="95 % interval"),
    ]
    handles += [
        Line2D([], [], marker=marker, label=dataset, **POINT)
        for marker, dataset in zip(MARKERS, datasets, strict=False)
    ]
    if chance is not None:
        handles.append(Line2D([], [], color=INK, linestyle=(0, (4, 3)), label="guessing"))
    return handles
