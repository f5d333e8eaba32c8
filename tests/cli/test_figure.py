"""data_pipeline.py figure as a user meets it."""

from pathlib import Path

import pytest

from sts.cli.data import main
from sts.cli.run import Status
from sts.reports.publications.table import PUBLICATIONS
from tests.reports.publications.worlds import write_runs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_the_list_names_every_figure(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figure", "--list", "--root", str(root)]) == Status.DONE
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(PUBLICATIONS)


def test_a_run_is_named_from_the_workspace(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_runs(root / "output")["calcium"]
    words = ["figure", "calcium-1", "--root", str(root), "--run", str(run.relative_to(root))]
    assert main(words) == Status.DONE
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == [
        f"calcium-1.{kind}" for kind in ("pdf", "png", "csv", "txt")
    ]
    assert {path.parent for path in written} == {root / "output" / "figures"}
    assert all(path.is_file() for path in written)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no NAME of a figure given"),
        (["sts-7"], "unknown figure 'sts-7'"),
        (["sts-3"], "sts-3 is made of a run of `sts_pipeline.py N TRAIN`: name its folder"),
        (["sts-2"], "no sweeps.h5 in"),
        (["sts-3", "--run", "nowhere"], "no folder nowhere"),
    ],
)
def test_what_is_missing_is_one_line(
    words: list[str], said: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figure", *words, "--root", str(root)]) == Status.USER
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


def test_a_damaged_table_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_runs(root / "output")["sts"]
    table = run / "class-saliency.csv"
    lines = table.read_text().splitlines()
    damaged = [lines[0], *lines[2:]], [lines[0]], [lines[0].replace("class", "clas"), lines[1]]
    for text in damaged:
        table.write_text("\n".join(text))
        words = ["figure", "sts-5", "--root", str(root), "--run", str(run)]
        assert main(words) == Status.USER
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
