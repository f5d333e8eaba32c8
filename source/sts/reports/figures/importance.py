"""How much a model loses without each feature, with intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sts.evaluation.bootstrap import Interval
from sts.reports.figures.style import FAINT, INK, look, new_figure, save

ROW_IN = 0.24


def draw_importance(
    stem: Path, names: Sequence[str], losses: Sequence[Interval], *, what: str
) -> list[Path]:
    """Draw what is lost, a bar a feature, the first on top; return PNG and SVG."""
    rows = range(len(names))
    with look():
        figure = new_figure(7.2, 0.9 + ROW_IN * len(names))
        axes: Any = figure.subplots()
        axes.barh(rows, [each.value for each in losses], height=0.62, color="#6FA8D0")
        for row, each in zip(rows, losses, strict=True):
            axes.plot([each.low, each.high], [row, row], color=INK, linewidth=1.3)
        axes.axvline(0, color=INK, linewidth=0.7)
        axes.set_yticks(rows, names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel(f"{what} (bars), with 95 % intervals (lines)")
        return save(figure, stem)
