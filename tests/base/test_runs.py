"""A run folder is unfinished under one name or whole under another, and never overwritten."""

import json
import logging
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from sts.base import runs
from sts.base.errors import StsError
from sts.base.files import read_json, write_text
from sts.base.runs import start_run
from sts.base.settings import digest
from sts.base.workspace import Workspace

log = logging.getLogger("sts.tests")


@dataclass(frozen=True, kw_only=True)
class Settings:
    size: int = 3


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


class FrozenDate(datetime):
    @classmethod
    def now(cls, tz: object = None) -> "FrozenDate":
        return cls(2026, 1, 2, 3, 4, 5)


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "datetime", FrozenDate)


def test_a_run_gets_its_name_and_its_mark_when_it_has_ended(workspace: Workspace) -> None:
    with start_run(workspace, study="data", what="build", settings=Settings()) as run:
        assert run.path.is_dir()
        assert not run.final.exists()
        assert read_json(run.path / "settings.json") == {"size": 3}
        assert read_json(run.path / "run.json")["status"] == "running"
        write_text(run.figures / "a.svg", "")
        run.report({"cells": 3})
    assert not run.path.exists()
    assert run.final.parent == workspace.output / "data" / "build"
    assert run.final.name.endswith(f"-{digest(Settings())}")
    assert {path.name for path in run.final.iterdir()} == {
        "DONE",
        "figures",
        "log.txt",
        "report.json",
        "run.json",
        "settings.json",
    }
    assert read_json(run.final / "report.json") == {"cells": 3}


def test_a_run_says_how_it_was_called_and_with_what(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["sts-data", "--storage=postgresql://ada:secret@host/db"])
    with start_run(workspace, study="data", what="build", settings=Settings()) as run:
        pass
    record = read_json(run.final / "run.json")
    assert record["argv"] == ["sts-data", "--storage=postgresql://ada:***@host/db"]
    assert record["status"] == "done"
    assert record["start"] <= record["end"]
    assert record["versions"]["numpy"]
    commit = record["commit"]
    assert commit is None or len(commit.removesuffix("-dirty")) == 40


def test_the_log_of_a_run_holds_what_the_package_says_and_no_more(workspace: Workspace) -> None:
    with start_run(workspace, study="data", what="build", settings=Settings()) as run:
        log.info("a cell")
    log.warning("after the run")
    text = (run.final / "log.txt").read_text()
    assert "INFO sts.tests: a cell" in text
    assert "after" not in text


def test_a_run_that_fails_stays_unfinished_and_says_why(workspace: Workspace) -> None:
    with (
        pytest.raises(KeyError),
        start_run(workspace, study="data", what="build", settings=Settings()) as run,
    ):
        raise KeyError("lost")
    assert not run.final.exists()
    assert not (run.path / "DONE").exists()
    assert read_json(run.path / "run.json")["status"] == "failed"
    assert "Traceback" in (run.path / "log.txt").read_text()


def test_what_the_user_must_change_is_logged_without_traceback(workspace: Workspace) -> None:
    with (
        pytest.raises(StsError),
        start_run(workspace, study="data", what="build", settings=Settings()) as run,
    ):
        raise StsError("no cells in data/: give --data")
    text = (run.path / "log.txt").read_text()
    assert "no cells in data/" in text
    assert "Traceback" not in text


def test_an_unfinished_run_is_continued(workspace: Workspace) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        start_run(workspace, study="data", what="build", settings=Settings()) as first,
    ):
        log.info("first part")
        (first.path / "part.csv").write_text("1")
        (first.path / ".part.0123abcd.partial.csv").write_text("torn")
        raise KeyboardInterrupt
    assert read_json(first.path / "run.json")["status"] == "interrupted"
    with start_run(
        workspace, study="data", what="build", settings=Settings(), resume=True
    ) as second:
        assert second.path == first.path
        assert (second.path / "part.csv").read_text() == "1"
        log.info("second part")
    assert second.final == first.final
    assert not list(second.final.glob(".*"))
    text = (second.final / "log.txt").read_text()
    assert text.index("first part") < text.index("second part")


