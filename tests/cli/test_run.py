"""The exit status and one line say how a command ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.cli.run import Status, complain, run, say, say_table


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
    output = capsys.readouterr().err
    assert "a defect of this program, KeyError: 'oops'" in output
    assert "Traceback" not in output
    kept = workspace / "output" / "errors.txt"
    assert str(kept) in output
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
    assert "the same command continues from here" in capsys.readouterr().err


def ended_like(shell: str, body: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours in a shell whose pipes and files are given."""
    program = f"""
import sys
from sts.base.errors import StsError
from sts.cli.run import complain, say
from sts.cli.run import Status, run
def command():
{body}
sys.exit(run(command))
"""
    environment = os.environ | {"PROGRAM": program, "PYTHON": sys.executable}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


# Far more than a pipe and a buffer hold.
MANY = (
    "    for _ in range(20_000): say('a line of results that is long enough')\n    return {status}"
)


def test_a_reader_that_closes_the_pipe_is_no_error() -> None:
    ended = ended_like('"$PYTHON" -c "$PROGRAM" | head -1', MANY.format(status=0))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("\n") == 1


def test_how_the_work_ended_is_reported_to_one_who_reads_a_line_of_it() -> None:
    body = """
    import time
    say("first"); sys.stdout.flush(); time.sleep(1)
    sys.stdout.write("last")
    return 3"""
    ended = ended_like('PYTHONUNBUFFERED= "$PYTHON" -c "$PROGRAM" | head -1', body)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "first\n", "")


@pytest.mark.parametrize("lines", ["1", "20_000"])
def test_a_full_disk_under_stdout_is_one_line(lines: str) -> None:
    body = MANY.format(status=0).replace("20_000", lines)
    ended = ended_like('"$PYTHON" -c "$PROGRAM" > /dev/full', body)
    assert ended.returncode == Status.USER
    assert ended.stderr == (
        "error: the results cannot be written to stdout: no space left on device\n"
    )


def test_closed_streams_do_not_stop_the_work(workspace: Path) -> None:
    body = """
    say("result"); complain("trouble")
    with open("made.txt", "w") as file:
        assert file.fileno() > 2, "a closed stream's number must not become a file's"
    return 3"""
    ended = ended_like('"$PYTHON" -c "$PROGRAM" >&- 2>&-', body)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "")
    assert (workspace / "made.txt").is_file()


def test_a_reader_of_stderr_that_went_away_does_not_stop_the_work(workspace: Path) -> None:
    body = """
    from pathlib import Path
    from sts.base.logs import LOGGER, set_up
    set_up(0)
    for _ in range(20_000): complain("trouble"); LOGGER.info("and more of it")
    Path("made.txt").touch()
    raise StsError("in the end")"""
    ended = ended_like('"$PYTHON" -c "$PROGRAM" 2>&1 >&- | head -1', body)
    assert (ended.returncode, ended.stdout) == (2, "trouble\n")
    assert (workspace / "made.txt").is_file()


@pytest.mark.parametrize("name", ["sts", "data", "baseline", "augment", "calcium"])
def test_help_that_nobody_reads_ends_as_results_do(name: str) -> None:
    call = f'"$PYTHON" -c "from sts.cli.{name} import main; main([\'--help\'])"'
    ended = ended_like(f"{call} > /dev/full", "")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr


def test_a_name_with_control_characters_is_spelt_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: fail_with(StsError("no file \x1b[2J\x00\n\u202egpj.exe \udcff"))) == 2
    assert capsys.readouterr().err == ("error: no file \\x1b[2J\\x00\\n\\u202egpj.exe \\udcff\n")


@pytest.mark.parametrize("demo", [False, True])
def test_a_traceback_stays_in_the_workspace_in_use(
    workspace: Path, demo: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace / "elsewhere"
    root.mkdir()
    assert run(lambda: fail_with(KeyError("oops")), root=root, demo=demo) == Status.DEFECT
    kept = root / "output" / ("demo/output/errors.txt" if demo else "errors.txt")
    assert str(kept) in capsys.readouterr().err
    assert "Traceback" in kept.read_text()
    assert not (workspace / "output").exists()


def test_a_command_hands_its_workspace_over(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sts.cli.data import main
    from sts.datasets import check as module

    def fail(*_: object, **__: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(module, "check", fail)
    root = workspace / "elsewhere"
    root.mkdir()
    assert main(["check", "--root", str(root)]) == Status.DEFECT
    assert (root / "output" / "errors.txt").is_file()


def test_words_stand_left_and_numbers_right(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("label", "cells"), [("Sst", 7), ("Excitatory", 120)])
    assert capsys.readouterr().out == ("label       cells\nSst             7\nExcitatory    120\n")


def test_a_table_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("label", "cells"), [])
    assert capsys.readouterr().out == "label  cells\n"


def test_results_and_complaints_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    say("result")
    complain("trouble")
    assert capsys.readouterr() == ("result\n", "trouble\n")


def test_what_a_terminal_would_obey_is_spelt_out(capsys: pytest.CaptureFixture[str]) -> None:
    say("cell \x1b[31m7\x07")
    complain("cell \x9b2J \u00fc")
    assert capsys.readouterr() == ("cell \\x1b[31m7\\x07\n", "cell \\x9b2J \u00fc\n")
