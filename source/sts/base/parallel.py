"""Work on many cells in parallel, here or on a Dask cluster, and how much memory is free for it."""

import contextlib
import importlib
import ipaddress
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import psutil
from joblib import cpu_count
from joblib.externals.loky import get_reusable_executor

from sts.base.errors import StsError

T = TypeVar("T")
R = TypeVar("R")

# Variable in the environment of a worker: the id of the process that it works for.
WORKS_FOR: Final = "STS_WORKS_FOR"
# Items given to each worker at a time: no worker waits, and a long list needs no more memory.
ITEMS_EACH: Final = 2
# A worker without work ends after this time.
IDLE_S: Final = 60
# Longest wait for an answer of a Dask scheduler.
ANSWER_S: Final = 20
# Where Linux describes control groups: that of this process, and all of them.
OWN_GROUP: Final = Path("proc/self/cgroup")
ALL_GROUPS: Final = Path("sys/fs/cgroup")
# File with the memory limit of a group, in version 2 and version 1 of control groups.
LIMIT_FILES: Final = ("memory.max", "memory.limit_in_bytes")


def worker_count(asked: int | None) -> int:
    """Return the number of workers: as asked, else as SLURM or the CPU affinity allow."""
    if asked is not None and asked < 0:
        raise StsError(f"--workers must be 0 (choose for me) or more, not {asked}")
    if asked:
        return asked
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    # Unlike os.cpu_count(), joblib's counts the affinity and the quota of a container.
    return int(granted) if granted.isdecimal() and int(granted) else int(cpu_count())


def free_memory_bytes(root: Path = Path("/")) -> int:
    """Return the free memory of this machine, or the limit of SLURM or a container if lower."""
    # psutil knows the machine, but not the limits of control groups.
    return min([psutil.virtual_memory().available, *_group_limits(root)])


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the memory limits of the control group of this process and of the groups above it."""
    for line in _read_lines(root / OWN_GROUP):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / ALL_GROUPS / controllers
        for folder in (top / path.lstrip("/") / "x").parents:
            for name in LIMIT_FILES:
                # A group without a limit says "max".
                yield from (int(text) for text in _read_lines(folder / name) if text.isdecimal())
            if folder == top:
                break


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def map_unordered(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = 1,
    cluster: str | None = None,
) -> Generator[tuple[int, R]]:
    """Call a function for every item; return an iterator over (position of the item, result).

    Results are yielded when they finish. An exception of `function` ends the iteration and is
    raised unchanged. At any time only a few items for each worker are taken from `items`.

    Parameters
    ----------
    function
        With several workers it must be picklable (by cloudpickle).
    workers
        Processes on this machine; with 1 all is done in this process.
    cluster
        Address of a Dask scheduler to use instead: `tls://host:port` or `tcp://127.0.0.1:port`.
    """
    if cluster is not None:
        return _on_cluster(function, items, check_cluster_address(cluster))
    if workers == 1:
        return ((index, function(item)) for index, item in enumerate(items))
    return _on_this_machine(function, items, workers)


def _on_this_machine(
    function: Callable[[T], R], items: Iterable[T], workers: int
) -> Generator[tuple[int, R]]:
    from sts.base.sandbox import ONE_THREAD

    # loky replaces a worker that needs much memory, and warns. Where warnings are errors, that
    # would end loky's own thread, and this one would wait for ever.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    executor = get_reusable_executor(
        max_workers=workers,
        timeout=IDLE_S,
        env=ONE_THREAD | {WORKS_FOR: str(os.getpid())},
        initializer=_follow_parent,
    )
    finished = False
    try:
        yield from _yield_results(executor, function, items, waiting=ITEMS_EACH * workers)
        finished = True
    except BrokenProcessPool as error:
        how = " ".join(sorted(set(re.findall(r"SIG\w+", str(error))))) or "signal unknown"
        raise StsError(
            f"a worker process died ({how}), most often because memory ran out or a file crashed "
            "its reader: run again with fewer --workers, or with --workers 1 to see where"
        ) from error
    finally:
        if not finished:
            # loky's own kill_workers fails on items that were submitted just before. Other
            # children of this process, such as a sandbox, are no workers and live on.
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if child.environ().get(WORKS_FOR) == str(os.getpid()):
                        child.kill()
            executor.shutdown(wait=True)


def _follow_parent() -> None:
    """Leave Ctrl-C, which every process of a terminal gets, to the parent, and end when it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()

    def end_with_parent() -> None:
        # A killed parent cannot end its workers, and they would go on for a minute.
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _yield_results(
    executor: Executor, function: Callable[[T], R], items: Iterable[T], *, waiting: int
) -> Iterator[tuple[int, R]]:
    """Keep a number of items submitted, and yield results as they finish."""
    queue = enumerate(items)
    submitted: dict[Future[R], int] = {}
    while True:
        for index, item in islice(queue, waiting - len(submitted)):
            submitted[executor.submit(function, item)] = index
        if not submitted:
            return
        done, _ = wait(submitted, return_when=FIRST_COMPLETED)
        for future in done:
            yield submitted.pop(future), future.result()


def check_cluster_address(address: str) -> str:
    """Return the address of a scheduler if its connection is encrypted or stays on this machine."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        host, port = parts.hostname, parts.port
        loopback = host == "localhost" or _is_loopback(host or "")
        private = parts.scheme == "tls" or (parts.scheme == "tcp" and loopback)
        if host and port and private and parts.username is None:
            return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    raise StsError(
        f"refused cluster address {address!r}: use tls://HOST:PORT, or tcp://127.0.0.1:PORT on "
        "this machine (an unencrypted scheduler runs code of any sender)"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _on_cluster(
    function: Callable[[T], R], items: Iterable[T], address: str
) -> Generator[tuple[int, R]]:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise StsError(
            "--cluster needs the package distributed: pip install 'spike-train-scalograms[cluster]'"
        ) from error
    client = _connect(distributed, address)
    try:
        workers = sum(client.nthreads().values())
        executor = client.get_executor(pure=False)
        yield from _yield_results(executor, function, items, waiting=ITEMS_EACH * workers)
    except distributed.KilledWorker as error:
        raise StsError(
            f"workers of the cluster at {address} died, most often because memory ran out: "
            "give them more memory and run it again"
        ) from error
    except CancelledError as error:
        raise StsError(f"the scheduler at {address} has ended: start it and run again") from error
    finally:
        client.close()


def _connect(distributed: Any, address: str) -> Any:
    """Return a Dask client whose scheduler answers and has at least one worker."""
    if address.startswith("tls://"):
        arguments = distributed.Security().get_connection_args("client")
        if arguments.get("ssl_context") is None:
            raise StsError(
                f"{address} needs certificates: name them in Dask's configuration "
                "(distributed.comm.tls.ca-file, .client.cert, .client.key)"
            )
    try:
        client = distributed.Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].lower()
        raise StsError(
            f"no Dask scheduler answers at {address} ({reason}): "
            "start `dask scheduler` and `dask worker` or correct --cluster"
        ) from error
    try:
        client.wait_for_workers(1, timeout=ANSWER_S)
    except TimeoutError as error:
        client.close()
        raise StsError(f"the scheduler at {address} has no workers: start `dask worker`") from error
    return client
