"""Whatever happens to the process apart, its parent goes on and knows in words what it was."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sts.base.errors import CellFailed, StsError
from sts.base.sandbox import Isolated
from sts.base.sandbox_process import REQUESTS_EACH, Limits
from tests.conftest import REPOSITORY

WORK = "tests.base.isolated_work:work"


@pytest.fixture(scope="module")
def apart() -> Iterator[Isolated]:
    # 400 MB: a few arrays; 1 s: the least the system counts, however long that takes
    with Isolated(WORK, Limits(memory_mb=400, processor_s=1, wall_s=120)) as one:
        yield one


def ask(apart: Isolated, deed: str, argument: object = None) -> dict[str, object]:
    answer, data = apart.ask({"deed": deed, "argument": argument})
    assert data == b"\x00\x01\xff" * 3
    return answer


def is_alive(pid: object) -> bool:
    """Tell whether a process runs; a dead child of ours has been waited for, so it is gone."""
    return Path(f"/proc/{pid}").exists()


def test_an_answer_comes_back_whole(apart: Isolated) -> None:
    text = "=Zellkörper \ud800 \n" * 1000
    assert ask(apart, "echo", text)["said"] == text


def test_one_process_answers_all(apart: Isolated) -> None:
    assert ask(apart, "echo")["pid"] == ask(apart, "echo")["pid"] != os.getpid()


def test_what_is_printed_does_not_get_among_the_answers(apart: Isolated) -> None:
    assert ask(apart, "babble")["said"] == "heard"
    assert ask(apart, "echo", 1)["said"] == 1


def test_it_finds_what_its_parent_finds(apart: Isolated) -> None:
    assert ask(apart, "path")["said"] == sys.path


def test_it_has_one_thread(apart: Isolated) -> None:
    assert ask(apart, "threads")["said"] == "1"


def test_ctrl_c_is_the_parents(apart: Isolated) -> None:
    assert ask(apart, "interrupt")["said"] is None


ENDS = {
    "crash": r"crashed its reader \(SIGSEGV\): it is damaged",
    "kill": r"lost its reader \(SIGKILL\), most often because memory ran out|lost its reader",
    "spin": r"took more than 1 s of processor time",
    "raise": r"crashed its reader \(status 1\)",
    "nothing": r"crashed its reader \(status 3\)",
}


@pytest.mark.parametrize("deed", ENDS)
def test_its_death_is_told_and_another_takes_its_place(apart: Isolated, deed: str) -> None:
    before = ask(apart, "echo")["pid"]
    with pytest.raises(CellFailed, match=ENDS[deed]):
        ask(apart, deed)
    assert ask(apart, "echo", "again")["said"] == "again"
    assert not is_alive(before)


def test_one_that_waits_for_ever_is_ended() -> None:
    with Isolated(WORK, Limits(wall_s=1)) as hasty:
        ask(hasty, "echo")
        begin = time.perf_counter()
        with pytest.raises(CellFailed, match="took more than 1 s to read"):
            ask(hasty, "sleep", 60)
    # 1 s, and room for a busy machine
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize("deed", ["sleep", "fork and sleep"])
def test_a_limit_of_three_seconds_ends_within_five(deed: str) -> None:
    """Also where a process that was started holds the pipe open, as one that cannot die does."""
    with Isolated(WORK, Limits(wall_s=3)) as hasty:
        ask(hasty, "echo")
        begin = time.perf_counter()
        with pytest.raises(CellFailed, match="took more than 3 s to read"):
            ask(hasty, deed, 30)
        assert 3 <= time.perf_counter() - begin < 5
        assert ask(hasty, "echo", "again")["said"] == "again"


def test_a_request_may_have_less_time_than_the_limit() -> None:
    with Isolated(WORK, Limits(wall_s=60)) as patient:
        ask(patient, "echo")
        begin = time.perf_counter()
        with pytest.raises(CellFailed, match="took more than 60 s to read"):
            patient.ask({"deed": "sleep", "argument": 30}, within_s=1)
        assert time.perf_counter() - begin < 5


def test_a_process_that_does_not_start_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sts.base.sandbox.START_S", 1.0)
    monkeypatch.setattr("sts.base.sandbox.BOOT", "import time; time.sleep(30)")
    begin = time.perf_counter()
    with pytest.raises(StsError, match="cannot start"):
        Isolated(WORK).ask({})
    assert time.perf_counter() - begin < 5


def test_memory_is_bounded(apart: Isolated) -> None:
    assert ask(apart, "memory", 200)["said"] == f"got {200 * 2**20}"
    assert ask(apart, "memory", 600)["said"] == "no memory"


def test_what_somebody_else_has_ended_is_tried_again(apart: Isolated, tmp_path: Path) -> None:
    assert ask(apart, "kill once", str(tmp_path / "mark"))["said"] == "the second time"


def test_one_killed_between_two_requests_is_replaced(apart: Isolated) -> None:
    pid = ask(apart, "echo")["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    assert ask(apart, "echo", "still there")["said"] == "still there"


def test_it_makes_room_for_a_fresh_one_after_many_requests(apart: Isolated) -> None:
    apart.close()
    assert REQUESTS_EACH > 100, "a start costs a second"
    pids = [ask(apart, "echo")["pid"] for _ in range(REQUESTS_EACH + 1)]
    assert len(set(pids)) == 2
    assert len(set(pids[:-1])) == 1


def test_closing_leaves_no_process(apart: Isolated) -> None:
    pid = ask(apart, "echo")["pid"]
    apart.close()
    assert not is_alive(pid)
    apart.close()


def test_a_forgotten_one_ends_too() -> None:
    forgotten = Isolated(WORK)
    pid = ask(forgotten, "echo")["pid"]
    del forgotten
    gc.collect()
    assert not is_alive(pid)


def test_work_that_cannot_start_is_a_clear_error() -> None:
    with pytest.raises(StsError, match=r"cannot start: .*no_such_module"):
        Isolated("tests.no_such_module:work").ask({})


KILLED_PARENT = """
import os, signal, sys
from sts.base.sandbox import Isolated
apart = Isolated({work!r})
print(apart.ask({{"deed": "echo"}})[0]["pid"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_does_not_outlive_a_parent_that_was_killed() -> None:
    script = KILLED_PARENT.format(work=WORK)
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=False, cwd=REPOSITORY
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    deadline = time.perf_counter() + 20
    while is_alive(int(ended.stdout)) and time.perf_counter() < deadline:
        time.sleep(0.05)
    assert not is_alive(int(ended.stdout))
