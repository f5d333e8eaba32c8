"""The same searches on a PostgreSQL server, where there is one to start."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sts.base.errors import StsError
from sts.search.trials import FoldScore
from tests.search.worlds import calls, end_of, find, quality, refuse, start_worker

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
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server


def test_a_search_finds_the_same_as_in_memory(storage: str) -> None:
    assert find(storage, trials=14) == find(None, trials=14)
    assert find(storage, refuse, trials=14) == find(None, trials=14)


def test_workers_that_start_at_once_share_the_trials_and_those_of_a_killed_one(
    storage: str, tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    # Unpruned: by the time the trial is taken over it might have no chance any more.
    orders = {"trials": 12, "meet": 3, "pulse_s": 3, "prune": False}
    doomed = start_worker(storage, log, **orders, die_in_call=2)
    others = [start_worker(storage, log, **orders) for _ in range(2)]
    end = end_of(doomed)
    assert end[0] == -signal.SIGKILL, end
    ends = [end_of(worker) for worker in others]
    assert [code for code, _ in ends] == [0, 0], ends
    assert PASSWORD not in str(ends)
    result = find(storage, refuse, trials=12, prune=False)
    assert [trial.number for trial in result.trials] == list(range(12))
    scored = Counter((str(call["settings"]), call["fold"]) for call in calls(log))
    assert sorted(scored.values())[-2:] == [1, 2]


def test_a_worker_whose_connection_was_lost_goes_on(storage: str) -> None:
    import psycopg

    def cut_off(settings: dict[str, Any], fold: int) -> FoldScore:
        with psycopg.connect(storage, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        return quality(settings, fold)

    assert find(storage, cut_off, trials=2) == find(None, trials=2)


def test_a_wrong_password_is_told_and_no_password_shown(storage: str) -> None:
    with pytest.raises(StsError, match="password authentication failed") as caught:
        find(storage.replace(PASSWORD, "wr0ng-word"), refuse, trials=1)
    assert "wr0ng-word" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_no_password_is_stored_or_shown(
    storage: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    find(storage, trials=2)
    dump = subprocess.run(["pg_dump", storage], capture_output=True, text=True, check=False)
    told = caplog.text + "".join(capfd.readouterr()) + dump.stdout
    assert "fold 2" in told
    assert PASSWORD not in told
