"""How much memory there is to be taken: of this machine, or of the share that a job was granted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

GROUP: Final = Path("proc/self/cgroup")
GROUPS: Final = Path("sys/fs/cgroup")
# What a control group may use, in version 2 and 1 of control groups.
LIMITS: Final = ("memory.max", "memory.limit_in_bytes")


def free_memory_bytes(root: Path = Path("/")) -> int:
    """Return what is free on this machine, at most what SLURM or a container grants in all."""
    # psutil knows the machine, not what a control group grants of it.
    return min([psutil.virtual_memory().available, *_granted(root)])


def _granted(root: Path) -> Iterator[int]:
    """Yield the limits of the control group of this process and of those above it."""
    for line in _lines(root / GROUP):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / GROUPS / controllers
        for folder in (top / path.lstrip("/") / "x").parents:
            for name in LIMITS:
                # "max" where there is none
                yield from (int(text) for text in _lines(folder / name) if text.isdecimal())
            if folder == top:
                break


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
