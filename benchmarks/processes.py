"""Measure the memory of this process and its children while they work; describe the machine."""

import os
import platform
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from sts.base.parallel import worker_count

EVERY_S = 0.05


def describe_machine() -> dict[str, Any]:
    """Return the machine and the versions of libraries."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": worker_count(None),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "h5py", "pyabf")},
    }


class Watch:
    """Watch the memory of this process and its children every 50 ms, on Linux."""

    def __init__(self) -> None:
        self.largest_mb = self.together_mb = self.own_mb = 0.0
        self.most = 0
        """Most processes at one time, with this one."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(EVERY_S):
            sizes = measure_memory()
            self.most = max(self.most, len(sizes))
            self.together_mb = max(self.together_mb, sum(sizes.values()))
            self.own_mb = max(self.own_mb, sizes.pop(os.getpid(), 0.0))
            self.largest_mb = max([self.largest_mb, *sizes.values()])


def measure_memory() -> dict[int, float]:
    """Return the resident memory of this process and all processes below it."""
    parents, sizes = {}, {}
    page_mb = os.sysconf("SC_PAGE_SIZE") / 2**20
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # State and parent come after the name, which may hold any character.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            pages = int((folder / "statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        parents[int(folder.name)] = int(fields[1])
        sizes[int(folder.name)] = pages * page_mb
    ours = {os.getpid()}
    while below := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= below
    return {process: sizes[process] for process in ours if process in sizes}
