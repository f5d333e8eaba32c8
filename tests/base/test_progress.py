"""Progress is a bar on a terminal, a plain line now and then elsewhere, and never a flood."""

import io
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sts.base import logs
from sts.base.progress import LINE_S, progress
from tests.conftest import REPOSITORY


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Steps(Clock):
    """A clock that is a minute later at each look."""

    def __call__(self) -> float:
        self.now += 60
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(stream: io.StringIO, *, items: int = 100, each_s: float = 0.5, quiet: bool = False) -> str:
    clock = Clock()
    with progress(items, "cells", stream=stream, quiet=quiet, clock=clock) as bar:
        for _ in range(items):
            clock.now += each_s
            bar.advance(note="cell 7")
    return stream.getvalue()


def test_a_log_gets_one_line_an_interval_and_a_last_one() -> None:
    lines = run(io.StringIO()).splitlines()
    # 100 items of half a second: 50 s.
    assert len(lines) == 50 / LINE_S + 1
    assert lines[0] == "cells: 10 of 100, 2/s, 0:45 left, cell 7"
    assert lines[-1] == "cells: 100 of 100, 2/s, in 0:50"


def test_a_thousand_quick_items_make_one_line() -> None:
    assert run(io.StringIO(), items=1000, each_s=1e-4) == "cells: 1000 of 1000, 1e+04/s, in 0:00\n"


def test_slow_work_is_counted_by_the_minute() -> None:
    assert run(io.StringIO(), items=2, each_s=1800).splitlines() == [
        "cells: 1 of 2, 0.0333/min, 30:00 left, cell 7",
        "cells: 2 of 2, 0.0333/min, 0:00 left, cell 7",
        "cells: 2 of 2, 0.0333/min, in 1:00:00",
    ]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> int:
    """Give a terminal of 60 columns."""
    monkeypatch.setenv("COLUMNS", "60")
    return 60


def test_a_terminal_gets_a_bar_on_one_line(narrow: int) -> None:
    text = run(Terminal())
    assert text.count("\n") == 1
    drawn = text.rstrip("\n").split("\r")[1:]
    assert re.match(r"cells: 100%\|#+\| 100/100 \[", drawn[-1])
    # A longer line would wrap, and the next one would not cover it.
    assert max(map(len, drawn)) < narrow


def test_a_terminal_without_a_size_gets_a_bar_too() -> None:
    command = (
        "from sts.base.progress import progress\n"
        "with progress(3, 'cells', quiet=False) as bar: bar.advance(3)"
    )
    # A new pseudo terminal has no columns and no lines.
    outer, inner = os.openpty()
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
        "PYTHONPATH": str(REPOSITORY / "source"),
    }
    subprocess.run(
        [sys.executable, "-c", command], stderr=inner, env=environment, check=True, timeout=60
    )
    assert b"cells: 100%|" in os.read(outer, 10_000)
    os.close(outer)
    os.close(inner)


def test_a_bar_is_drawn_ten_times_a_second_at_most() -> None:
    start = time.monotonic()
    drawn = run(Terminal(), items=10_000).count("\r")
    # At the start and at the end it is drawn in any case.
    assert 2 <= drawn <= 2 + 10 * (time.monotonic() - start)


def test_nothing_stops_because_nobody_reads() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for stream in (Gone(), Terminal()):
        with progress(2, "cells", stream=stream, quiet=False) as bar:
            bar.advance()
            stream.close()
            bar.advance()


def test_a_note_cannot_move_the_cursor() -> None:
    for stream in (io.StringIO(), Terminal()):
        with progress(2, "cells", stream=stream, quiet=False, clock=Steps()) as bar:
            bar.advance(note="\x1b[2Jcell")
        assert "\x1b[2J" not in stream.getvalue()


def test_a_bar_says_that_it_stopped() -> None:
    stream = Terminal()
    with pytest.raises(KeyError), progress(3, "cells", stream=stream, quiet=False) as bar:
        bar.advance()
        raise KeyError
    assert stream.getvalue().endswith("stopped]\n")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_is_quiet(stream: io.StringIO) -> None:
    assert run(stream, quiet=True) == ""


def test_no_items_are_no_error() -> None:
    assert run(io.StringIO(), items=0) == "cells: 0 of 0, 0/s, in 0:00\n"
    assert run(Terminal(), items=0).endswith("\n")


def test_the_last_line_says_that_it_stopped() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyError), progress(3, "cells", stream=stream, quiet=False) as bar:
        bar.advance()
        raise KeyError
    assert stream.getvalue().startswith("cells: 1 of 3")
    assert stream.getvalue().endswith("stopped\n")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("sts")
    handlers, level = found.handlers[:], found.level
    yield found
    found.handlers[:], found.level = handlers, level


@pytest.mark.usefixtures("logger")
@pytest.mark.parametrize(("verbosity", "lines"), [(-1, 0), (0, 1), (1, 1)])
def test_progress_is_as_quiet_as_the_log(
    verbosity: int, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(verbosity)
    with progress(1, "cells") as bar:
        bar.advance()
    output = capsys.readouterr()
    assert output.err.count("\n") == lines
    assert output.out == ""
