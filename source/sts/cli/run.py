"""Run a command: results on stdout, messages on stderr, and an exit status at its end."""

import argparse
import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from pathlib import Path

from sts.base.errors import StsError
from sts.base.logs import as_encoded, as_typed, discard_output, printable, set_up, write_stderr


class Status(IntEnum):
    """How a command ended."""

    DONE = 0
    DEFECT = 1
    USER = 2
    PARTIAL = 3
    INTERRUPTED = 130


class OutputLost(Exception):  # noqa: N818 - not an error of the command itself
    """Explain why nothing more can be written to stdout."""


def say(text: str = "") -> None:
    """Write one line of results to stdout."""
    # A process can be started without a stdout.
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(as_encoded(f"{printable(text, keep=chr(10))}\n", sys.stdout))
    except OSError as error:
        raise _explain_loss(error) from error


def flush_results() -> None:
    """Write the last lines: a closed pipe or a full disk is noticed only then."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _explain_loss(error) from error


def _explain_loss(error: OSError) -> OutputLost:
    discard_output(sys.stdout)
    # A reader that stops reading, such as `head`, is no error.
    broken = isinstance(error, BrokenPipeError)
    return OutputLost("" if broken else (error.strerror or str(error)).lower())


def complain(text: str) -> None:
    """Write one line to stderr that is not a result."""
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


def parse_arguments(
    parser: argparse.ArgumentParser, words: Sequence[str] | None
) -> argparse.Namespace:
    """Return the arguments; if the help text cannot be written, end as for results."""
    _fill_standard_streams()
    # argparse does not report a help text that cannot be written.
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            return parser.parse_args(words)
    except SystemExit as ending:
        text = shown.getvalue()

        def show() -> int:
            if text:
                say(text.removesuffix("\n"))
            return Status.DONE

        if run(show) != Status.DONE:
            raise SystemExit(Status.USER) from None
        raise ending from None


def run_command(args: argparse.Namespace, command: Callable[[argparse.Namespace], int]) -> int:
    """Set up the log and run a command with the arguments that every script has."""

    def start() -> int:
        set_up(args.verbose - args.quiet)
        return command(args)

    return run(start, root=args.root, demo=args.demo)


def run(command: Callable[[], int], *, root: Path | None = None, demo: bool = False) -> int:
    """Run a command and return its exit status; print one line for an error of the user.

    Parameters
    ----------
    root, demo
        The workspace in use, which gets the traceback of a defect of ours.
    """
    _fill_standard_streams()
    _limit_spinning()
    status: int = Status.DONE
    try:
        status = command()
        flush_results()
    except OutputLost as loss:
        if not str(loss):
            return status
        complain(f"error: the results cannot be written to stdout: {loss}")
        return Status.USER
    except StsError as error:
        complain(f"error: {printable(str(error))}")
        return Status.USER
    except KeyboardInterrupt:
        complain("interrupted: the same command continues from here")
        return Status.INTERRUPTED
    except Exception as error:  # noqa: BLE001, RUF100 - the last line of defence
        kept = _keep_traceback(root, demo=demo)
        what = printable(f"{type(error).__name__}: {error}")
        complain(f"error: a defect of this program, {what}")
        complain(f"the traceback is in {kept}; please report it")
        return Status.DEFECT
    return status


def _fill_standard_streams() -> None:
    """Open the null device for each closed standard stream, else the next file takes its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _limit_spinning() -> None:
    """Let waiting threads of torch sleep soon, unless the user has set this variable.

    By default they spin. If another program uses one of two cores, training was ten times as slow;
    if nothing else runs, spinning less had no measurable cost.
    """
    # torch reads the variable when it is imported, which happens after this.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _keep_traceback(root: Path | None, *, demo: bool) -> str:
    from sts.base.workspace import find_workspace

    text = traceback.format_exc()
    try:
        workspace = find_workspace(root)
        folder = (workspace.demo() if demo else workspace).output
        folder.mkdir(parents=True, exist_ok=True)
        path = Path(folder, "errors.txt")
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{' '.join(sys.argv)}\n{text}\n")
    except (OSError, StsError):
        complain(text)
        return "the lines above"
    return str(path)
