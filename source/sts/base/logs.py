"""What a command tells on stderr and writes into its log, passwords left out."""

import logging
import re
import sys
from pathlib import Path
from typing import Final

LOGGER: Final = logging.getLogger("sts")
# user:password@ in an address, as in postgresql://ada:secret@host/db
PASSWORD: Final = re.compile(r"(://[^\s/:@]*):[^\s@]*@")


def redact(text: str) -> str:
    """Return `text` with the passwords of addresses replaced by asterisks."""
    return PASSWORD.sub(r"\1:***@", text)


class PlainLines(logging.Formatter):
    """Format a message as it stands, a warning or worse behind the name of its level."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = redact(super().format(record))
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


class DatedLines(logging.Formatter):
    """Format a message behind its time, level and origin."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with its traceback below if there is one."""
        return redact(super().format(record))


class Stderr(logging.Handler):
    """Write to whatever stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, over a progress bar if one stands there."""
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{clear}{self.format(record)}\n")
        sys.stderr.flush()


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


def log_file(path: Path) -> logging.Handler:
    """Return a handler that appends all that the package logs to a file."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(DatedLines())
    return handler
