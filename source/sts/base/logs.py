"""What a command tells on stderr and writes into its log, passwords left out."""

import contextlib
import logging
import os
import re
import sys
from pathlib import Path
from typing import Final, TextIO

from sts.base.commands import as_typed

LOGGER: Final = logging.getLogger("sts")
# user:password@ in an address, as in postgresql://ada:secret@host/db
PASSWORD: Final = re.compile(r"(://[^\s/:@]*):[^\s@]*@")


def redact(text: str) -> str:
    """Return `text` with the passwords of addresses replaced by asterisks."""
    return PASSWORD.sub(r"\1:***@", text)


def printable(text: str, *, keep: str = "") -> str:
    """Return `text` with control characters, and what cannot be shown, spelt out by their codes.

    Parameters
    ----------
    keep
        Characters that stay, such as a line's end.
    """
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in keep
        else letter.encode("unicode_escape", errors="backslashreplace").decode()
        for letter in text
    )


def write_stderr(text: str) -> None:
    """Write to stderr what can be written; nothing stops because nobody reads it."""
    stream = sys.stderr
    # None in a process that was started without one.
    if stream is None:
        return
    try:
        stream.write(as_encoded(text, stream))
        stream.flush()
    except (OSError, ValueError):
        forget(stream)


def as_encoded(text: str, stream: TextIO) -> str:
    """Return `text` with what the encoding of a stream lacks spelt out."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


def forget(stream: TextIO) -> None:
    """Send what is still to be written to a stream nowhere, so that it cannot fail at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class PlainLines(logging.Formatter):
    """Format a message as it stands, a warning or worse behind the name of its level."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = as_typed(printable(redact(super().format(record)), keep="\n\t"))
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


class DatedLines(logging.Formatter):
    """Format a message behind its time, level and origin."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with its traceback below if there is one."""
        return printable(redact(super().format(record)), keep="\n\t")


class Stderr(logging.Handler):
    """Write to whatever stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, over a progress bar if one stands there."""
        clear = "\r\x1b[K" if sys.stderr is not None and sys.stderr.isatty() else ""
        write_stderr(f"{clear}{self.format(record)}\n")


def set_up(verbosity: int = 0) -> None:
    """Tell on stderr warnings (below 0), what happens (0) or every detail (above 0)."""
    for old in [handler for handler in LOGGER.handlers if isinstance(handler, Stderr)]:
        LOGGER.removeHandler(old)
    handler = Stderr({-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}[_sign(verbosity)])
    handler.setFormatter(PlainLines())
    LOGGER.addHandler(handler)
    # The handlers choose: the log of a run holds more than stderr shows.
    LOGGER.setLevel(logging.DEBUG)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def is_quiet() -> bool:
    """Tell whether stderr shows no more than warnings, as it does before `set_up`."""
    return not any(
        isinstance(handler, Stderr) and handler.level <= logging.INFO for handler in LOGGER.handlers
    )


class LogFile(logging.FileHandler):
    """Append to a file as long as that is possible."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Let go a line that a full disk does not take: the work itself says what is wrong."""


def log_file(path: Path) -> logging.Handler:
    """Return a handler that appends all that the package logs to a file."""
    handler = LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(DatedLines())
    return handler
