"""Parallel work gives what serial work gives, needs little memory, and ends clearly."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from sts.base import parallel
from sts.base.errors import StsError
from sts.base.parallel import check_cluster_address, free_memory_bytes, map_unordered, worker_count
from sts.base.sandbox import ONE_THREAD
from tests.conftest import REPOSITORY


def square(number: int) -> int:
    return number * number


def threads(_: int) -> tuple[int, set[str | None]]:
    import torch

    return torch.get_num_threads(), {os.environ.get(name) for name in ONE_THREAD}


def interrupts(_: int) -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def fail(number: int) -> int:
    if number == 3:
        raise KeyError(number)
    return number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def grow(number: int) -> int:
    if number > 1:
        # loky looks every second and calls 300 MB more than after the first call a leak.
        HELD.append(bytearray(b"x" * 350_000_000))
        time.sleep(1.1)
    return number


HELD: list[bytearray] = []


def slow_first(number: int) -> int:
    time.sleep(0.4 if number == 0 else 0)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_parallel_equals_serial(workers: int) -> None:
    found = dict(map_unordered(square, range(50), workers=workers))
    assert found == {number: number * number for number in range(50)}


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_to_do_is_done(workers: int) -> None:
    assert list(map_unordered(square, [], workers=workers)) == []


def test_what_is_done_first_comes_first() -> None:
    order = [index for index, _ in map_unordered(slow_first, range(4), workers=2)]
    assert sorted(order) == [0, 1, 2, 3]
    assert order[0] != 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_long_list_is_not_read_ahead(workers: int) -> None:
    read = 0

    def items() -> Iterator[int]:
        nonlocal read
        for number in range(200):
            read = number + 1
            yield number

    ahead = 0
    for taken, _ in enumerate(map_unordered(square, items(), workers=workers)):
        ahead = max(ahead, read - taken)
    # One at work and one waiting for each worker; a list of ten thousand needs no more.
    assert ahead <= 2 * workers


def test_a_worker_runs_one_thread() -> None:
    for _, (torch_threads, variables) in map_unordered(threads, range(2), workers=2):
        assert torch_threads == 1
        assert variables == {"1"}


def test_a_worker_leaves_interrupts_to_its_parent() -> None:
    assert all(left for _, left in map_unordered(interrupts, range(4), workers=2))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_the_function_comes_through(workers: int) -> None:
    with pytest.raises(KeyError, match="3"):
        list(map_unordered(fail, range(10), workers=workers))


def test_a_worker_that_dies_is_reported_and_the_next_work_runs() -> None:
    with pytest.raises(StsError, match=r"a worker process died \(SIGKILL\)"):
        list(map_unordered(die, range(10), workers=2))
    assert dict(map_unordered(square, range(3), workers=2)) == {0: 0, 1: 1, 2: 4}


def test_a_worker_that_grows_is_replaced_without_loss() -> None:
    assert dict(map_unordered(grow, range(6), workers=2)) == {n: n for n in range(6)}


def test_work_that_is_given_up_leaves_no_process() -> None:
    results = map_unordered(pid_after, [0.0, 60.0, 60.0], workers=2)
    _, worker = next(results)
    results.close()  # type: ignore[attr-defined]
    assert not Path(f"/proc/{worker}/cmdline").exists() or not sys.platform.startswith("linux")


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


INTERRUPTED = """
import os, time
from sts.base.parallel import map_unordered

def work(seconds):
    time.sleep(seconds)
    return os.getpid()

def items():
    while len(seen) < 2:
        yield 0.02
    print("both at work", flush=True)
    while True:
        yield 60.0

seen = set()
if __name__ == "__main__":
    for _, worker in map_unordered(work, items(), workers=2):
        seen.add(worker)
"""


@contextlib.contextmanager
def at_work(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a command in a group of its own, both of whose workers are asleep for a minute."""
    script = folder / "script.py"
    script.write_text(INTERRUPTED)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "source")},
        start_new_session=True,
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "both at work\n"
        yield command


def test_an_interrupt_ends_all_at_once(tmp_path: Path) -> None:
    with at_work(tmp_path) as command:
        # A terminal sends Ctrl-C to the whole group: the workers get it too.
        os.killpg(command.pid, signal.SIGINT)
        # The 60 s of sleep must not be waited for.
        _, output = command.communicate(timeout=20)
    assert command.returncode == -signal.SIGINT
    assert output.count("Traceback") == output.count("KeyboardInterrupt") == 1
    # loky's helper, which removes what a killed process leaves, goes last.
    assert ends(command.pid, within_s=10)


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with at_work(tmp_path) as command:
        command.kill()
        command.wait()
        # They look once a second; alone they would sleep for 60 s.
        assert ends(command.pid, within_s=20)


