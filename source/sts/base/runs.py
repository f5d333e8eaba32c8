"""Run folders: an unfinished run has a name of its own and can be resumed."""

import contextlib
import importlib.metadata
import logging
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from sts.base.errors import StsError
from sts.base.files import make_folder, sweep_temporaries, try_lock, write_json, write_text
from sts.base.logs import LOGGER, log_file, redact
from sts.base.settings import digest, to_dict
from sts.base.workspace import Workspace

# End of the name of the folder of an unfinished run.
UNFINISHED: Final = ".unfinished"
# File in such a folder that its process keeps locked.
RUN_LOCK: Final = ".lock"


@dataclass(frozen=True)
class Run:
    """The folder of a run: while it runs, and when it is done."""

    path: Path
    final: Path

    @property
    def figures(self) -> Path:
        """Return the folder of figures."""
        return self.path / "figures"

    def report(self, values: Mapping[str, Any]) -> None:
        """Write the results of the run."""
        write_json(self.path / "report.json", values)


@contextlib.contextmanager
def start_run(
    workspace: Workspace, *, study: str, what: str, settings: object, resume: bool = False
) -> Iterator[Run]:
    """Give a folder to write to; when the block ends well it gets its final name and a DONE.

    With `resume` the newest unfinished run of the same settings is continued, if there is one.
    """
    base = _study_folder(workspace, study, what)
    make_folder(base)
    claimed = _claim_unfinished(base, digest(settings)) if resume else None
    path, lock = claimed or _claim_new(base, digest(settings))
    run = Run(path, path.with_name(path.name.removesuffix(UNFINISHED)))
    try:
        sweep_temporaries(path, older_than_s=0)
        make_folder(run.figures)
        write_json(path / "settings.json", to_dict(settings))
        with _keep_log(run):
            yield run
        write_text(path / "DONE", f"{_now()}\n")
        (path / RUN_LOCK).unlink(missing_ok=True)
        path.rename(run.final)
    finally:
        lock.close()


def _study_folder(workspace: Workspace, study: str, what: str) -> Path:
    # A name may be a specimen id, which comes from a file: it must not lead out of the workspace.
    return workspace.output.joinpath(
        *(re.sub(r"^\.|[^\w.+-]", "_", name) for name in (study, what))
    )


def _claim_unfinished(base: Path, key: str) -> tuple[Path, IO[bytes]] | None:
    pattern = re.compile(rf"\d{{8}}-\d{{6}}-{key}(-\d+)?{re.escape(UNFINISHED)}")
    folders = base.iterdir() if base.is_dir() else ()
    for path in sorted(folders, reverse=True):
        if pattern.fullmatch(path.name) and (lock := _lock(path)) is not None:
            return path, lock
    return None


def _claim_new(base: Path, key: str) -> tuple[Path, IO[bytes]]:
    """Make a new folder; of two processes that try the same name, only one succeeds."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{key}"
    for attempt in range(1, 1000):
        name = stem if attempt == 1 else f"{stem}-{attempt}"
        path = base / f"{name}{UNFINISHED}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        # Only now can the final name be checked: a run that has just ended freed the first name.
        if not (base / name).exists() and (lock := _lock(path)) is not None:
            return path, lock
        path.rmdir()
    raise StsError(f"no free name for a run in {base}: wait a second and run it again")


def _lock(path: Path) -> IO[bytes] | None:
    """Return a lock that ends with this process, or None while another process has it."""
    try:
        lock = (path / RUN_LOCK).open("ab")
    except FileNotFoundError:
        return None
    if try_lock(lock):
        return lock
    lock.close()
    return None


@contextlib.contextmanager
def _keep_log(run: Run) -> Iterator[None]:
    """Write the log of a run, and run.json: the command, its surroundings and how it ended."""
    record = {**_describe_environment(), "start": _now(), "end": None, "status": "running"}
    write_json(run.path / "run.json", record)
    handler = log_file(run.path / "log.txt")
    LOGGER.addHandler(handler)
    level = LOGGER.level
    LOGGER.setLevel(min(LOGGER.getEffectiveLevel(), logging.INFO))
    try:
        yield
        record["status"] = "done"
    except BaseException as error:
        record["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        handler.handle(_log_record(error))
        raise
    finally:
        LOGGER.setLevel(level)
        LOGGER.removeHandler(handler)
        handler.close()
        # On a full disk this fails too, but the user must read the first error.
        with contextlib.suppress(StsError):
            write_json(run.path / "run.json", {**record, "end": _now()})


def _log_record(error: BaseException) -> logging.LogRecord:
    """Return the last line of the log; an error of the user needs no traceback."""
    is_users = isinstance(error, StsError)
    trace = None if is_users else (type(error), error, error.__traceback__)
    text = str(error) if is_users else "ended by an exception"
    return LOGGER.makeRecord("sts", logging.ERROR, __file__, 0, text, (), trace)


def _describe_environment() -> dict[str, Any]:
    """Return what is needed to repeat a run: command, commit, versions, machine."""
    return {
        "argv": [redact(text) for text in sys.argv],
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "versions": _list_versions(),
    }


# Both are those of the code that this process has loaded: later runs of it have the same.
@cache
def _list_versions() -> dict[str, str]:
    """Return the version of every installed package, by name."""
    found = [item.metadata for item in importlib.metadata.distributions()]
    versions = {str(each["Name"]): str(each["Version"]) for each in found}
    return dict(sorted(versions.items(), key=lambda pair: pair[0].lower()))


@cache
def _commit() -> str | None:
    """Return the commit of the clone that contains this package; "-dirty" if files were changed."""
    clone = Path(__file__).resolve().parents[3]
    if not (clone / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        git = subprocess.run(
            command, cwd=clone, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return git.stdout.strip()


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
