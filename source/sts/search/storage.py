"""Where the trials of a search are kept: Optuna's own storages, opened and shared without harm.

In memory for one process; in an SQLite file for the processes of one host; in PostgreSQL or MySQL
for those of several. Optuna's storage alone would let three of four workers crash that start at
once on a new SQLite file, and let two workers take one trial; so one worker at a time opens a
storage and takes a trial.
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
"""What to do with a trial whose heart has stopped."""

# Long enough that work which lets no other thread run (a large read) is not taken for death.
HEARTBEAT_S: Final = 60
GRACE_S: Final = 180
WAIT_S: Final = 60
CONNECT_S: Final = 10
# Longer than a server takes to find out that a host has died which held its lock.
TURN_S: Final = 180
OPENING: Final = "opening"


class SearchStorage:
    """What one worker sees of a storage; this one is in memory, where there is no other worker."""

    shown: str = "memory"
    """Where it is, in words that hold no password."""

    def __init__(self) -> None:
        self.worker = new_worker()
        self.optuna: BaseStorage = InMemoryStorage()

    def alone(self) -> contextlib.AbstractContextManager[Any]:
        """Return a context that one worker at a time is in."""
        return contextlib.nullcontext()

    def is_gone(self, worker: str) -> bool:
        """Tell whether it is certain that another worker has ended."""
        return True

    def close(self) -> None:
        """End the worker."""

    def explain(self, reason: str, kind: str) -> StsError | None:
        """Return what the user can do about a failure; None if it is a fault of ours."""
        return None


def new_worker() -> str:
    """Return a name nobody else has, followed by where the worker is found: host, process, job."""
    job = os.environ.get("SLURM_JOB_ID", "none")
    return f"{secrets.token_hex(7)} host {socket.gethostname()} pid {os.getpid()} job {job}"


def whereabouts(worker: str) -> str:
    """Return where a worker is found, for people."""
    return worker.partition(" ")[2]


@contextlib.contextmanager
def open_storage(storage: str | Path | None, on_stale: OnStale) -> Iterator[SearchStorage]:
    """Open what `storage` names; what a database says turns into what the user can do."""
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
        told = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        explained = opened.explain(told, type(cause).__name__)
        if explained is None:
            raise
        raise explained from None


def _driver_error(error: BaseException) -> BaseException:
    """Return what the driver said, which SQLAlchemy and Optuna have wrapped."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    found = getattr(error, "orig", None)
    return found if isinstance(found, BaseException) else error


def _relational(url: str, engine: dict[str, Any], on_stale: OnStale) -> RDBStorage:
    with warnings.catch_warnings():
        # Optuna calls its heartbeat experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(
            url,
            engine,
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
            heartbeat_stale_trial_callback=on_stale,
        )


