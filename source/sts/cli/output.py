"""Where words go: results to stdout, everything else to stderr."""

import sys
from collections.abc import Iterable, Sequence


def say(text: str = "") -> None:
    """Write one line of results to stdout."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """Write one line about the work itself to stderr."""
    sys.stderr.write(f"{text}\n")


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
