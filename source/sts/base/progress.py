"""Progress on stderr: a bar on a terminal, elsewhere one plain line every few seconds."""

import contextlib
import io
import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from sts.base.logs import is_quiet

BAR_S = 0.1
LINE_S = 5.0
WIDTH = 24


class Progress:
    """Count what is done and say so, at most once an interval and once at the end."""

    def __init__(
        self, total: int, what: str, *, stream: TextIO, quiet: bool, clock: Callable[[], float]
    ) -> None:
        self._total, self._what, self._stream, self._quiet = total, what, stream, quiet
        self._clock = clock
        self._terminal = stream.isatty()
        self._interval_s = BAR_S if self._terminal else LINE_S
        self._done, self._note = 0, ""
        self._start = self._last = clock()

    def __enter__(self) -> "Progress":
        return self

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more as done; `note` stands at the end of the line."""
        self._done, self._note = self._done + n, note
        now = self._clock()
        if now - self._last >= self._interval_s:
            self._last = now
            self._say()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say the last line, which tells where it stopped when it did not end well."""
        self._note = "" if error is None else "stopped"
        self._say(last=True)

    def _say(self, *, last: bool = False) -> None:
        if self._quiet:
            return
        text = self._line(last=last)
        if self._terminal:
            columns = shutil.get_terminal_size().columns
            text = "\r\x1b[K" + f"{self._bar()} {text}"[: columns - 1] + ("\n" if last else "")
        else:
            text += "\n"
        # Nothing stops because nobody looks on.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def _bar(self) -> str:
        full = WIDTH * min(self._done, self._total) // max(self._total, 1)
        return f"[{'#' * full}{'.' * (WIDTH - full)}]"

    def _line(self, *, last: bool) -> str:
        elapsed_s = max(self._clock() - self._start, 1e-9)
        rate = self._done / elapsed_s
        if last or rate == 0:
            when = f"in {_clock_time(elapsed_s)}"
        else:
            when = f"{_clock_time(max(self._total - self._done, 0) / rate)} left"
        line = f"{self._what}: {self._done} of {self._total}, {_per_time(rate)}, {when}"
        return f"{line}, {self._note}" if self._note else line


def _per_time(rate: float) -> str:
    return f"{rate:.3g}/s" if rate >= 1 or rate == 0 else f"{60 * rate:.3g}/min"


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
    """Return a counter to be used as `with progress(len(cells), "build") as bar: bar.advance()`.

    Unless told, it is as quiet as the log on stderr, which `logs.set_up` decides.
    """
    if quiet is None:
        quiet = is_quiet()
    # There is no stderr in a process that was started without one.
    stream = stream or sys.stderr or io.StringIO()
    return Progress(total, what, stream=stream, quiet=quiet, clock=clock)
