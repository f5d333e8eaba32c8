"""Messages and usage lines name the command that was typed."""

import tomllib

import pytest

from sts.base.commands import COMMANDS, as_typed, program
from tests.conftest import REPOSITORY

LINE = "no model: train it with `baseline_pipeline.py TRAIN`, in data/baseline_pipeline.py or not"


def typed(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("sys.argv", [path, "--help"])


def test_every_installed_command_has_its_script() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    installed = project["project"]["scripts"]
    assert set(COMMANDS.values()) == set(installed)
    for script, command in COMMANDS.items():
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
