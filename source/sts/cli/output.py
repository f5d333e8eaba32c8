"""Where words go: results to stdout, everything else to stderr."""

import sys
from collections.abc import Iterable, Sequence

from sts.base.commands import as_typed
from sts.base.logs import as_encoded, forget, printable, write_stderr


class OutputLost(Exception):  # noqa: N818 - what happened to the output, not a defect
    """Say that stdout takes no more, and why."""


def say(text: str = "") -> None:
    """Write one line of results to stdout."""
    # None in a process that was started without one.
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(as_encoded(f"{printable(text, keep=chr(10))}\n", sys.stdout))
    except OSError as error:
        raise _lost(error) from error


def flush_results() -> None:
    """Push out the last lines: only then does it show that nobody, or a full disk, takes them."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _lost(error) from error


def _lost(error: OSError) -> OutputLost:
    """Make sure that stdout does not fail again at the end, and return what is to be said."""
    forget(sys.stdout)
    # Whoever read our output has heard enough: that is no error.
    broken = isinstance(error, BrokenPipeError)
    return OutputLost("" if broken else (error.strerror or str(error)).lower())


def complain(text: str) -> None:
    """Write one line about the work itself to stderr."""
    write_stderr(f"{as_typed(printable(text, keep=chr(10)))}\n")


def say_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with aligned columns to stdout: words to the left, numbers to the right."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *lines]) for i in range(len(header))]
    numeric = [
        bool(lines) and all(_is_number(line[i]) for line in lines) for i in range(len(widths))
    ]
    for line in [list(header), *lines]:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        say("  ".join(cells).rstrip())


def _is_number(text: str) -> bool:
    return text == "" or text.replace(".", "", 1).lstrip("-").isdigit()
