"""A study in an SQLite file, for the processes of one host, or in memory for one process.

The file keeps a write-ahead log: a commit then waits for no disk (with 10 ms a flush it would take
0.17 s a trial), a killed process loses nothing, and a power cut at most the last folds. Such a log
needs memory that all workers share, hence one host. Who lives is known by locks that the kernel
takes from the dead, however they died.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from sts.base.errors import StsError
from sts.base.files import make_folder
from sts.base.locks import try_lock
from sts.search.database import SCHEMA, Execute, key_of, new_worker

WAIT_S: Final = 60.0
POLL_S: Final = 0.01
CREATION: Final = "creation"


class SqliteDatabase:
    """An SQLite file and, beside it, a folder of locks; no path: a database in memory."""

    def __init__(self, path: Path | None) -> None:
        self.worker = new_worker()
        self.address = "memory" if path is None else str(path)
        self._locks: Path | None = None
        self._presence: IO[str] | None = None
        with _explained(self.address):
            self._connection = _connect(":memory:") if path is None else self._join(path)

    def _join(self, path: Path) -> sqlite3.Connection:
        """Open the file, made if it is not there, and let others see that this worker lives."""
        if path.is_dir():
            raise StsError(f"the search storage {path} is a folder: name a file in it")
        self._locks = path.with_name(f"{path.name}.locks")
        make_folder(self._locks)
        # SQLite itself does not let several processes make one file at the same moment.
        with _locked(self._locks / CREATION):
            _remove_the_dead(self._locks)
            # Absolute: a bare ":memory:" would be no file.
            connection = _connect(str(path.absolute()))
            self._presence = (self._locks / key_of(self.worker)).open("w")
            try_lock(self._presence)
        return connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Give a transaction that no other worker's overlaps; an error undoes it."""
        with _explained(self.address), self._connection:
            # At once, not at the first change: what was read must not be out of date by then.
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._execute

    def _execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def is_alive(self, worker: str) -> bool:
        """Tell whether another worker of this host still has the file open."""
        if self._locks is None:
            return False
        try:
            # Some network file systems lock only what may be written to.
            with (self._locks / key_of(worker)).open("r+") as file:
                return not try_lock(file)
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._connection.close()
        if self._presence is not None:
            Path(self._presence.name).unlink(missing_ok=True)
            self._presence.close()


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        for table in SCHEMA:
            connection.execute(table)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for the lock on a file and hold it."""
    with path.open("a") as file:
        deadline = time.monotonic() + WAIT_S
        while not try_lock(file):
            if time.monotonic() > deadline:
                raise StsError(f"{path} has been locked for {WAIT_S:.0f} s: end who holds it")
            time.sleep(POLL_S)
        yield


def _remove_the_dead(locks: Path) -> None:
    for path in locks.iterdir():
        if path.name != CREATION:
            with contextlib.suppress(OSError), path.open("r+") as file:
                if try_lock(file):
                    path.unlink()


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what SQLite says into what the user can do."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        # A fault of ours, of which the user must not be told to choose another file.
        raise
    except sqlite3.Error as error:
        told = str(error)
        advice = next((text for part, text in ADVICE.items() if part in told), "choose another one")
        raise StsError(f"cannot use the search storage {address} ({told}): {advice}") from error
    except OSError as error:
        told = (error.strerror or str(error)).lower()
        raise StsError(
            f"cannot use the search storage {address} ({told}): choose another place"
        ) from error


ADVICE: Final = {
    "not a database": "the file is no SQLite database, or damaged; move it or name another one",
    "malformed": "the file is damaged; move it and search again",
    "unable to open": "name a file in a folder that you may write to",
    "readonly": "name a file that you may write to",
    "full": "free some space and run it again",
    "locked": "end the process that holds it, or use postgresql:// for several hosts",
}
