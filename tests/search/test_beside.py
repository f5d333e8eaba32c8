"""Processes that search beside the one that was called."""

import os
import signal
import time
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.search.workers import workers_beside
from tests.search.worlds import find, quality, refuse


def search_and_note(storage: str, log: str, fate: str = "") -> None:
    """Search as a worker; `fate` is what happens in its first fold."""

    def score(settings: dict[str, object], fold: int) -> object:
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.05)
        if fate == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if fate == "is refused":
            raise StsError("no room on this GPU")
        return quality(settings, fold)

    find(storage, score, trials=20)  # type: ignore[arg-type]


def wait_for_others(log: Path, count: int) -> None:
    """Return when so many processes have scored a fold."""
    deadline = time.monotonic() + 60
    while not log.exists() or len(set(log.read_text().split())) < count:
        assert time.monotonic() < deadline, "the others did not come"
        time.sleep(0.02)


def test_processes_share_the_trials_of_one_search(tmp_path: Path) -> None:
    storage, log = tmp_path / "a.db", tmp_path / "log"
    with workers_beside(search_and_note, [{"storage": str(storage), "log": str(log)}]):
        wait_for_others(log, 1)
        search_and_note(str(storage), str(log))
    # Both have worked, and all that they noted was stored, once.
    pids = log.read_text().split()
    assert len(set(pids)) == 2
    result = find(storage, refuse, trials=20)
    assert [trial.number for trial in result.trials] == list(range(20))
    assert len(pids) == sum(len(trial.folds) for trial in result.trials)


@pytest.mark.parametrize(
    ("fate", "told"),
    [("dies", "worker 2 ended with status -9"), ("is refused", "worker 2 ended with status 2")],
)
def test_a_process_that_ends_early_does_not_end_the_search(
    fate: str, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage, log = tmp_path / "a.db", tmp_path / "log"
    arguments = {"storage": str(storage), "log": str(log), "fate": fate}
    with workers_beside(search_and_note, [arguments]):
        wait_for_others(log, 1)
        search_and_note(str(storage), str(log))
    assert told in caplog.text
    result = find(storage, refuse, trials=20)
    assert [trial.number for trial in result.trials] == list(range(20))
    assert all(trial.state in ("complete", "pruned") for trial in result.trials)


def sleep_and_note(log: str) -> None:
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(600)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, StsError])
def test_an_error_ends_the_processes(kind: type[BaseException], tmp_path: Path) -> None:
    log = tmp_path / "log"
    others = workers_beside(sleep_and_note, [{"log": str(log)}] * 2)
    with pytest.raises(kind), others:
        wait_for_others(log, 2)
        raise kind("enough")
    for pid in log.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def begin_and_die(log: str) -> None:
    with workers_beside(sleep_and_note, [{"log": log}]):
        wait_for_others(Path(log), 1)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_ends_when_the_one_that_started_it_was_killed(tmp_path: Path) -> None:
    import multiprocessing

    log = tmp_path / "log"
    parent = multiprocessing.get_context("spawn").Process(target=begin_and_die, args=(str(log),))
    parent.start()
    parent.join(60)
    assert parent.exitcode == -signal.SIGKILL
    (pid,) = log.read_text().split()
    deadline = time.monotonic() + 30
    while is_running(int(pid)):
        assert time.monotonic() < deadline, "it runs on"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
