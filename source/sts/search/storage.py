"""The storage of the trials of a search: Optuna's own storages, shared safely by workers.

In memory for one process; in an SQLite file for the processes of one host; in PostgreSQL or MySQL
for those of several hosts. With Optuna's storage alone, three of four workers crash if they start
together on a new SQLite file, and two workers may take the same trial. Therefore only one worker at
a time opens a storage or takes a trial.
"""

import contextlib
import os
import secrets
import socket
import sqlite3
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import filelock
import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from sts.base.errors import StsError
from sts.base.files import make_folder
from sts.search.address import MYSQL, ServerAddress, read_address

OnStale = Callable[[optuna.Study, FrozenTrial], None]
"""Called with a trial whose heartbeat has stopped."""

# Heartbeats: so long that a busy worker (a large read in one thread) is not treated as dead.
HEARTBEAT_S: Final = 60
HEARTBEAT_GRACE_S: Final = 180
# Longest wait for another worker, and for a server.
WAIT_S: Final = 60
CONNECT_S: Final = 10
# Longest wait for the lock of a server: longer than it takes to notice that a host has died.
TURN_S: Final = 180
# Name of the lock that one worker at a time has.
OPENING: Final = "opening"
# Silence after which a driver asks the server: after 60 s, then every 10 s, six times.
KEEPALIVE: Final = {"keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}
# Name of the lock that the workers of a database wait for; unlikely in other programs.
SERVER_LOCK: Final = "spike-train-scalograms search"
# Advice to the user, by a part of SQLite's message.
SQLITE_ADVICE: Final = {
    "not a database": "the file is no SQLite database, or damaged; move it or name another one",
    "malformed": "the file is damaged; move it and search again",
    "unable to open": "name a file in a folder that you may write to",
    "readonly": "name a file that you may write to",
    "full": "free some space and run it again",
    "locked": "end the process that uses it, or use postgresql:// for several hosts",
}


class SearchStorage:
    """The storage of one worker; this one is in memory, without other workers."""

    shown: str = "memory"
    """The place as text, without a password."""

    def __init__(self) -> None:
        job = os.environ.get("SLURM_JOB_ID", "none")
        host = f"host {socket.gethostname()} pid {os.getpid()} job {job}"
        # The name of the worker: 14 random hexadecimal digits, and its host, process and job.
        self.worker = f"{secrets.token_hex(7)} {host}"
        self.optuna: BaseStorage = InMemoryStorage()

    def alone(self) -> contextlib.AbstractContextManager[Any]:
        """Return a context that only one worker at a time can enter."""
        return contextlib.nullcontext()

    def is_gone(self, worker: str) -> bool:
        """Tell whether another worker has certainly ended."""
        return True

    def close(self) -> None:
        """Close all connections."""
        if isinstance(self.optuna, RDBStorage):
            self.optuna.remove_session()
            self.optuna.engine.dispose()

    def explain(self, reason: str, kind: str) -> StsError | None:
        """Return an error with advice for the user; None if the failure is a defect of ours."""
        return None


def whereabouts(worker: str) -> str:
    """Return where a worker runs: host, process and job."""
    return worker.partition(" ")[2]


@contextlib.contextmanager
def open_storage(storage: str | Path | None, on_stale: OnStale) -> Iterator[SearchStorage]:
    """Open a storage; errors of the database become advice for the user."""
    address = read_address(storage)
    if address is None:
        yield SearchStorage()
        return
    opened: SqliteStorage | ServerStorage = (
        ServerStorage(address) if isinstance(address, ServerAddress) else SqliteStorage(address)
    )
    try:
        with contextlib.closing(opened):
            opened.open(on_stale)
            yield opened
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = _driver_error(error)
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        explained = opened.explain(reason, type(cause).__name__)
        if explained is None:
            raise
        raise explained from None


def _driver_error(error: BaseException) -> BaseException:
    """Return the error of the driver, which SQLAlchemy and Optuna have wrapped."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error


def _relational(url: str, engine: dict[str, Any], on_stale: OnStale) -> RDBStorage:
    with warnings.catch_warnings():
        # Optuna calls its heartbeat experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(
            url,
            engine,
            heartbeat_interval=HEARTBEAT_S,
            grace_period=HEARTBEAT_GRACE_S,
            heartbeat_stale_trial_callback=on_stale,
        )


class SqliteStorage(SearchStorage):
    """An SQLite file and a folder of locks next to it.

    The file has a write-ahead log: a commit does not wait for the disk, a killed process loses
    nothing, and a power cut loses at most the last folds. Such a log needs memory that all workers
    share, hence one host and no network file system. Each worker holds a lock, which the kernel
    releases however the worker ends, so that dead workers are known at once. The heartbeat is for
    file systems without locks.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if path.is_dir():
            raise StsError(f"the search storage {path} is a folder: name a file in it")
        self.shown = str(path)
        self._path = path
        self._locks = path.with_name(f"{path.name}.locks")
        self._presence = filelock.FileLock(self._locks / worker_key(self.worker))
        self._opening = filelock.FileLock(self._locks / OPENING)

    def open(self, on_stale: OnStale) -> None:
        """Open the file, or create it, and take the lock that shows that this worker lives."""
        try:
            make_folder(self._locks)
            with self.alone():
                for lock in self._locks.iterdir():
                    if lock.name != OPENING and _is_free(lock):
                        lock.unlink(missing_ok=True)
                # Absolute: ":memory:" alone would not be a file.
                path = str(self._path.absolute())
                engine = {"creator": lambda: _connect(path), "poolclass": QueuePool}
                self.optuna = storage = _relational("sqlite://", engine, on_stale)
                self._presence.acquire()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StsError(
                f"cannot use the search storage {self.shown} ({reason}): choose another place"
            ) from error
        # From the first read on: its result must still be true at the first change.
        sqlalchemy.event.listen(
            storage.engine, "begin", lambda each: each.exec_driver_sql("BEGIN IMMEDIATE")
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Give a context that only one worker at a time can enter."""
        try:
            self._opening.acquire(timeout=WAIT_S)
        except filelock.Timeout:
            raise StsError(
                f"{self._opening.lock_file} has been locked for {WAIT_S} s: end the process that "
                "uses it"
            ) from None
        try:
            yield
        finally:
            self._opening.release()

    def is_gone(self, worker: str) -> bool:
        """Tell whether no worker with this name has the file open."""
        return worker != self.worker and _is_free(self._locks / worker_key(worker))

    def close(self) -> None:
        """Close the file and release the lock."""
        super().close()
        if self._presence.is_locked:
            Path(self._presence.lock_file).unlink(missing_ok=True)
            self._presence.release()

    def explain(self, reason: str, kind: str) -> StsError | None:
        """Return an error with advice for the user; None if the failure is a defect of ours."""
        if kind in ("ProgrammingError", "IntegrityError"):
            return None
        advice = next(
            (text for part, text in SQLITE_ADVICE.items() if part in reason), "choose another"
        )
        return StsError(f"cannot use the search storage {self.shown} ({reason}): {advice}")


def worker_key(worker: str) -> str:
    """Return the digits of a worker's name, which no other worker has."""
    return worker.partition(" ")[0]


def _is_free(path: Path) -> bool:
    """Tell whether no process holds a lock."""
    if not path.exists():
        return True
    try:
        with filelock.FileLock(path, timeout=0):
            return True
    except filelock.Timeout:
        return False


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=WAIT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


class ServerStorage(SearchStorage):
    """A database on a server; dead workers are known by Optuna's heartbeat."""

    def __init__(self, address: ServerAddress) -> None:
        super().__init__()
        self.shown = address.shown
        self._address = address
        self._keywords = {**address.parameters(), "connect_timeout": CONNECT_S}
        if address.kind is not MYSQL:
            self._keywords |= KEEPALIVE
        self._turns: sqlalchemy.Engine | None = None

    def open(self, on_stale: OnStale) -> None:
        """Connect, and create the tables if they are missing."""
        # The URL, which errors may show, is empty; the driver gets the password in its keywords.
        url, keywords = f"{self._address.kind.dialect}://", {"connect_args": self._keywords}
        try:
            self._turns = sqlalchemy.create_engine(url, poolclass=NullPool, **keywords)
        except ImportError as error:
            kind = self._address.kind
            raise StsError(
                f"a search storage in {kind.name} needs the package "
                f"{kind.dialect.partition('+')[2]}: "
                f"pip install 'spike-train-scalograms[{kind.extra}]'"
            ) from error
        with self.alone():
            self.optuna = _relational(url, {"pool_pre_ping": True, **keywords}, on_stale)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Give a context that only one worker of this database at a time can enter.

        The server releases its lock when the connection ends, also that of a dead worker.
        """
        if self._turns is None:
            raise ValueError("open the storage first")
        with self._turns.connect() as connection:
            if self._address.kind is MYSQL:
                got = connection.exec_driver_sql(
                    f"SELECT GET_LOCK('{SERVER_LOCK}', {TURN_S})"
                ).scalar()
                if got != 1:
                    raise StsError(
                        f"another worker has kept {self.shown} for {TURN_S} s: end that worker"
                    )
            else:
                for name, value in KEEPALIVE.items():
                    connection.exec_driver_sql(f"SET tcp_{name} = {value}")
                connection.exec_driver_sql(f"SET lock_timeout = '{TURN_S}s'")
                number = zlib.crc32(SERVER_LOCK.encode())
                connection.exec_driver_sql(f"SELECT pg_advisory_lock({number})")
            yield

    def is_gone(self, worker: str) -> bool:
        """Return False: only a heartbeat that is missed for long enough is certain."""
        return False

    def explain(self, reason: str, kind: str) -> StsError | None:
        """Return an error with advice for the user."""
        return StsError(
            f"cannot use the search storage {self.shown} "
            f"({self._address.without_password(reason)}): start the server, correct the address, "
            "or leave it out to search on this machine"
        )
