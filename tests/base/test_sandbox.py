"""However the process of a sandbox ends, its parent goes on and says why it ended."""

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
from sts.base.sandbox import REQUESTS_EACH, Isolated, Limits
from tests.conftest import REPOSITORY

WORK = "tests.base.isolated_work:work"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Isolated]:
    # 400 MB: a few arrays; 1 s: the least the system counts, however long that takes
    with Isolated(WORK, Limits(memory_mb=400, processor_s=1, wall_s=120)) as one:
        yield one


def ask(sandbox: Isolated, task: str, argument: object = None) -> dict[str, object]:
    answer, data = sandbox.ask({"task": task, "argument": argument})
    assert data == b"\x00\x01\xff" * 3
    return answer


def is_alive(pid: object) -> bool:
    """Tell whether a process runs; a dead child of ours has been waited for, so it is gone."""
    return Path(f"/proc/{pid}").exists()


def test_an_answer_comes_back_whole(sandbox: Isolated) -> None:
    text = "=Zellkörper \ud800 \n" * 1000
    assert ask(sandbox, "echo", text)["result"] == text


def test_one_process_answers_all(sandbox: Isolated) -> None:
    assert ask(sandbox, "echo")["pid"] == ask(sandbox, "echo")["pid"] != os.getpid()


def test_printed_text_does_not_mix_with_the_answers(sandbox: Isolated) -> None:
    assert ask(sandbox, "babble")["result"] == "heard"
    assert ask(sandbox, "echo", 1)["result"] == 1


def test_it_has_the_search_path_of_its_parent(sandbox: Isolated) -> None:
    assert ask(sandbox, "path")["result"] == sys.path


def test_it_has_one_thread(sandbox: Isolated) -> None:
    assert ask(sandbox, "threads")["result"] == "1"


def test_ctrl_c_is_left_to_the_parent(sandbox: Isolated) -> None:
    assert ask(sandbox, "interrupt")["result"] is None


ENDS = {
    "crash": r"crashed its reader \(SIGSEGV\): it is damaged",
    "kill": r"lost its reader \(SIGKILL\), most often because memory ran out|lost its reader",
    "spin": r"took more than 1 s of processor time",
    "raise": r"crashed its reader \(status 1\)",
    "nothing": r"crashed its reader \(status 3\)",
}


@pytest.mark.parametrize("task", ENDS)
def test_the_death_of_the_process_is_explained_and_a_new_one_starts(
    sandbox: Isolated, task: str
) -> None:
    before = ask(sandbox, "echo")["pid"]
    with pytest.raises(CellFailed, match=ENDS[task]):
        ask(sandbox, task)
    assert ask(sandbox, "echo", "again")["result"] == "again"
    assert not is_alive(before)


def test_a_process_that_waits_for_ever_is_ended() -> None:
    with Isolated(WORK, Limits(wall_s=1)) as impatient:
        ask(impatient, "echo")
        begin = time.perf_counter()
        with pytest.raises(CellFailed, match="took more than 1 s to read"):
            ask(impatient, "sleep", 60)
    # 1 s, and room for a busy machine
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize("task", ["sleep", "fork and sleep"])
def test_a_limit_of_three_seconds_ends_within_five(task: str) -> None:
    """Also where a process that was started holds the pipe open, as one that cannot die does."""
    with Isolated(WORK, Limits(wall_s=3)) as impatient:
        ask(impatient, "echo")
        begin = time.perf_counter()
        with pytest.raises(CellFailed, match="took more than 3 s to read"):
            ask(impatient, task, 30)
        assert 3 <= time.perf_counter() - begin < 5
        assert ask(impatient, "echo", "again")["result"] == "again"


def test_a_request_may_have_less_time_than_the_limit() -> None:
    with Isolated(WORK, Limits(wall_s=60)) as patient:
        ask(patient, "echo")
        begin = time.perf_counter()
        with pytest.raises(CellFailed, match="took more than 60 s to read"):
            patient.ask({"task": "sleep", "argument": 30}, within_s=1)
        assert time.perf_counter() - begin < 5


def test_a_process_that_does_not_start_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sts.base.sandbox.START_S", 1.0)
    monkeypatch.setattr("sts.base.sandbox.BOOT", "import time; time.sleep(30)")
    begin = time.perf_counter()
    with pytest.raises(StsError, match=r"cannot start: not in 1 s, .*: try fewer --workers$"):
        Isolated(WORK).ask({})
    assert time.perf_counter() - begin < 5


def test_memory_is_bounded(sandbox: Isolated) -> None:
    assert ask(sandbox, "memory", 200)["result"] == f"got {200 * 2**20}"
    assert ask(sandbox, "memory", 600)["result"] == "no memory"


def test_a_process_killed_from_outside_is_tried_again(sandbox: Isolated, tmp_path: Path) -> None:
    assert ask(sandbox, "kill once", str(tmp_path / "mark"))["result"] == "the second time"


def test_a_process_killed_between_two_requests_is_replaced(sandbox: Isolated) -> None:
    pid = ask(sandbox, "echo")["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    assert ask(sandbox, "echo", "still there")["result"] == "still there"


def test_the_process_is_replaced_after_many_requests(sandbox: Isolated) -> None:
    sandbox.close()
    assert REQUESTS_EACH > 100, "a start costs a second"
    pids = [ask(sandbox, "echo")["pid"] for _ in range(REQUESTS_EACH + 1)]
    assert len(set(pids)) == 2
    assert len(set(pids[:-1])) == 1


def test_closing_leaves_no_process(sandbox: Isolated) -> None:
    pid = ask(sandbox, "echo")["pid"]
    sandbox.close()
    assert not is_alive(pid)
    sandbox.close()


def test_a_sandbox_that_is_deleted_ends_its_process() -> None:
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
sandbox = Isolated({work!r})
print(sandbox.ask({{"task": "echo"}})[0]["pid"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_process_ends_with_a_killed_parent() -> None:
    script = KILLED_PARENT.format(work=WORK)
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=False, cwd=REPOSITORY
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    deadline = time.perf_counter() + 20
    while is_alive(int(ended.stdout)) and time.perf_counter() < deadline:
        time.sleep(0.05)
    assert not is_alive(int(ended.stdout))