class SqliteStorage(SearchStorage):
    """An SQLite file and, beside it, a folder of locks.

    The file keeps a write-ahead log: a commit then waits for no disk, a killed process loses
    nothing, and a power cut at most the last folds. Such a log needs memory that all workers share,
    hence one host and no network file system. Who lives is known at once, by locks that the kernel
    takes from the dead, however they died; the heartbeat is for file systems without locks.
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
        """Open the file, made if it is not there, and let others see that this worker lives."""
        try:
            make_folder(self._locks)
            with self.alone():
                self._remove_locks_of_the_dead()
                # Absolute: a bare ":memory:" would be no file.
                path = str(self._path.absolute())
                engine = {"creator": lambda: _connect(path), "poolclass": QueuePool}
                self.optuna = storage = _relational("sqlite://", engine, on_stale)
                self._presence.acquire()
        except OSError as error:
            told = (error.strerror or str(error)).lower()
            raise StsError(
                f"cannot use the search storage {self.shown} ({told}): choose another place"
            ) from error
        # At once, not at the first change: what was read must not be out of date by then.
        sqlalchemy.event.listen(
            storage.engine, "begin", lambda each: each.exec_driver_sql("BEGIN IMMEDIATE")
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Give a context that one worker at a time is in."""
        try:
            self._opening.acquire(timeout=WAIT_S)
        except filelock.Timeout:
            raise StsError(
                f"{self._opening.lock_file} has been locked for {WAIT_S} s: end who holds it"
            ) from None
        try:
            yield
        finally:
            self._opening.release()

    def is_gone(self, worker: str) -> bool:
        """Tell whether no worker of this name has the file open."""
        return worker != self.worker and _is_free(self._locks / worker_key(worker))

    def _remove_locks_of_the_dead(self) -> None:
        for path in self._locks.iterdir():
            if path.name != OPENING and _is_free(path):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file and give up the lock."""
        if isinstance(self.optuna, RDBStorage):
            self.optuna.remove_session()
            self.optuna.engine.dispose()
        if self._presence.is_locked:
            Path(self._presence.lock_file).unlink(missing_ok=True)
            self._presence.release()

    def explain(self, reason: str, kind: str) -> StsError | None:
        """Return what the user can do about a failure; None if it is a fault of ours."""
        if kind in ("ProgrammingError", "IntegrityError"):
            return None
        advice = next((text for part, text in ADVICE.items() if part in reason), "choose another")
        return StsError(f"cannot use the search storage {self.shown} ({reason}): {advice}")


ADVICE: Final = {
    "not a database": "the file is no SQLite database, or damaged; move it or name another one",
    "malformed": "the file is damaged; move it and search again",
    "unable to open": "name a file in a folder that you may write to",
    "readonly": "name a file that you may write to",
    "full": "free some space and run it again",
    "locked": "end the process that holds it, or use postgresql:// for several hosts",
}


def worker_key(worker: str) -> str:
    """Return the 14 hexadecimal digits that no two workers share."""
    return worker.partition(" ")[0]


def _is_free(path: Path) -> bool:
    """Tell whether nobody holds a lock."""
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
    """A database on a server; who lives is known by Optuna's heartbeat."""

    def __init__(self, address: ServerAddress) -> None:
        super().__init__()
        self.shown = address.shown
        self._address = address
        self._keywords = {**address.parameters(), "connect_timeout": CONNECT_S}
        if address.kind is not MYSQL:
            self._keywords |= KEEPALIVE
        self._turns: sqlalchemy.Engine | None = None

    def open(self, on_stale: OnStale) -> None:
        """Connect, and make the tables if they are not there."""
        # The address that others may show holds nothing; the driver gets the password by itself.
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
        """Give a context that one worker of this database at a time is in.

        The server ends it when the connection ends, also that of a worker that died.
        """
        if self._turns is None:
            raise ValueError("open the storage first")
        with self._turns.connect() as connection:
            if self._address.kind is MYSQL:
                got = connection.exec_driver_sql(f"SELECT GET_LOCK('{LOCK}', {TURN_S})").scalar()
                if got != 1:
                    raise StsError(
                        f"another worker has kept {self.shown} for {TURN_S} s: end that worker"
                    )
            else:
                for name, value in KEEPALIVE.items():
                    connection.exec_driver_sql(f"SET tcp_{name} = {value}")
                connection.exec_driver_sql(f"SET lock_timeout = '{TURN_S}s'")
                number = zlib.crc32(LOCK.encode())
                connection.exec_driver_sql(f"SELECT pg_advisory_lock({number})")
            yield

    def is_gone(self, worker: str) -> bool:
        """Tell that nothing is certain before the heartbeat has stopped for long enough."""
        return False

    def close(self) -> None:
        """Close all connections."""
        if isinstance(self.optuna, RDBStorage):
            self.optuna.remove_session()
            self.optuna.engine.dispose()

    def explain(self, reason: str, kind: str) -> StsError | None:
        """Return what the user can do about a failure."""
        return StsError(
            f"cannot use the search storage {self.shown} "
            f"({self._address.without_password(reason)}): start the server, correct the address, "
            "or leave it out to search on this machine"
        )


# The driver asks after 60 s of silence, then every 10 s, six times.
KEEPALIVE: Final = {"keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}
# What the workers of a database wait for; other programs are unlikely to lock the same.
LOCK: Final = "spike-train-scalograms search"
