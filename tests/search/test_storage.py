"""Storages that cannot be used end in one clear line, and no password is ever seen."""

import logging
import os
import socket
import sqlite3
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest

from sts.base.errors import StsError
from sts.search.address import ServerAddress, read_address
from tests.search.worlds import find, refuse

SECRET = "Xy7q@/:#9 z"


def failure(storage: str | Path) -> str:
    """Return the one line in which a search on `storage` ends."""
    with pytest.raises(StsError) as caught:
        find(storage, refuse, trials=1)
    assert "\n" not in str(caught.value)
    assert str(caught.value)[0].islower()
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["redis", "https", "postgrsql", "journal", "mysql+aiomysql"])
def test_an_unknown_scheme_is_named_and_the_rest_is_not(scheme: str) -> None:
    told = failure(f"{scheme}://ada:{SECRET}@host/base")
    assert f"unknown search storage {scheme!r}" in told
    assert "postgresql://" in told
    assert SECRET not in told


def test_a_postgres_address_is_taken_apart() -> None:
    address = read_address(f"postgresql://ada%40home:{quote(SECRET, safe='')}@[::1]:77/my%20base")
    assert isinstance(address, ServerAddress)
    assert address.parameters() == {
        "user": "ada@home",
        "host": "::1",
        "port": 77,
        "dbname": "my base",
        "password": SECRET,
    }
    assert SECRET not in repr(address)
    assert address.shown == "postgresql://ada@home@[::1]:77/my base"


def test_a_mysql_address_is_taken_apart() -> None:
    address = read_address(f"mysql://ada:{quote(SECRET, safe='')}@host:77/base?ssl_ca=ca.pem")
    assert isinstance(address, ServerAddress)
    assert address.parameters() == {
        "user": "ada",
        "host": "host",
        "port": 77,
        "database": "base",
        "password": SECRET,
        "ssl_ca": "ca.pem",
    }
    assert SECRET not in repr(address)
    assert address.shown == "mysql://ada@host:77/base"


def test_what_an_address_does_not_say_is_left_to_libpq() -> None:
    address = read_address("postgres:///base?host=/run/postgresql&sslmode=require")
    assert isinstance(address, ServerAddress)
    assert address.parameters() == {
        "dbname": "base",
        "host": "/run/postgresql",
        "sslmode": "require",
    }


@pytest.mark.parametrize(
    "secret", ["pa@ss", "pa/ss", "12/34", "pa:ss", "pa#ss", "pa?ss", "p[a", "x"]
)
@pytest.mark.parametrize(
    "form",
    [
        "postgresql://ada:{}@ho@st/base",
        "postgresql://ada:{}@host:port/base",
        "mysql://ada:{}@host:port/base",
        "mysql:ada:{}@host/base",
        "postgresql:ada:{}@host/base",
        "postgresql:/ada:{}@host/base",
        "//ada:{}@host/base",
        "://ada:{}@host/base",
        "host=localhost user=ada password={}",
        "host=localhost user=ada password = '{}'",
        "postgresql://host/base?password={}",
        "sqlite://ada:{}@host",
        "sqlite:{}",
    ],
)
def test_a_password_in_a_broken_address_is_neither_shown_nor_made_a_file(
    form: str, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = failure(form.format(secret))
    # "x" stands in many words; it only checks that an honest password breaks nothing.
    assert secret not in told or secret == "x"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize("secret", ["pa@ss", "pa/ss", "12/34", "pa#ss", "pa?ss", "12?34", "1#2"])
def test_a_password_that_is_not_encoded_is_refused_before_it_ends_up_elsewhere(
    secret: str, scheme: str
) -> None:
    with pytest.raises(StsError, match="not shown since it may contain a password"):
        read_address(f"{scheme}://ada:{secret}@host/base")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(("scheme", "driver"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_a_server_that_is_not_there_is_told_without_the_password(
    scheme: str,
    driver: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip(driver)
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    port = closed_port()
    written = quote(SECRET, safe="")
    with pytest.raises(StsError, match=f"ada@127.0.0.1:{port}/base .*refused") as caught:
        find(f"{scheme}://ada:{written}@127.0.0.1:{port}/base", refuse, trials=1)
    error = caught.value
    everything = "".join(
        (
            *traceback.format_exception(error),
            repr(error.__context__),
            caplog.text,
            *capfd.readouterr(),
        )
    )
    assert SECRET not in everything
    assert written not in everything
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("scheme", "driver", "extra"),
    [("postgresql", "psycopg", "postgres"), ("mysql", "pymysql", "mysql")],
)
def test_without_the_driver_the_extra_is_named(
    scheme: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    told = failure(f"{scheme}://ada@host/base")
    assert f"needs the package {driver}" in told
    assert f"pip install 'spike-train-scalograms[{extra}]'" in told


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database\n" * 100)
    assert "no SQLite database, or damaged" in failure(path)
    assert path.read_text().startswith("not a database")


@pytest.mark.parametrize("name", ["folder", ".", ".."])
def test_a_folder_is_no_database(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert f"{name} is a folder: name a file in it" in failure(name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_place_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in failure(tmp_path / "file" / "a.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "writing is not permitted" in failure(tmp_path / "a.db")


def test_a_file_that_another_program_keeps_locked_is_told_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(tmp_path / "a.db", trials=1)
    monkeypatch.setattr("sts.search.storage.WAIT_S", 0.1)
    holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert "end the process that uses it" in failure(tmp_path / "a.db")
    holder.close()


def test_a_full_disk_is_told_and_what_was_finished_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sts.search import storage

    find(tmp_path / "a.db", trials=1)
    connect = storage._connect

    def connect_to_little(path: str) -> sqlite3.Connection:
        connection = connect(path)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_connect", connect_to_little)
        with pytest.raises(StsError, match="free some space"):
            find(tmp_path / "a.db", trials=400)
    assert find(tmp_path / "a.db", trials=40).trials == find(None, trials=40).trials
