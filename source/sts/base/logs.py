"""Messages to stderr and to the log of a run, without passwords, with commands as typed."""

import contextlib
import logging
import os
import re
import sys
from pathlib import Path
from typing import Final, TextIO

LOGGER: Final = logging.getLogger("sts")
# Name of each script, and of the command that an installation puts on the path for it.
INSTALLED_COMMANDS: Final = {
    "sts_pipeline.py": "sts-pipeline",
    "baseline_pipeline.py": "sts-baseline",
    "augment_benchmark.py": "sts-augment",
    "calcium_gan.py": "sts-calcium",
    "data_pipeline.py": "sts-data",
}
# user:password@ in an address, as in postgresql://ada:secret@host/db
PASSWORD: Final = re.compile(r"(://[^\s/:@]*):[^\s@]*@")


def program(script: str) -> str:
    """Return what the user typed to start a script: its name, or the installed command."""
    return INSTALLED_COMMANDS[script] if _typed_name() == INSTALLED_COMMANDS[script] else script


def as_typed(text: str) -> str:
    """Return a text with scripts named as this user types them: by script or by command."""
    if _typed_name() not in INSTALLED_COMMANDS.values():
        return text
    # A script inside a path is a file and keeps its name.
    scripts = "|".join(map(re.escape, INSTALLED_COMMANDS))
    return re.sub(
        rf"(?:python3? source/|(?<![\w./-]))({scripts})(?!\w)",
        lambda match: INSTALLED_COMMANDS[match[1]],
        text,
    )


def _typed_name() -> str:
    # On Windows an installed command is a file *.exe.
    return Path(sys.argv[0] if sys.argv else "").name.removesuffix(".exe")


def redact(text: str) -> str:
    """Return `text` with the passwords of addresses replaced by asterisks."""
    return PASSWORD.sub(r"\1:***@", text)


def printable(text: str, *, keep: str = "") -> str:
    """Return `text` with control characters replaced by their codes, but for those to `keep`."""
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in keep
        else letter.encode("unicode_escape", errors="backslashreplace").decode()
        for letter in text
    )


def write_stderr(text: str) -> None:
    """Write to stderr; a closed stream is no error."""
    stream = sys.stderr
    # A process can be started without a stderr.
    if stream is None:
        return
    try:
        stream.write(as_encoded(text, stream))
        stream.flush()
    except (OSError, ValueError):
        discard_output(stream)


def as_encoded(text: str, stream: TextIO) -> str:
    """Return `text` with characters that a stream cannot encode replaced by their codes."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


def discard_output(stream: TextIO) -> None:
    """Discard the buffer of a stream, so that Python's last flush cannot fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class PlainLines(logging.Formatter):
    """Format a message as it is; a warning or an error begins with the name of its level."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = as_typed(printable(redact(super().format(record)), keep="\n\t"))
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


class DatedLines(logging.Formatter):
    """Format a message with its time, level and origin before it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with its traceback below if there is one."""
        return printable(redact(super().format(record)), keep="\n\t")


class Stderr(logging.Handler):
    """Write to stderr, whichever stream that is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, over a progress bar if there is one."""
        clear = "\r\x1b[K" if sys.stderr is not None and sys.stderr.isatty() else ""
        write_stderr(f"{clear}{self.format(record)}\n")


def set_up(verbosity: int = 0) -> None:
    """Show on stderr warnings only (below 0), messages too (0), or every detail (above 0)."""
    for old in [handler for handler in LOGGER.handlers if isinstance(handler, Stderr)]:
        LOGGER.removeHandler(old)
    level = logging.WARNING if verbosity < 0 else logging.DEBUG if verbosity else logging.INFO
    handler = Stderr(level)
    handler.setFormatter(PlainLines())
    LOGGER.addHandler(handler)
    # Each handler has its own level: the log of a run contains more than stderr shows.
    LOGGER.setLevel(logging.DEBUG)


def is_quiet() -> bool:
    """Tell whether stderr shows warnings only, as before `set_up`."""
    return not any(
        isinstance(handler, Stderr) and handler.level <= logging.INFO for handler in LOGGER.handlers
    )


class LogFile(logging.FileHandler):
    """Append to a file as long as the disk takes it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Drop a line that a full disk does not take; the run itself reports the full disk."""


def log_file(path: Path) -> logging.Handler:
    """Return a handler that appends all messages of the package to a file."""
    handler = LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(DatedLines())
    return handler
