"""The workspace: the folders of data, models and results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sts.base.errors import StsError
from sts.base.files import make_folder

WORKSPACE_FOLDERS: Final = ("data", "models", "output")


@dataclass(frozen=True)
class Workspace:
    """The three folders of a workspace."""

    root: Path

    @property
    def data(self) -> Path:
        """Return the folder of the data."""
        return self.root / "data"

    @property
    def models(self) -> Path:
        """Return the folder of trained models."""
        return self.root / "models"

    @property
    def output(self) -> Path:
        """Return the folder of runs."""
        return self.root / "output"

    def demo(self) -> "Workspace":
        """Make the folders of a separate workspace for demonstrations, and return it."""
        demo = Workspace(self.output / "demo")
        for folder in (demo.data, demo.models, demo.output):
            make_folder(folder)
        return demo


def find_workspace(root: str | Path | None = None) -> Workspace:
    """Return the workspace at `root`, else the nearest one upward, else the current folder."""
    if root is not None:
        if not Path(root).is_dir():
            raise StsError(f"no folder {root}: give --root a folder that exists")
        return Workspace(Path(root).resolve())
    here = Path.cwd()
    # The root of a disk is not a workspace: its data/ or models/ may belong to others.
    upward = [folder for folder in (here, *here.parents) if folder != folder.parent]
    return Workspace(next(filter(_is_workspace, upward), here))


def _is_workspace(folder: Path) -> bool:
    """Tell whether a folder contains one of the three, not counting Python packages."""
    places = (folder / name for name in WORKSPACE_FOLDERS)
    return any(place.is_dir() and not (place / "__init__.py").exists() for place in places)
