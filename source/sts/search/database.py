"""What a study asks of its database: short transactions, one at a time, and who still lives.

The tables are the search's own, not Optuna's, whose storage lets three of four workers crash that
start at once on SQLite, takes 20 ms of computing a trial, and cannot hand over a trial as it is.
"""

import os
import secrets
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

Execute = Callable[..., list[tuple[Any, ...]]]
"""execute(sql, *values) with a question mark a value, returning the rows."""

# Numbers of double precision come back bit for bit from SQLite and from PostgreSQL.
TABLES: Final = {
    "sts_studies": "name TEXT PRIMARY KEY, terms TEXT NOT NULL",
    "sts_trials": """study TEXT NOT NULL, number INTEGER NOT NULL, settings TEXT NOT NULL,
        state TEXT NOT NULL, worker TEXT, attempts INTEGER NOT NULL,
        PRIMARY KEY (study, number)""",
    "sts_folds": """study TEXT NOT NULL, number INTEGER NOT NULL, fold INTEGER NOT NULL,
        value DOUBLE PRECISION, extras TEXT NOT NULL, duration_s DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (study, number, fold)""",
}
SCHEMA: Final = tuple(
    f"CREATE TABLE IF NOT EXISTS {name} ({columns})" for name, columns in TABLES.items()
)


class Database(Protocol):
    """A database that one worker has opened."""

    address: str
    """Where it is, in words that hold no password."""
    worker: str
    """The worker that opened it."""

    def transaction(self) -> AbstractContextManager[Execute]:
        """Give a transaction that no other worker's overlaps; an error undoes it."""

    def is_alive(self, worker: str) -> bool:
        """Tell, inside a transaction, whether another worker still has the database open."""

    def close(self) -> None:
        """End the worker."""


def new_worker() -> str:
    """Return a name nobody else has, followed by where the worker is found: host, process, job."""
    job = os.environ.get("SLURM_JOB_ID", "none")
    return f"{secrets.token_hex(7)} host {socket.gethostname()} pid {os.getpid()} job {job}"


def key_of(worker: str) -> str:
    """Return the 14 hexadecimal digits that no two workers share."""
    return worker.split(" ", 1)[0]


def whereabouts(worker: str) -> str:
    """Return where a worker is found, for people."""
    return worker.split(" ", 1)[1]
