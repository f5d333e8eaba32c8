"""The log is plain lines on stderr, as many as asked for, without passwords."""

import contextlib
import logging
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sts.base import logs
from sts.base.logs import INSTALLED_COMMANDS, as_typed, program
from tests.conftest import REPOSITORY

log = logging.getLogger("sts.somewhere")


@pytest.fixture(autouse=True)
def logger() -> Iterator[None]:
    handlers, level = logs.LOGGER.handlers[:], logs.LOGGER.level
    yield
    logs.LOGGER.handlers[:], logs.LOGGER.level = handlers, level


@pytest.mark.parametrize(
    ("verbosity", "expected"),
    [
        (-1, "warning: c\nerror: d\n"),
        (0, "b\nwarning: c\nerror: d\n"),
        (2, "a\nb\nwarning: c\nerror: d\n"),
    ],
)
def test_stderr_shows_as_much_as_asked_for(
    verbosity: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(verbosity)
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    output = capsys.readouterr()
    assert output.err == expected
    assert output.out == ""


def test_setting_up_twice_does_not_tell_twice(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(0)
    logs.set_up(0)
    log.info("once")
    assert capsys.readouterr().err == "once\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://ada:secret@host:5432/db", "postgresql://ada:***@host:5432/db"),
        ("--storage=postgresql+psycopg://ada:p/a:s@host/db", None),
        ("https://example.org:80/a?b=c:d", "https://example.org:80/a?b=c:d"),
        ("12:30, mail@example.org", "12:30, mail@example.org"),
    ],
)
def test_passwords_of_addresses_are_hidden(text: str, expected: str | None) -> None:
    output = logs.redact(text)
    assert output == (expected or "--storage=postgresql+psycopg://ada:***@host/db")


def test_neither_stderr_nor_the_file_shows_a_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(0)
    handler = logs.log_file(tmp_path / "log.txt")
    logs.LOGGER.addHandler(handler)
    try:
        log.info("storage is %s", "postgresql://ada:secret@host/db")
        raise ValueError("postgresql://ada:secret@host/db")
    except ValueError:
        log.exception("it failed")
    handler.close()
    written = (tmp_path / "log.txt").read_text()
    assert "secret" not in written + capsys.readouterr().err
    assert "INFO sts.somewhere: storage is postgresql://ada:***@host/db" in written
    assert "Traceback" in written


def test_no_control_character_reaches_stderr_or_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(0)
    handler = logs.log_file(tmp_path / "log.txt")
    logs.LOGGER.addHandler(handler)
    log.info("reading %s", "a\x1b]0;title\x07\x00.nwb")
    handler.close()
    written = (tmp_path / "log.txt").read_text(), capsys.readouterr().err
    for text in written:
        assert "a\\x1b]0;title\\x07\\x00.nwb" in text
        assert "\x1b" not in text


def test_a_log_on_a_full_disk_raises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logs.log_file(Path("/dev/full"))
    handler.handle(logging.makeLogRecord({"msg": "lost"}))
    with contextlib.suppress(OSError):
        handler.close()
    assert capsys.readouterr() == ("", "")


LINE = "no model: train it with `baseline_pipeline.py TRAIN`, in data/baseline_pipeline.py or not"


def typed(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("sys.argv", [path, "--help"])


def test_every_installed_command_has_its_script() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    installed = project["project"]["scripts"]
    assert set(INSTALLED_COMMANDS.values()) == set(installed)
    for script, command in INSTALLED_COMMANDS.items():
        module = installed[command].split(":")[0]
        assert f"from {module} import main" in (REPOSITORY / "source" / script).read_text()


@pytest.mark.parametrize("path", ["sts_pipeline.py", "/some/where/sts_pipeline.py", "", "pytest"])
def test_scripts_are_called_by_their_files(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, path)
    assert program("sts_pipeline.py") == "sts_pipeline.py"
    assert as_typed(LINE) == LINE


@pytest.mark.parametrize("path", ["/venv/bin/sts-pipeline", "sts-pipeline.exe"])
def test_an_installed_command_speaks_of_installed_commands(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, path)
    assert program("sts_pipeline.py") == "sts-pipeline"
    assert as_typed(LINE) == (
        "no model: train it with `sts-baseline TRAIN`, in data/baseline_pipeline.py or not"
    )
    assert as_typed("python source/sts_pipeline.py 1 TRAIN") == "sts-pipeline 1 TRAIN"
