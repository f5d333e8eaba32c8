"""Other processes of this host that take part in a search.

Each process is a new Python, since a GPU cannot be used in a forked process, and joins the study by
itself. If one dies, the others continue its trial.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.logs import set_up

logger = logging.getLogger("sts")

# Seconds that a terminated worker has to return its trial and to release its GPU.
END_S: Final = 20.0
# Seconds that a worker has to end after the last trial, even if it still loads its cells.
LAST_S: Final = 2.0
# Exit status of an interrupted worker.
INTERRUPTED: Final = 130


@contextlib.contextmanager
def workers_beside(
    work: Callable[..., None], arguments: Sequence[Mapping[str, Any]]
) -> Iterator[None]:
    """Run `work(**each)` in a process for each of the arguments while the block runs.

    At its end the block waits for the processes; after an error it terminates them.

    Parameters
    ----------
    work
        A function of a module, which the processes import; its arguments are pickled.
    """
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = [
        context.Process(target=_run, args=(work, dict(each)), name=f"worker {number}")
        for number, each in enumerate(arguments, start=2)
    ]
    try:
        with _ignored_interrupts():
            for process in processes:
                process.start()
        yield
    except BaseException:
        _end(processes)
        raise
    deadline = time.monotonic() + LAST_S
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    ended = [process for process in processes if process.exitcode]
    _end(processes)
    for process in ended:
        logger.warning("search: %s ended with status %s", process.name, process.exitcode)


@contextlib.contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C: this process ends them in an orderly way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(processes: Sequence[BaseProcess]) -> None:
    """End the running processes, first by a signal after which they return their trials."""
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.terminate()
    deadline = time.monotonic() + END_S
    for process in started:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _run(work: Callable[..., None], arguments: Mapping[str, Any]) -> None:
    """Do the work in this process, and end when the process that started it ends."""
    set_up(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(**arguments)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except StsError as error:
        logger.warning("search: %s: %s", multiprocessing.current_process().name, error)
        sys.exit(2)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