def ends(group: int, *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_workers_are_those_asked_for() -> None:
    assert worker_count(3) == 3
    with pytest.raises(StsError, match="--workers must be 0"):
        worker_count(-1)


@pytest.mark.parametrize("asked", [None, 0])
def test_workers_come_from_slurm_or_from_the_affinity(
    asked: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "7")
    assert worker_count(asked) == 7
    for useless in ("", "0", "many"):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", useless)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
        assert worker_count(asked) == 1


def test_a_system_without_affinity_has_workers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert worker_count(None) >= 1


@pytest.mark.parametrize(
    ("address", "checked"),
    [
        ("tls://node7:8786", "tls://node7:8786"),
        ("tcp://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("tcp://localhost:1", "tcp://localhost:1"),
        ("tcp://[::1]:8786", "tcp://[::1]:8786"),
    ],
)
def test_private_addresses_are_taken(address: str, checked: str) -> None:
    assert check_cluster_address(address) == checked


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.7:8786",
        "node7:8786",
        "tcp://127.0.0.1.example.org:8786",
        "tcp://127.0.0.1@example.org:8786",
        "tcp://someone@127.0.0.1:8786",
        "ws://127.0.0.1:8786",
        "http://127.0.0.1:8786",
        "tls://node7",
        "tcp://127.0.0.1:port",
        "tcp://[::1",
        "scheduler.json",
        "",
    ],
)
def test_other_addresses_are_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(StsError, match=r"refused cluster address .* use tls://"):
        map_unordered(square, [1], cluster=address)


@pytest.fixture
def dask_draws() -> Iterator[None]:
    """Put back the state of `random`, from which Dask draws the waits between its attempts."""
    state = random.getstate()
    yield
    random.setstate(state)


@pytest.mark.usefixtures("dask_draws")
def test_a_cluster_gives_what_serial_work_gives() -> None:
    import distributed

    with distributed.LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address=None,
        # Without an address its HTTP server takes port 8787, which another cluster may have.
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    ) as cluster:
        address = cluster.scheduler_address
        found = dict(map_unordered(square, range(30), cluster=address))
        with pytest.raises(KeyError, match="3"):
            list(map_unordered(fail, range(10), cluster=address))
    assert found == {number: number * number for number in range(30)}


@pytest.mark.usefixtures("dask_draws")
def test_a_scheduler_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "ANSWER_S", 0.5)
    # Port 9 (discard) is closed on any machine of this century.
    with pytest.raises(StsError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(map_unordered(square, [1], cluster="tcp://127.0.0.1:9"))


def test_an_encrypted_address_without_certificates_is_reported() -> None:
    with pytest.raises(StsError, match=r"needs certificates"):
        list(map_unordered(square, [1], cluster="tls://127.0.0.1:9"))


def test_a_cluster_without_its_package_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(StsError, match=r"pip install 'spike-train-scalograms\[cluster\]'"):
        list(map_unordered(square, [1], cluster="tls://node7:8786"))


GB = 10**9


def make_root(root: Path, *, group: str = "", limits: dict[str, str] | None = None) -> Path:
    """Write what Linux tells of the control groups of this process."""
    for name, text in ({"proc/self/cgroup": group} | (limits or {})).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def available_bytes(monkeypatch: pytest.MonkeyPatch) -> int:
    """Give a machine of which 20 GB are free."""
    memory = SimpleNamespace(available=20 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    return memory.available


def test_what_is_available_is_free_where_nothing_was_granted(
    tmp_path: Path, available_bytes: int
) -> None:
    assert free_memory_bytes(make_root(tmp_path)) == available_bytes
    assert free_memory_bytes(tmp_path / "no Linux") == available_bytes


@pytest.mark.parametrize(
    ("group", "limits"),
    [
        ("0::/\n", {"sys/fs/cgroup/memory.max": "3000000000\n"}),
        # SLURM limits the job, not the step inside it.
        (
            "0::/slurm/job_1/step_0\n",
            {
                "sys/fs/cgroup/slurm/job_1/memory.max": "3000000000\n",
                "sys/fs/cgroup/slurm/job_1/step_0/memory.max": "max\n",
            },
        ),
        (
            "4:cpu:/a\n3:memory:/job\n0::/\n",
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "3000000000\n",
            },
        ),
        # A container sees its own group at the top, whatever it is called outside.
        (
            "3:memory:/docker/abc\n",
            {"sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000000\n"},
        ),
    ],
)
@pytest.mark.usefixtures("available_bytes")
def test_no_more_than_was_granted_is_free(
    tmp_path: Path, group: str, limits: dict[str, str]
) -> None:
    root = make_root(tmp_path, group=group, limits=limits)
    assert free_memory_bytes(root) == 3 * GB


def test_a_grant_beyond_the_machine_adds_nothing(tmp_path: Path, available_bytes: int) -> None:
    limits = {"sys/fs/cgroup/memory.max": f"{50 * GB}\n"}
    root = make_root(tmp_path, group="0::/\n", limits=limits)
    assert free_memory_bytes(root) == available_bytes


def test_this_machine_has_memory() -> None:
    assert 2**20 < free_memory_bytes() < 2**50
