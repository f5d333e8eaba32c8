"""The workspace is found from anywhere in it, and asked for where it is not."""

from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.base.workspace import find_workspace


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    for name in ("data", "source/sts/base", "source/sts/studies/data", "output/demo/data"):
        (root / name).mkdir(parents=True)
    # A package that is called as a folder of a workspace makes none.
    (root / "source/sts/studies/data/__init__.py").touch()
    return root


@pytest.mark.parametrize("folder", [".", "source", "source/sts/base", "source/sts/studies", "data"])
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
    (clone / "output" / "inner" / "data").mkdir(parents=True)
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


def test_a_root_that_is_no_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StsError, match="give --root a folder that exists"):
        find_workspace(tmp_path / "clome")


@pytest.mark.parametrize("name", ["data", "models", "output"])
def test_one_of_three_folders_makes_a_workspace(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "notes" / "today").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notes" / "today")
    assert find_workspace().root == tmp_path


def test_where_there_is_none_the_workspace_is_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_workspace().root == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_the_top_of_the_disk_is_no_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: str(path) == "/data" or real(path))
    monkeypatch.chdir(tmp_path)
    assert find_workspace().root == tmp_path


def test_a_demonstration_has_folders_of_its_own(clone: Path) -> None:
    demo = find_workspace(clone).demo()
    assert demo.root == clone / "output" / "demo"
    for folder in (demo.data, demo.models, demo.output):
        assert folder.is_dir()
        assert folder.parent == demo.root
    assert find_workspace(clone).demo() == demo
