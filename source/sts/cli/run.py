"""Run a command and turn how it ended into an exit status."""

import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from sts.base.errors import StsError
from sts.cli.output import complain


class Status(IntEnum):
    """How a command ended."""

    DONE = 0
    DEFECT = 1
    USER = 2
    PARTIAL = 3
    INTERRUPTED = 130


def run(command: Callable[[], int]) -> int:
    """Run `command`; print one line for what the user must change, log what is our own fault."""
    spare_the_other_core()
    try:
        status = command()
        # A reader that went away shows itself when the last lines are pushed out.
        sys.stdout.flush()
    except StsError as error:
        complain(f"error: {error}")
        return Status.USER
    except KeyboardInterrupt:
        complain("interrupted: the same command goes on where this one stopped")
        return Status.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has heard enough; stdout must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Status.DONE
    except Exception as error:  # noqa: BLE001, RUF100 - the last line of defence
        complain(f"error: a defect of this program, {type(error).__name__}: {error}")
        complain(f"the traceback is in {_keep_traceback()}; please report it")
        return Status.DEFECT
    return status


def spare_the_other_core() -> None:
    """Let threads of torch that wait for one another sleep soon, where the user has not decided.

    By default they spin. Where another program keeps one of two cores busy, that made training ten
    times as slow; where nothing else runs, spinning less costs nothing that could be measured.
    """
    # Read once, when torch is loaded: commands import it after this.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _keep_traceback() -> str:
    from sts.base.workspace import find_workspace

    text = traceback.format_exc()
    try:
        folder = find_workspace(None).output
        folder.mkdir(parents=True, exist_ok=True)
        path = Path(folder, "errors.txt")
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{' '.join(sys.argv)}\n{text}\n")
    except (OSError, StsError):
        complain(text)
        return "the lines above"
    return str(path)
