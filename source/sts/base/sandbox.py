"""The sandbox: work on untrusted files in a separate process, with limits on memory and time.

The process answers many requests, so that it starts once and not once a file; it is replaced when
it dies or takes too long. Requests and answers are JSON and plain bytes.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from sts.base.errors import CellFailed, StsError

# What a sandbox does: it takes a request and returns an answer, with bytes that belong to it.
Work = Callable[[dict[str, Any]], tuple[dict[str, Any], bytes]]

# Sent before each answer: the number of bytes of its JSON and of its other bytes.
HEAD: Final = struct.Struct("<QQ")
# Requests that one process answers before it is replaced: the HDF5 library never frees all memory.
REQUESTS_EACH: Final = 500
# Largest answer that is accepted; a process whose memory was overwritten may announce anything.
MAX_ANSWER_BYTES: Final = 2**26
# Environment of a process that computes in one thread; torch reads the first three names.
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
# What the process runs. sys.path arrives first: a new interpreter does not know the script's.
BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from sts.base.sandbox import serve; serve()"
)
# Signals that come from outside: the file is not the reason, so it is tried a second time.
FROM_OUTSIDE: Final = ("SIGKILL", "SIGTERM", "SIGHUP")
# Longest start: it takes a second or two, and more over a slow network file system or on a busy
# machine, where it took more than a minute.
START_S: Final = 300.0
# Time for a killed process to end, and for what it has sent to arrive.
GRACE_S: Final = 0.5
# The sandboxes of this thread by their work, until the program ends: a start takes a second.
_OF_THREAD: Final = threading.local()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that one request may use."""

    memory_mb: int = 2048
    """Address space beyond what the process has before its first request."""
    processor_s: int = 120
    wall_s: float = 900.0
    """More than the processor time, since reading waits for a network file system."""


class _Died(Exception):  # noqa: N818 - it says how the process ended
    """The process ended before its answer."""

    def __init__(self, words: str, *, by: str = "") -> None:
        super().__init__(words)
        self.by = by