def test_other_settings_or_other_work_are_not_continued(workspace: Workspace) -> None:
    with (
        pytest.raises(KeyError),
        start_run(workspace, study="data", what="build", settings=Settings()) as first,
    ):
        raise KeyError
    other = Settings(size=4)
    for what, settings in (("build", other), ("show", Settings())):
        with start_run(workspace, study="data", what=what, settings=settings, resume=True) as run:
            assert run.path != first.path
    assert first.path.is_dir()


def test_without_resume_an_unfinished_run_is_left_alone(workspace: Workspace) -> None:
    with (
        pytest.raises(KeyError),
        start_run(workspace, study="data", what="build", settings=Settings()) as first,
    ):
        raise KeyError
    with start_run(workspace, study="data", what="build", settings=Settings()) as second:
        assert second.path != first.path
    assert first.path.is_dir()


def test_a_run_at_work_is_not_taken_over(workspace: Workspace) -> None:
    with (
        start_run(workspace, study="data", what="build", settings=Settings()) as first,
        start_run(
            workspace, study="data", what="build", settings=Settings(), resume=True
        ) as second,
    ):
        assert second.path != first.path
    assert first.final.is_dir()
    assert second.final.is_dir()


KILLED = """
import os, signal, sys
from dataclasses import dataclass
from pathlib import Path
from sts.base.runs import start_run
from sts.base.workspace import Workspace

@dataclass(frozen=True, kw_only=True)
class Settings:
    size: int = 3

with start_run(Workspace(Path(sys.argv[1])), study="data", what="build", settings=Settings()):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_can_be_continued(workspace: Workspace) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(workspace.root)], check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = (workspace.output / "data" / "build").iterdir()
    with start_run(workspace, study="data", what="build", settings=Settings(), resume=True) as run:
        assert run.path == left
    assert (run.final / "DONE").is_file()


@pytest.mark.usefixtures("one_second")
def test_runs_of_one_second_do_not_collide(workspace: Workspace) -> None:
    finals = []
    for _ in range(3):
        with start_run(workspace, study="data", what="build", settings=Settings()) as run:
            run.report({"number": len(finals)})
        finals.append(run.final)
    assert len(set(finals)) == 3
    assert [read_json(path / "report.json")["number"] for path in finals] == [0, 1, 2]


@pytest.mark.usefixtures("one_second")
def test_runs_that_start_at_once_do_not_collide(workspace: Workspace) -> None:
    base = workspace.output / "data" / "build"
    base.mkdir(parents=True)
    claimed: list[Path] = []
    start = threading.Barrier(8)

    def claim() -> None:
        start.wait()
        path, lock = runs._claim_new(base, "0123abcd")
        lock.close()
        claimed.append(path)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(claimed)) == 8


def test_a_name_does_not_lead_out_of_the_output(workspace: Workspace) -> None:
    for name in ("../../etc", "..", "a/b", "Vip/Lamp5", ".hidden"):
        with start_run(workspace, study="show", what=name, settings=Settings()) as run:
            pass
        assert run.final.parent.parent == workspace.output / "show"
        assert not run.final.parent.name.startswith(".")


def test_an_output_that_cannot_be_written_is_reported(workspace: Workspace) -> None:
    write_text(workspace.output, "a file")
    with (
        pytest.raises(StsError, match="a file has the name of a needed folder"),
        start_run(workspace, study="data", what="build", settings=Settings()),
    ):
        pass


def test_the_record_of_a_run_is_json_alone(workspace: Workspace) -> None:
    with start_run(workspace, study="data", what="build", settings=Settings()) as run:
        run.report({"score": float("nan")})
    assert json.loads((run.final / "report.json").read_text()) == {"score": None}
