"""The workspace: where data are read, and models and results are kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sts.base.errors import StsError
from sts.base.files import make_folder


@dataclass(frozen=True)
class Workspace:
    """Name the three folders of a workspace."""

    root: Path

    @property
    def data(self) -> Path:
        """Return the folder of what is read."""
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
        """Return a workspace of its own for demonstrations, its folders made."""
        demo = Workspace(self.output / "demo")
        for folder in (demo.data, demo.models, demo.output):
            make_folder(folder)
        return demo


def find_workspace(root: Path | None = None) -> Workspace:
    """Return the workspace at `root`, else the nearest above the working directory or this file."""
    if root is not None:
        if not root.is_dir():
            raise StsError(f"no folder {root}: give --root a folder that exists")
        return Workspace(root.resolve())
    for folder in _candidates():
        if (folder / "data").is_dir() and (folder / "source").is_dir():
            return Workspace(folder)
    raise StsError(
        f"no folder that holds data/ and source/ at or above {Path.cwd()}: "
        "run inside the repository or give --root FOLDER"
    )


def _candidates() -> Iterator[Path]:
    yield from (Path.cwd(), *Path.cwd().parents)
    # A clone that is called by its full path is found from its own files.
    yield from Path(__file__).resolve().parents
