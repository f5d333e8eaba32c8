"""How a command ended is told by its exit status and one line."""

import os
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.cli.run import Status, run


def fail_with(error: BaseException) -> int:
    raise error


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("status", list(Status))
def test_a_status_is_passed_on(status: Status) -> None:
    assert run(lambda: status) == status


def test_what_the_user_must_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: fail_with(StsError("no cells in x: give a folder"))) == Status.USER
    captured = capsys.readouterr()
    assert captured.err == "error: no cells in x: give a folder\n"
    assert captured.out == ""


def test_a_defect_keeps_its_traceback_out_of_the_way(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(lambda: fail_with(KeyError("oops"))) == Status.DEFECT
    told = capsys.readouterr().err
    assert "a defect of this program, KeyError: 'oops'" in told
    assert "Traceback" not in told
    kept = workspace / "output" / "errors.txt"
    assert str(kept) in told
    assert "Traceback" in kept.read_text()


@pytest.mark.parametrize(("before", "after"), [(None, "1000"), ("7", "7")])
def test_threads_that_wait_sleep_soon_unless_the_user_decided(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", before or "")
    if before is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    assert run(lambda: Status.DONE) == Status.DONE
    assert os.environ["GOMP_SPINCOUNT"] == after


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: fail_with(KeyboardInterrupt())) == Status.INTERRUPTED
    assert "the same command goes on" in capsys.readouterr().err
