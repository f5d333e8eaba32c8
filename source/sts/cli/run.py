"""Run a command and turn how it ended into an exit status."""

import argparse
import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path

from sts.base.errors import StsError
from sts.base.logs import printable
from sts.cli.output import OutputLost, complain, flush_results, say


class Status(IntEnum):
    """How a command ended."""

    DONE = 0
    DEFECT = 1
    USER = 2
    PARTIAL = 3
    INTERRUPTED = 130


def parse_arguments(
    parser: argparse.ArgumentParser, words: Sequence[str] | None
) -> argparse.Namespace:
    """Return the arguments; a help text that stdout does not take ends as results do."""
    fill_standard_streams()
    # argparse says nothing where its help cannot be written.
    told = io.StringIO()
    try:
        with contextlib.redirect_stdout(told):
            return parser.parse_args(words)
    except SystemExit as ending:
        if run(lambda: _show(told.getvalue())) != Status.DONE:
            raise SystemExit(Status.USER) from None
        raise ending from None


def _show(text: str) -> int:
    if text:
        say(text.removesuffix("\n"))
    return Status.DONE


def run(command: Callable[[], int], *, root: Path | None = None, demo: bool = False) -> int:
    """Run `command`; print one line for what the user must change, log what is our own fault.

    Parameters
    ----------
    root, demo
        The workspace in use, where a traceback is kept.
    """
    fill_standard_streams()
    spare_the_other_core()
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
        complain("interrupted: the same command goes on where this one stopped")
        return Status.INTERRUPTED
    except Exception as error:  # noqa: BLE001, RUF100 - the last line of defence
        kept = _keep_traceback(root, demo=demo)
        what = printable(f"{type(error).__name__}: {error}")
        complain(f"error: a defect of this program, {what}")
        complain(f"the traceback is in {kept}; please report it")
        return Status.DEFECT
    return status


def fill_standard_streams() -> None:
    """Put nothing where a standard stream is closed: the next file opened would take its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def spare_the_other_core() -> None:
    """Let threads of torch that wait for one another sleep soon, where the user has not decided.

    By default they spin. Where another program keeps one of two cores busy, that made training ten
    times as slow; where nothing else runs, spinning less costs nothing that could be measured.
    """
    # Read once, when torch is loaded: commands import it after this.
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
