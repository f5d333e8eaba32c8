"""Work on files nobody vouches for, in a process of its own with bounds on memory and time.

The process answers one request after the other and is replaced when it dies or takes too long, so
that it costs a start and not a start a file. What goes to and fro is JSON and plain bytes.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import IO, Any, Final, Self

from sts.base.errors import CellFailed, StsError
from sts.base.parallel import ONE_THREAD
from sts.base.sandbox_process import HEAD, Limits

# Far above any answer; what a process whose memory was overwritten may claim to send.
MAX_ANSWER_BYTES: Final = 2**26
# sys.path arrives first: it may be the script's, which a new interpreter does not know.
BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from sts.base.sandbox_process import serve; serve()"
)
# Signals that somebody else sends: the file is not to blame, and another try may end otherwise.
FROM_OUTSIDE: Final = ("SIGKILL", "SIGTERM", "SIGHUP")
# A start takes a second or two; over a slow network file system more.
START_S: Final = 60.0
# For a process to be gone once it was killed, and for what it has sent to arrive.
GRACE_S: Final = 0.5


class Died(Exception):  # noqa: N818 - a verdict, not an error of a program
    """Say how a process ended before it had answered."""

    def __init__(self, words: str, *, by: str = "") -> None:
        super().__init__(words)
        self.by = by


class Isolated:
    """A process that does one kind of work; started when it is first needed, replaced at need."""

    def __init__(self, work: str, limits: Limits | None = None) -> None:
        """Remember what to do.

        Parameters
        ----------
        work
            `module:function`, a `Work`.
        limits
            What each request may take.
        """
        self.work = work
        self.limits = limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: Callable[[], Any] = bool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process unless it runs: that takes a second, which no file is to blame for."""
        if self._process is None:
            self._start()

    def ask(
        self, request: Mapping[str, Any], *, within_s: float | None = None
    ) -> tuple[dict[str, Any], bytes]:
        """Return the answer to a request; `CellFailed` says in words why there is none.

        Parameters
        ----------
        within_s
            How long it may take, where that is less than the limit.
        """
        wall_s = self.limits.wall_s if within_s is None else min(within_s, self.limits.wall_s)
        try:
            try:
                return self._ask(request, wall_s)
            except Died as death:
                if death.by not in FROM_OUTSIDE:
                    raise
            return self._ask(request, wall_s)
        except Died as death:
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
            raise _death(code, self.limits, late=stopwatch.rang) from error
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
        # It also ends when this object, or the whole parent, is gone without a word.
        self._ending = weakref.finalize(self, _end, process, complaints)
        try:
            with _Stopwatch(process, START_S):
                _send(process, sys.path)
                _send(process, {"work": self.work, **vars(self.limits)})
                _receive(process, START_S)
        except (OSError, EOFError, ValueError) as error:
            _reap(process)
            told = _last_line(complaints)
            self.close()
            raise StsError(f"the process that reads files cannot start: {told}") from error
        return process


def _last_line(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read()[-10_000:].decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")


def _reap(process: subprocess.Popen[bytes]) -> int:
    """End a process that does not answer and return its exit code."""
    # One that has crashed is given the time to be gone, so that its own code is seen. One that
    # waits for a dead file system cannot even be killed, and is left to itself.
    for end in (bool, process.kill):
        end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=GRACE_S)
    return -signal.SIGKILL


def _death(code: int, limits: Limits, *, late: bool) -> Died:
    by = signal.Signals(-code).name if code < 0 else f"status {code}"
    if late:
        return Died(f"took more than {limits.wall_s:g} s to read: it is damaged or out of reach")
    if by == "SIGXCPU":
        return Died(f"took more than {limits.processor_s} s of processor time: it is damaged")
    if by in FROM_OUTSIDE:
        advice = "most often memory ran out: try fewer --workers"
        return Died(f"lost its reader ({by}): {advice}", by=by)
    return Died(f"crashed its reader ({by}): it is damaged", by=by)


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
    """Let a process go: it ends by itself when nothing more can come, or is made to."""
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
    # A process that was killed may leave its pipe open: to one that it started, or by not dying.
    deadline = time.monotonic() + wall_s + GRACE_S
    sizes = HEAD.unpack(_exactly(process.stdout, HEAD.size, deadline))
    if max(sizes) > MAX_ANSWER_BYTES:
        raise ValueError(f"an answer of {max(sizes)} bytes")
    message: dict[str, Any] = json.loads(_exactly(process.stdout, sizes[0], deadline))
    return message, _exactly(process.stdout, sizes[1], deadline)


def _exactly(pipe: IO[bytes], size: int, deadline: float) -> bytes:
    """Return so many bytes of a pipe without a buffer, or raise `EOFError`."""
    parts = []
    while size:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(pipe.fileno(), size) if ready else b""
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
