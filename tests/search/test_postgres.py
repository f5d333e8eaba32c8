"""The same searches on a PostgreSQL server, where there is one to start."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.search.address import PostgresAddress, read_address
from sts.search.database import TABLES
from sts.search.postgres import PostgresDatabase
from sts.search.study import Study
from sts.search.trials import FoldScore, TrialRecord
from tests.search.worlds import calls, end_of, find, refuse, start_worker

PASSWORD = "s3cr3t-word"


def as_server(*command: str) -> None:
    """Run a program of the server, which refuses to be run by root."""
    demoted = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
    prefix = demoted if os.geteuid() == 0 else ()
    subprocess.run((*prefix, *command), check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Give the address of a server of our own on the loopback, that asks for a password."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra `postgres`)")
    if missing := [name for name in ("initdb", "pg_ctl") if shutil.which(name) is None]:
        pytest.skip(f"no PostgreSQL server here: {', '.join(missing)} not found")
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("PostgreSQL refuses to run as root, and setpriv is not found")
    with tempfile.TemporaryDirectory(prefix="sts-postgres-") as name:
        folder, data = Path(name), f"{name}/data"
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            try:
                shutil.chown(folder, "postgres")
                shutil.chown(folder / "password", "postgres")
            except LookupError:
                pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = f"-p {port} -k {name} -h 127.0.0.1 -F"
        given = (f"--pwfile={folder / 'password'}", "--auth=scram-sha-256", "--no-sync")
        as_server("initdb", "-D", data, "-U", "ada", *given)
        as_server("pg_ctl", "-D", data, "-l", f"{name}/log", "-o", options, "-w", "start")
        yield f"postgresql://ada:{PASSWORD}@127.0.0.1:{port}/postgres"
        as_server("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        assert PASSWORD not in (folder / "log").read_text()


@pytest.fixture
def storage(server: str) -> str:
    """Give the address of an empty database."""
    with contextlib.closing(database_at(server)) as database, database.transaction() as execute:
        for table in TABLES:
            execute(f"DELETE FROM {table}")
    return server


def database_at(storage: str) -> PostgresDatabase:
    address = read_address(storage)
    assert isinstance(address, PostgresAddress)
    return PostgresDatabase(address)


def count_up(trials: Sequence[TrialRecord], number: int) -> dict[str, int]:
    return {"x": number}


def test_a_search_finds_the_same_as_in_memory(storage: str) -> None:
    assert find(storage, trials=14) == find(None, trials=14)
    assert find(storage, refuse, trials=14) == find(None, trials=14)


def test_workers_that_start_at_once_share_the_trials_and_those_of_a_killed_one(
    storage: str, tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    doomed = start_worker(storage, log, trials=12, meet=3, die_in_call=2)
    others = [start_worker(storage, log, trials=12, meet=3) for _ in range(2)]
    assert end_of(doomed)[0] == -signal.SIGKILL
    ends = [end_of(worker) for worker in others]
    assert [code for code, _ in ends] == [0, 0], ends
    assert PASSWORD not in str(ends)
    result = find(storage, refuse, trials=12)
    assert [trial.number for trial in result.trials] == list(range(12))
    scored = Counter((str(call["settings"]), call["fold"]) for call in calls(log))
    assert sorted(scored.values())[-2:] == [1, 2]


def test_a_worker_whose_connection_was_lost_goes_on(storage: str) -> None:
    with contextlib.closing(database_at(storage)) as other:
        with contextlib.closing(database_at(storage)) as database:
            study = Study(database, "study", {})
            assert study.next_turn(1, count_up).trial is not None
            with other.transaction() as execute:
                assert other.is_alive(database.worker)
                execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
            assert study.keep(0, 0, FoldScore(0.5), duration_s=1.0)
            with other.transaction():
                assert other.is_alive(database.worker)
        with other.transaction():
            assert not other.is_alive(database.worker)


def test_a_wrong_password_is_told_and_no_password_shown(storage: str) -> None:
    with pytest.raises(StsError, match="password authentication failed") as caught:
        find(storage.replace(PASSWORD, "wr0ng-word"), refuse, trials=1)
    assert "wr0ng-word" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
