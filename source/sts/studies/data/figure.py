"""Draw a figure of a published study anew, from runs or from a data folder, for print."""

from pathlib import Path
from typing import Final

from sts.base.workspace import Workspace
from sts.reports.publications.source import FigureSource
from sts.reports.publications.table import PUBLICATIONS, Published, draw_publication

FIGURES_FOLDER: Final = "figures"


def make_figure(
    workspace: Workspace, name: str, source: FigureSource, *, out: Path | None = None
) -> Published:
    """Write a figure, its data and its caption; default: into output/figures of the workspace."""
    return draw_publication(name, source, out or workspace.output / FIGURES_FOLDER)


def list_figures() -> list[tuple[str, str, str]]:
    """Return name, origin and content of every figure."""
    return [
        (name, figure.made_by or "--data, a sweep store", figure.shows)
        for name, figure in PUBLICATIONS.items()
    ]
