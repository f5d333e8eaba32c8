"""The workspace is found from anywhere in it, and asked for where it is not."""

from pathlib import Path

import pytest

from sts.base import workspace as module
from sts.base.errors import StsError
from sts.base.workspace import find_workspace
from tests.conftest import REPOSITORY


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    for name in ("data", "source/sts/base", "output/demo/data"):
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize("folder", [".", "source", "source/sts/base", "output/demo"])
def test_the_workspace_is_found_from_its_folders(
    clone: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone / folder)
    found = find_workspace()
    assert found.root == clone
    assert (found.data, found.models, found.output) == (
        clone / "data",
        clone / "models",
        clone / "output",
    )


def test_the_nearest_workspace_wins(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data", "source"):
        (clone / "output" / "inner" / name).mkdir(parents=True)
    monkeypatch.chdir(clone / "output" / "inner" / "data")
    assert find_workspace().root == clone / "output" / "inner"


def test_the_root_that_is_asked_for_wins(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone)
    assert find_workspace(tmp_path).root == tmp_path


def test_a_relative_root_stays_where_it_was(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_workspace(Path("clone"))
    monkeypatch.chdir(clone / "data")
    assert found.data == clone / "data"


def test_a_root_that_is_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StsError, match="give --root a folder that exists"):
        find_workspace(tmp_path / "clome")


def test_from_elsewhere_a_clone_is_found_from_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_workspace().root == REPOSITORY


def test_nothing_found_names_what_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "site-packages" / "workspace.py"))
    with pytest.raises(StsError, match=r"data/ and source/ .* give --root FOLDER"):
        find_workspace()


def test_a_demonstration_has_folders_of_its_own(clone: Path) -> None:
    demo = find_workspace(clone).demo()
    assert demo.root == clone / "output" / "demo"
    for folder in (demo.data, demo.models, demo.output):
        assert folder.is_dir()
        assert folder.parent == demo.root
    assert find_workspace(clone).demo() == demo
