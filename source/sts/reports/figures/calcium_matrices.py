"""Square matrices side by side on one scale: correlations, or distances of spike trains."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.types import Floats
from sts.reports.figures.style import DIVERGING, look, new_figure, save

SEQUENTIAL: Final = "viridis"
# A few neurons that fire together must not bleach all others.
PERCENTILE: Final = 99.0


def draw_matrices(
    stem: Path,
    matrices: Mapping[str, Floats],
    *,
    label: str,
    diverging: bool = True,
    axes_labels: tuple[str, str] = ("neuron", "neuron"),
) -> list[Path]:
    """Draw matrices by title; return the PNG and the SVG.

    Parameters
    ----------
    diverging
        Values have a sign: the scale is symmetric and white at 0, and the diagonal is left out.
    """
    shown = {
        title: np.where(np.eye(len(one), dtype=bool), np.nan, one) if diverging else one
        for title, one in matrices.items()
    }
    every = np.concatenate([one[np.isfinite(one)] for one in shown.values()])
    top = float(np.percentile(np.abs(every), PERCENTILE)) if len(every) else 1.0
    low, high = (-top, top) if diverging else (0.0, top)
    with look():
        figure = new_figure(9.6, 9.6 / max(len(shown), 2) + 0.2)
        panels: Any = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, (title, matrix) in zip(panels, shown.items(), strict=True):
            image = axes.imshow(
                matrix,
                cmap=DIVERGING if diverging else SEQUENTIAL,
                vmin=low,
                vmax=high,
                interpolation="nearest",
                aspect="auto" if not diverging else "equal",
            )
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
            axes.set_xlabel(axes_labels[1])
        panels[0].set_ylabel(axes_labels[0])
        bar = figure.colorbar(image, ax=list(panels), shrink=0.8, label=label)
        bar.outline.set_visible(False)
        return save(figure, stem)
