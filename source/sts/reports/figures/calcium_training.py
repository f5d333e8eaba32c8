"""What the critic holds apart, and how like the validation windows the generated ones are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sts.reports.figures.style import CLASS_COLOURS, FAINT, INK, look, new_figure, save


def draw_training(
    stem: Path,
    steps: Sequence[int],
    distances: Sequence[float],
    scores: Sequence[float],
    *,
    best_step: int,
) -> list[Path]:
    """Draw both by generator step; return the PNG and the SVG."""
    with look():
        figure = new_figure(9.6, 3.2)
        panels: Any = figure.subplots(1, 2)
        named = (
            (panels[0], distances, "critic: real less generated"),
            (panels[1], scores, "unlikeness to validation"),
        )
        for axes, values, label in named:
            axes.plot(steps, values, color=INK, linewidth=1.4, marker=".")
            axes.set_xlabel("steps of the generator")
            axes.set_ylabel(label)
            axes.set_ylim(bottom=min(0.0, *values))
            axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)
        if best_step in steps:
            at = list(steps).index(best_step)
            panels[1].plot(
                best_step,
                scores[at],
                "o",
                color=CLASS_COLOURS["Excitatory"],
                label=f"kept: step {best_step:,}",
            )
            panels[1].legend(frameon=False)
        return save(figure, stem)