class Isolated:
    """A process for one kind of work; it starts when it is first needed, and again if it died."""

    def __init__(self, work: str, limits: Limits | None = None) -> None:
        """Name the work as `module:function`, a `Work`; the limits are for each request."""
        self.work = work
        self.limits = limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: Callable[[], Any] = bool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process unless it runs, so that its start is not in the time of a request."""
        if self._process is None:
            self._start()

    def ask(
        self, request: Mapping[str, Any], *, within_s: float | None = None
    ) -> tuple[dict[str, Any], bytes]:
        """Return the answer to a request, or raise `CellFailed` with a reason.

        Parameters
        ----------
        within_s
            Time for this request, if it is less than the limit.
        """
        wall_s = self.limits.wall_s if within_s is None else min(within_s, self.limits.wall_s)
        try:
            try:
                return self._ask(request, wall_s)
            except _Died as death:
                if death.by not in FROM_OUTSIDE:
                    raise
            return self._ask(request, wall_s)
        except _Died as death:
            raise CellFailed(str(death)) from death

    def close(self) -> None:
        """End the process."""
        self._process = None
        self._ending()

    def _ask(self, request: Mapping[str, Any], wall_s: float) -> tuple[dict[str, Any], bytes]:
        process = self._process or self._start()
        stopwatch = _Stopwatch(process, wall_s)
        try:
            with stopwatch:
                _send(process, request)
                answer, data = _receive(process, wall_s)
        except (OSError, EOFError, ValueError) as error:
            code = _reap(process)
            self.close()
            raise _explain_death(code, self.limits, late=stopwatch.rang) from error
        if answer["last"]:
            self.close()
        return answer["answer"], data

    def _start(self) -> subprocess.Popen[bytes]:
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        process = subprocess.Popen(
            [sys.executable, "-c", BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            bufsize=0,
            env=os.environ | ONE_THREAD | {"HDF5_USE_FILE_LOCKING": "FALSE"},
        )
        self._process = process
        # The process also ends when this object is deleted, or when its parent was killed.
        self._ending = weakref.finalize(self, _end, process, complaints)
        stopwatch = _Stopwatch(process, START_S)
        try:
            with stopwatch:
                _send(process, sys.path)
                _send(process, {"work": self.work, **vars(self.limits)})
                _receive(process, START_S)
        except (OSError, EOFError, ValueError) as error:
            _reap(process)
            complaints.seek(0)
            lines = complaints.read()[-10_000:].decode(errors="replace").strip().split("\n")
            self.close()
            late = f"not in {START_S:g} s, the machine may be too busy: try fewer --workers"
            reason = late if stopwatch.rang else lines[-1].strip() or "it gave no reason"
            raise StsError(f"the process that reads files cannot start: {reason}") from error
        return process


def reuse_sandbox(work: str, limits: Limits) -> Isolated:
    """Return the sandbox of this thread for some work, with these limits."""
    kept: dict[str, Isolated] = vars(_OF_THREAD)
    if work in kept and kept[work].limits != limits:
        kept.pop(work).close()
    return kept.setdefault(work, Isolated(work, limits))


def _reap(process: subprocess.Popen[bytes]) -> int:
    """End a process that does not answer and return its exit code."""
    # A process that crashed gets the time to end by itself, so that its own exit code is seen. One
    # that waits for a dead file system cannot even be killed, and is left alone.
    for end in (bool, process.kill):
        end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=GRACE_S)
    return -signal.SIGKILL


def _explain_death(code: int, limits: Limits, *, late: bool) -> _Died:
    by = signal.Signals(-code).name if code < 0 else f"status {code}"
    if late:
        return _Died(f"took more than {limits.wall_s:g} s to read: it is damaged or unreachable")
    if by == "SIGXCPU":
        return _Died(f"took more than {limits.processor_s} s of processor time: it is damaged")
    if by in FROM_OUTSIDE:
        advice = "most often memory ran out: try fewer --workers"
        return _Died(f"lost its reader ({by}): {advice}", by=by)
    return _Died(f"crashed its reader ({by}): it is damaged", by=by)


class _Stopwatch:
    """Kill a process that is not done in time."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.rang = False
        self._process = process
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        self.rang = True
        self._process.kill()


def _end(process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
    """Close the pipes of a process, so that it ends by itself; kill it if it does not."""
    for pipe in (process.stdin, process.stdout, complaints):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    _reap(process)


def _send(process: subprocess.Popen[bytes], message: Any) -> None:
    if process.stdin is None:
        raise EOFError
    rest = memoryview(json.dumps(message).encode() + b"\n")
    while rest:
        rest = rest[os.write(process.stdin.fileno(), rest) :]


def _receive(process: subprocess.Popen[bytes], wall_s: float) -> tuple[dict[str, Any], bytes]:
    if process.stdout is None:
        raise EOFError
    # The pipe of a killed process may stay open: in a process that it started, or if it hangs.
    deadline = time.monotonic() + wall_s + GRACE_S
    sizes = HEAD.unpack(_exactly(process.stdout, HEAD.size, deadline))
    if max(sizes) > MAX_ANSWER_BYTES:
        raise ValueError(f"an answer of {max(sizes)} bytes")
    message: dict[str, Any] = json.loads(_exactly(process.stdout, sizes[0], deadline))
    return message, _exactly(process.stdout, sizes[1], deadline)


def _exactly(pipe: IO[bytes], size: int, deadline: float) -> bytes:
    """Return exactly `size` bytes of an unbuffered pipe, or raise `EOFError`."""
    parts = []
    while size:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(pipe.fileno(), size) if ready else b""
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def serve() -> None:
    """Answer requests until the pipe closes; the main function of the process."""
    # Ctrl-C reaches every process of a terminal; only the parent reacts to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not mix with the answers.
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

        # A crash must not leave a core file of gigabytes.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _bound(resource.RLIMIT_AS, pages * resource.getpagesize() + limits.memory_mb * 2**20)


def _bound_time(limits: Limits) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _bound(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + limits.processor_s + 1)


def _bound(what: int, most: int) -> None:
    """Set a limit; a lower one of the system stays."""
    import resource

    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
