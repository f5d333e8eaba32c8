"""What runs in the process of the sandbox: it bounds itself, does what it is asked, and answers."""

import contextlib
import importlib
import json
import os
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

# Takes a request, gives an answer and bytes that belong to it.
Work = Callable[[dict[str, Any]], tuple[dict[str, Any], bytes]]

# Before each answer: how many bytes of JSON and how many others follow.
HEAD: Final = struct.Struct("<QQ")
# After so many requests it makes room for a fresh one: the HDF5 library never gives all back.
REQUESTS_EACH: Final = 500


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one file may take."""

    memory_mb: int = 2048
    """Address space beyond what the process has before its first file."""
    processor_s: int = 120
    wall_s: float = 900.0
    """Longer, since a network file system may keep the processor waiting."""


def serve() -> None:
    """Answer requests until no more can come; the main function of the process."""
    # Ctrl-C reaches every process of a terminal; it is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not come among the answers.
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    orders = json.loads(requests.readline())
    module, _, name = orders.pop("work").partition(":")
    work: Work = getattr(importlib.import_module(module), name)
    limits = Limits(**orders)
    _bound_memory(limits)
    _answer(answers, {}, b"")
    for count, line in enumerate(requests, start=1):
        _bound_time(limits)
        answer, data = work(json.loads(line))
        _answer(answers, {"answer": answer, "last": count == REQUESTS_EACH}, data)
        if count == REQUESTS_EACH:
            return


def _answer(pipe: IO[bytes], message: Mapping[str, Any], data: bytes) -> None:
    text = json.dumps(message).encode()
    pipe.write(HEAD.pack(len(text), len(data)) + text + data)
    pipe.flush()


def _bound_memory(limits: Limits) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        # A crash is no reason to leave gigabytes behind.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _bound(resource.RLIMIT_AS, pages * resource.getpagesize() + limits.memory_mb * 2**20)


def _bound_time(limits: Limits) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _bound(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + limits.processor_s + 1)


def _bound(what: int, most: int) -> None:
    """Set a limit, which another one may stand above or below."""
    import resource

    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
