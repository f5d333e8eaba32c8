"""Run folders: one a run, unfinished and resumable under one name, whole under the final one."""

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
from pathlib import Path
from typing import IO, Any, Final

from sts.base.errors import StsError
from sts.base.files import make_folder, sweep_temporaries, write_json, write_text
from sts.base.locks import try_lock
from sts.base.logs import LOGGER, log_file, redact
from sts.base.settings import digest, to_dict
from sts.base.workspace import Workspace

UNFINISHED: Final = ".unfinished"
LOCK: Final = ".lock"


@dataclass(frozen=True)
class Run:
    """Name the folder a run writes to, and the one it will be found in."""

    path: Path
    final: Path
    resumed: bool

    @property
    def figures(self) -> Path:
        """Return the folder of figures."""
        return self.path / "figures"

    def report(self, values: Mapping[str, Any]) -> None:
        """Write what the run found."""
        write_json(self.path / "report.json", values)


@contextlib.contextmanager
def start_run(
    workspace: Workspace, *, study: str, what: str, settings: object, resume: bool = False
) -> Iterator[Run]:
    """Give a folder to write to; it gets its final name and its DONE when the block has ended well.

    With `resume` the newest unfinished run of the same settings is continued, if there is one.
    """
    base = _base(workspace, study, what)
    make_folder(base)
    claimed = _claim_unfinished(base, digest(settings)) if resume else None
    path, lock = claimed or _claim_new(base, digest(settings))
    run = Run(path, path.with_name(path.name.removesuffix(UNFINISHED)), resumed=claimed is not None)
    try:
        sweep_temporaries(path, older_than_s=0)
        make_folder(run.figures)
        write_json(path / "settings.json", to_dict(settings))
        with _logged(run):
            yield run
        _finish(run)
    finally:
        lock.close()


def unfinished_run(workspace: Workspace, *, study: str, what: str, settings: object) -> Path | None:
    """Return the newest folder of these settings that no process works on and that is not done."""
    claimed = _claim_unfinished(_base(workspace, study, what), digest(settings))
    if claimed is None:
        return None
    path, lock = claimed
    lock.close()
    return path


def _base(workspace: Workspace, study: str, what: str) -> Path:
    # A name may be a specimen id, which is text from outside: it must not lead out of the folder.
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
    """Make a folder that is nobody else's; making one is what two processes cannot both do."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{key}"
    for attempt in range(1, 1000):
        name = stem if attempt == 1 else f"{stem}-{attempt}"
        path = base / f"{name}{UNFINISHED}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        # Looked at only now: a run that ended meanwhile has freed the first name and taken this.
        if not (base / name).exists() and (lock := _lock(path)) is not None:
            return path, lock
        path.rmdir()
    raise StsError(f"no free name for a run in {base}: wait a second and run it again")


def _lock(path: Path) -> IO[bytes] | None:
    """Return a lock that ends with this process, or None while another one holds it."""
    try:
        lock = (path / LOCK).open("ab")
    except FileNotFoundError:
        return None
    if try_lock(lock):
        return lock
    lock.close()
    return None


@contextlib.contextmanager
def _logged(run: Run) -> Iterator[None]:
    """Collect the log and write how the run was called and how it ended."""
    record = {**_circumstances(), "start": _now(), "end": None, "status": "running"}
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
        handler.handle(_last_words(error))
        raise
    finally:
        LOGGER.setLevel(level)
        LOGGER.removeHandler(handler)
        handler.close()
        # On a full disk this fails too; what came first is what the user must read.
        with contextlib.suppress(StsError):
            write_json(run.path / "run.json", {**record, "end": _now()})


def _last_words(error: BaseException) -> logging.LogRecord:
    told = isinstance(error, StsError)
    trace = None if told else (type(error), error, error.__traceback__)
    text = str(error) if told else "ended by an exception"
    return LOGGER.makeRecord("sts", logging.ERROR, __file__, 0, text, (), trace)


def _circumstances() -> dict[str, Any]:
    """Return what is needed to run it again: command, commit, versions, machine."""
    found = {item.metadata["Name"]: item.version for item in importlib.metadata.distributions()}
    return {
        "argv": [redact(text) for text in sys.argv],
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "versions": dict(sorted(found.items(), key=lambda pair: str(pair[0]).lower())),
    }


def _commit() -> str | None:
    """Return the commit of the clone this package stands in, marked when files differ from it."""
    clone = Path(__file__).resolve().parents[3]
    if not (clone / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        told = subprocess.run(
            command, cwd=clone, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()


def _finish(run: Run) -> None:
    write_text(run.path / "DONE", f"{_now()}\n")
    (run.path / LOCK).unlink(missing_ok=True)
    run.path.rename(run.final)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
