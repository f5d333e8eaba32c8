"""A study in PostgreSQL, for workers on any number of hosts.

Who lives is known by a lock that each worker's connection holds and that the server takes back when
the connection ends: at once if the process died, within two minutes if the host did.
"""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any, Final

from sts.base.errors import StsError
from sts.search.address import PostgresAddress
from sts.search.database import SCHEMA, Execute, key_of, new_worker

# Both sides ask after 60 s of silence, then every 10 s, six times.
KEEPALIVE: Final = {"idle": 60, "interval": 10, "count": 6}
CONNECT_S: Final = 10
# Longer than a host that died can keep what it had locked.
WAIT_S: Final = 180
# A number that other programs are unlikely to lock in the same database.
ALL_STUDIES: Final = int.from_bytes(b"sts_srch")


class PostgresDatabase:
    """One connection; the transactions of all studies of a database follow one another."""

    def __init__(self, address: PostgresAddress) -> None:
        self.worker = new_worker()
        self.address = address.shown
        self._where = address
        self._psycopg = _psycopg()
        with self._explained():
            self._connection = self._connect()
        try:
            with self.transaction() as execute:
                for table in SCHEMA:
                    execute(table)
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Any:
        connection = self._psycopg.connect(
            **self._where.parameters(),
            autocommit=True,
            connect_timeout=CONNECT_S,
            **{f"keepalives_{name}": value for name, value in KEEPALIVE.items()},
        )
        for name, value in KEEPALIVE.items():
            connection.execute(f"SET tcp_keepalives_{name} = {value}")
        connection.execute(f"SET lock_timeout = '{WAIT_S}s'")
        connection.execute("SELECT pg_advisory_lock(%s)", (_lock_number(self.worker),))
        return connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Give a transaction that no other worker's overlaps; an error undoes it."""
        with self._explained():
            self._revive()
            with self._connection.transaction():
                self._execute("SELECT pg_advisory_xact_lock(?)", ALL_STUDIES)
                yield self._execute

    def _revive(self) -> None:
        """Connect again if the connection was lost while a fold was under way."""
        try:
            self._connection.execute("SELECT 1")
        except self._psycopg.OperationalError:
            self._connection.close()
            self._connection = self._connect()

    def _execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(sql.replace("?", "%s"), values)
        return list(cursor.fetchall()) if cursor.description else []

    def is_alive(self, worker: str) -> bool:
        """Tell whether another worker's connection still holds its lock."""
        sql = "SELECT pg_try_advisory_xact_lock(?)"
        ((was_free,),) = self._execute(sql, _lock_number(worker))
        return not was_free

    def close(self) -> None:
        """Close the connection, which gives up the lock."""
        self._connection.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the server or the driver says into what the user can do, without a password."""
        try:
            yield
        except self._psycopg.Error as error:
            told = self._where.without_password(str(error).strip().splitlines()[0])
            raise StsError(
                f"cannot use the search storage {self.address} ({told}): start the server, "
                "correct the address, or leave it out to search on this machine"
            ) from None


def _lock_number(worker: str) -> int:
    return int(key_of(worker), 16)


def _psycopg() -> Any:
    try:
        return importlib.import_module("psycopg")
    except ImportError as error:
        raise StsError(
            "a search storage in PostgreSQL needs the package psycopg: "
            "pip install 'spike-train-scalograms[postgres]'"
        ) from error
