"""How much memory there is to be taken: of this machine, or of the share that a job was granted."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MACHINE: Final = Path("proc/meminfo")
GROUP: Final = Path("proc/self/cgroup")
GROUPS: Final = Path("sys/fs/cgroup")
# What a control group may use, in version 2 and 1 of control groups.
LIMITS: Final = ("memory.max", "memory.limit_in_bytes")


def free_memory_bytes(root: Path = Path("/")) -> int:
    """Return what is free on this machine, at most what SLURM or a container grants in all."""
    return min([_available(root), *_granted(root)])


def _available(root: Path) -> int:
    for line in _lines(root / MACHINE):
        # Without swapping, files that are kept in memory given up.
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    # Not Linux: as if half of it were free.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


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
