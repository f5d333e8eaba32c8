"""Work for the process of a sandbox in tests of how it ends."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def work(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Do what the request says."""
    argument = request.get("argument")
    return {"pid": os.getpid(), "result": TASKS[request["task"]](argument)}, b"\x00\x01\xff" * 3


def crash(_: Any) -> None:
    ctypes.string_at(0)


def fill_memory(megabytes: int) -> str:
    try:
        return f"got {np.ones(megabytes * 2**17).nbytes}"
    except MemoryError:
        return "no memory"


def kill_once(mark: str) -> str:
    """End as by the system's memory killer, the first time only."""
    if Path(mark).exists():
        return "the second time"
    Path(mark).touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def fork_and_sleep(seconds: float) -> None:
    """Leave behind a process that holds the pipe of the answers open."""
    if os.fork() == 0:
        time.sleep(seconds)
        os._exit(0)
    time.sleep(seconds)


def spin(_: Any) -> None:
    while True:
        pass


def babble(_: Any) -> str:
    sys.stdout.write("a library that prints\n")
    sys.stdout.flush()
    os.write(1, b"\xff" * 100)
    return "heard"


def raise_error(_: Any) -> None:
    raise LookupError("a defect")


def give_nothing(_: Any) -> None:
    os._exit(3)


def threads(_: Any) -> str:
    return os.environ["OMP_NUM_THREADS"]


TASKS = {
    "echo": lambda argument: argument,
    "crash": crash,
    "memory": fill_memory,
    "kill once": kill_once,
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "sleep": time.sleep,
    "fork and sleep": fork_and_sleep,
    "spin": spin,
    "babble": babble,
    "raise": raise_error,
    "nothing": give_nothing,
    "threads": threads,
    "path": lambda _: sys.path,
    "interrupt": lambda _: os.kill(os.getpid(), signal.SIGINT),
}
