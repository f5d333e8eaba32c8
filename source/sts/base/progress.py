"""Progress on stderr: a bar on a terminal, elsewhere one plain line every few seconds."""

import contextlib
import io
import shutil
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

from tqdm import tqdm

from sts.base.logs import is_quiet, printable

# Time between two drawings of a bar, and between two plain lines.
BAR_S: Final = 0.1
LINE_S: Final = 5.0
# Errors of a closed stderr, which must not stop the work.
CLOSED: Final = (OSError, ValueError)


class Progress(ABC):
    """Count the finished items, and show the count from time to time and at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(*CLOSED):
            self._end("" if error is None else "stopped")

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more items; `note` is shown at the end of the line."""
        with contextlib.suppress(*CLOSED):
            self._count(n, printable(note))

    @abstractmethod
    def _count(self, n: int, note: str) -> None:
        """Count, and show the count if the last time is long enough ago."""

    @abstractmethod
    def _end(self, note: str) -> None:
        """Show the final count."""


class _Lines(Progress):
    """A plain line every few seconds, for logs."""

    def __init__(
        self, total: int, what: str, *, stream: TextIO, quiet: bool, clock: Callable[[], float]
    ) -> None:
        self._total, self._what, self._stream, self._quiet = total, what, stream, quiet
        self._clock = clock
        self._done = 0
        self._start = self._last = clock()

    def _count(self, n: int, note: str) -> None:
        self._done += n
        now = self._clock()
        if now - self._last >= LINE_S:
            self._last = now
            self._write(note)

    def _end(self, note: str) -> None:
        self._write(note, last=True)

    def _write(self, note: str, *, last: bool = False) -> None:
        if self._quiet:
            return
        elapsed_s = max(self._clock() - self._start, 1e-9)
        rate = self._done / elapsed_s
        if last or rate == 0:
            when = f"in {_clock_time(elapsed_s)}"
        else:
            when = f"{_clock_time(max(self._total - self._done, 0) / rate)} left"
        speed = f"{rate:.3g}/s" if rate >= 1 or rate == 0 else f"{60 * rate:.3g}/min"
        line = f"{self._what}: {self._done} of {self._total}, {speed}, {when}"
        self._stream.write(f"{line}, {note}\n" if note else f"{line}\n")
        self._stream.flush()


class _Tqdm(tqdm):  # type: ignore[type-arg]  # tqdm accepts no type argument at run time
    # One line of one process needs no thread that redraws it, and no lock between processes.
    monitor_interval = 0
    _lock = threading.RLock()


class _Bar(Progress):
    """A bar on a terminal."""

    def __init__(self, total: int, what: str, *, stream: TextIO) -> None:
        self._bar = _Tqdm(
            total=total,
            desc=what,
            unit="",
            file=stream,
            ncols=_columns(),
            nrows=shutil.get_terminal_size().lines,
            mininterval=BAR_S,
            # Look at the clock at every step, and extrapolate the mean speed so far.
            miniters=1,
            smoothing=0,
        )

    def _count(self, n: int, note: str) -> None:
        self._bar.ncols = _columns()
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(n)

    def _end(self, note: str) -> None:
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.close()


def _columns() -> int:
    # tqdm draws nothing on a terminal without a known size.
    return shutil.get_terminal_size().columns - 1


def _clock_time(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def progress(
    total: int,
    what: str,
    *,
    stream: TextIO | None = None,
    quiet: bool | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Progress:
    """Return a counter, for use as `with progress(len(cells), "build") as bar: bar.advance()`.

    Without `quiet` it is as quiet as the messages on stderr (`logs.set_up`).
    """
    if quiet is None:
        quiet = is_quiet()
    # A process can be started without a stderr.
    stream = stream or sys.stderr or io.StringIO()
    if stream.isatty() and not quiet:
        with contextlib.suppress(*CLOSED):
            return _Bar(total, what, stream=stream)
    return _Lines(total, what, stream=stream, quiet=quiet, clock=clock)
