"""Cell-wise work in processes of one thread each, on this machine or on a Dask scheduler."""

import contextlib
import importlib
import ipaddress
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import psutil
from joblib import cpu_count
from joblib.externals.loky import get_reusable_executor

from sts.base.errors import StsError

T = TypeVar("T")
R = TypeVar("R")

# torch reads the first three; several threads a process only wait for each other.
ONE_THREAD: Final = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)
# In the environment of a worker: the process that it works for.
WORKS_FOR: Final = "STS_WORKS_FOR"
# Enough waiting items that no worker idles, few enough that any list needs the same memory.
AHEAD: Final = 2
IDLE_S: Final = 60
ANSWER_S: Final = 20


def worker_count(asked: int | None) -> int:
    """Return `asked`, or what SLURM or the CPU affinity of this process grants."""
    if asked is not None and asked < 0:
        raise StsError(f"--workers must be 0 (choose for me) or more, not {asked}")
    if asked:
        return asked
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    # Unlike os.cpu_count(), joblib's counts the affinity and the quota of a container.
    return int(granted) if granted.isdecimal() and int(granted) else int(cpu_count())


def map_unordered(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = 1,
    cluster: str | None = None,
) -> Iterator[tuple[int, R]]:
    """Return an iterator over (position of the item, result), in the order of finishing.

    An exception of `function` ends the iteration and is raised as it is. At any time only a few
    items a worker are under way or wait to be taken.

    Parameters
    ----------
    function
        Called once an item; with several workers it must be picklable (cloudpickle).
    workers
        Processes on this machine; 1 stays in this process.
    cluster
        Address of a Dask scheduler, `tls://host:port` or `tcp://127.0.0.1:port`, used instead.
    """
    if cluster is not None:
        return _on_cluster(function, items, check_cluster_address(cluster))
    if workers == 1:
        return ((index, function(item)) for index, item in enumerate(items))
    return _on_this_machine(function, items, workers)


def _on_this_machine(
    function: Callable[[T], R], items: Iterable[T], workers: int
) -> Iterator[tuple[int, R]]:
    # A worker that has grown is replaced without loss; where warnings are errors, the warning about
    # it would end loky's own thread, and this one would wait for ever.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    executor = get_reusable_executor(
        max_workers=workers,
        timeout=IDLE_S,
        env=ONE_THREAD | {WORKS_FOR: str(os.getpid())},
        initializer=_follow_parent,
    )
    finished = False
    try:
        yield from _as_they_finish(executor, function, items, ahead=AHEAD * workers)
        finished = True
    except BrokenProcessPool as error:
        how = " ".join(sorted(set(re.findall(r"SIG\w+", str(error))))) or "no signal told"
        raise StsError(
            f"a worker process died ({how}), most often because memory ran out or a file crashed "
            "its reader: run again with fewer --workers, or with --workers 1 to see where"
        ) from error
    finally:
        if not finished:
            # loky's own kill_workers stumbles over items that were handed in just before.
            for child in psutil.Process().children():
                _kill_worker(child)
            executor.shutdown(wait=True)


def _kill_worker(child: psutil.Process) -> None:
    """Kill a child of this process if it is a worker, and not a reader of files for instance."""
    with contextlib.suppress(psutil.Error):
        if child.environ().get(WORKS_FOR) == str(os.getpid()):
            child.kill()


def _follow_parent() -> None:
    """Leave Ctrl-C, which every process of a terminal gets, to the parent, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    # A parent that was killed cannot end its workers, and they would go on for a minute.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _as_they_finish(
    executor: Executor, function: Callable[[T], R], items: Iterable[T], *, ahead: int
) -> Iterator[tuple[int, R]]:
    """Keep `ahead` items under way and yield what is done."""
    queue = enumerate(items)
    under_way: dict[Future[R], int] = {}
    while True:
        for index, item in islice(queue, ahead - len(under_way)):
            under_way[executor.submit(function, item)] = index
        if not under_way:
            return
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            yield under_way.pop(future), future.result()


def check_cluster_address(address: str) -> str:
    """Return a scheduler's address if nobody on the way can read or change what is sent there."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        host, port = parts.hostname, parts.port
        private = parts.scheme == "tls" or (parts.scheme == "tcp" and _is_loopback(host or ""))
        if host and port and private and parts.username is None:
            return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    raise StsError(
        f"refused cluster address {address!r}: use tls://HOST:PORT, or tcp://127.0.0.1:PORT on "
        "this machine (an unencrypted scheduler runs anybody's code)"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _on_cluster(
    function: Callable[[T], R], items: Iterable[T], address: str
) -> Iterator[tuple[int, R]]:
    distributed = _distributed()
    client = _connect(distributed, address)
    try:
        workers = sum(client.nthreads().values())
        executor = client.get_executor(pure=False)
        yield from _as_they_finish(executor, function, items, ahead=AHEAD * workers)
    except distributed.KilledWorker as error:
        raise StsError(
            f"workers of the cluster at {address} died, most often because memory ran out: "
            "give them more memory and run it again"
        ) from error
    except CancelledError as error:
        raise StsError(f"the scheduler at {address} went away: start it and run again") from error
    finally:
        client.close()


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise StsError(
            "--cluster needs the package distributed: pip install 'spike-train-scalograms[cluster]'"
        ) from error


def _connect(distributed: Any, address: str) -> Any:
    """Return a Dask client whose scheduler answers and has at least one worker."""
    if address.startswith("tls://") and not _has_certificates(distributed):
        raise StsError(
            f"{address} needs certificates: name them in Dask's configuration "
            "(distributed.comm.tls.ca-file, .client.cert, .client.key)"
        )
    try:
        client = distributed.Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise StsError(
            f"no Dask scheduler answers at {address} ({_first_line(error)}): "
            "start `dask scheduler` and `dask worker` or correct --cluster"
        ) from error
    try:
        client.wait_for_workers(1, timeout=ANSWER_S)
    except TimeoutError as error:
        client.close()
        raise StsError(f"the scheduler at {address} has no workers: start `dask worker`") from error
    return client


def _has_certificates(distributed: Any) -> bool:
    return distributed.Security().get_connection_args("client").get("ssl_context") is not None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].lower()
