"""What figures of publications are made of: runs and a data folder; and what is drawn from them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.files import read_csv, read_json
from sts.reports.figures.style import Paper
from sts.reports.publications.kept import DataTable, read_kept

_SETTINGS: Final = "settings.json"


@dataclass(frozen=True, kw_only=True)
class FigureSource:
    """The files that a figure may be made of."""

    runs: tuple[Path, ...] = ()
    data: Path = Path("data")
    cell: str = ""
    """The specimen to draw; "": one is drawn by chance."""
    seed: int = 0

    @property
    def run(self) -> Path:
        """Return the first run."""
        return self.runs[0]

    def table(self, name: str, *, may_be_empty: bool = False) -> list[dict[str, str]]:
        """Return the rows of a table of the first run."""
        return read_csv(self.run / name, []) if may_be_empty else read_kept(self.run / name)

    def report(self) -> dict[str, Any]:
        """Return report.json of the first run."""
        return read_object(self.run / "report.json")


def read_object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, which must be an object."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise StsError(f"{path} is not a report of a run: run its command again")
    return content


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A figure of a published study."""

    shows: str
    """Its caption: what it shows."""
    paper: Paper
    draw: Callable[[FigureSource, Path, Paper], DataTable]
    """Draws PDF and PNG with this stem; returns the data in them."""
    made_by: str = ""
    """The command whose run has the data; "": the figure is made of a data folder."""
    files: tuple[str, ...] = field(default=())
    """The files of that run."""
    several: bool = False
    """Whether it compares several runs."""


def check_runs(name: str, figure: Publication, runs: tuple[Path, ...]) -> None:
    """Raise an error that says what is missing, unless these runs have what a figure needs."""
    if not figure.made_by:
        if runs:
            raise StsError(f"{name} is made of a data folder, not of a run: leave out --run")
        return
    wanted = f"{name} is made of a run of `{figure.made_by}`"
    if not runs:
        raise StsError(f"{wanted}: name its folder with --run")
    if len(runs) > 1 and not figure.several:
        raise StsError(f"{name} is made of one run, {len(runs)} are given")
    for run in runs:
        if not (run / _SETTINGS).is_file():
            raise StsError(f"no {_SETTINGS} in {run}: name the folder of a finished run")
        missing = [file for file in figure.files if not (run / file).is_file()]
        if missing:
            kind = run.resolve().parent.parent.name
            raise StsError(
                f"{wanted}, which has {', '.join(missing)}; {run} is a run of {kind!r} without it "
                "(runs of earlier versions lack it: run the command again)"
            )
