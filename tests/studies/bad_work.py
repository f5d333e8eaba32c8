"""The work of a build, in a process that does what the names of some files say."""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from sts.datasets.cell_results import work as good_work


def work(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Crash, hang, eat memory or be killed at files called so; read others as ever."""
    if request.get("only") == "stamps":
        return good_work(request)
    path = Path(next(iter(request["cell"]["paths"].values())))
    if "crash" in path.name:
        ctypes.string_at(0)
    if "hang" in path.name:
        time.sleep(60)
    if "large" in path.name:
        np.ones(2**40)
    mark = path.with_suffix(".killed")
    if "killed" in str(path.parent) and not mark.exists():
        # As a system without memory does, once for each file.
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return good_work(request)


def wait(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Wait as for a file system that does not answer, whatever is asked."""
    time.sleep(30)
    return good_work(request)
