"""A model that is trained once, and no pictures after its own."""

from pathlib import Path

import pytest

from sts.cli.baseline import main
from sts.cli.run import Status
from tests.studies.classify.tables.worlds import QUICK, make_workspace


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty pictures: drawing takes most of a training's time, and `trained` has drawn."""

    def save(_: object, stem: Path) -> list[Path]:
        stem.with_name(f"{stem.name}.svg").write_text("<svg/>")
        return [stem.with_name(f"{stem.name}.svg")]

    for module in ("explanations", "scores", "training"):
        monkeypatch.setattr(f"sts.reports.figures.{module}.save", save)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("trained") / "world")
    assert main(["--root", str(root), *QUICK]) == Status.DONE
    return root
