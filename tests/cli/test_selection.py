"""The flags that messages name work wherever recordings are read."""

import csv
from pathlib import Path

import pytest

from sts.cli import data
from sts.cli.baseline import make_baseline_parser
from sts.cli.data import make_data_parser
from sts.cli.run import Status
from sts.cli.selection import SELECTION, reading_of
from sts.cli.sts import make_sts_parser
from sts.datasets.outcomes import BuildSettings
from sts.signals.quality import QUALITY
from tests.studies.cells import write_cell

# Which command takes them, and how it is called.
READERS = {
    "build": (make_data_parser, ["build", "x"]),
    "features": (make_data_parser, ["features", "x"]),
    "show": (make_data_parser, ["show", "x"]),
    "PREDICT of networks": (make_sts_parser, ["1", "PREDICT"]),
    "PREDICT of tables": (make_baseline_parser, ["PREDICT"]),
}


@pytest.mark.parametrize("name", READERS)
def test_every_command_that_reads_recordings_takes_the_same_flags(name: str) -> None:
    make_parser, words = READERS[name]
    parse = make_parser().parse_args
    typed = [
        "--min-step",
        "0.4",
        "--max-step",
        "2",
        "--step-tolerance",
        "20",
        "--hero",
        "--quality",
        "Allen",
    ]
    reading = reading_of(parse([*words, *typed]))
    select = reading.select
    assert (select.min_step_s, select.max_step_s, select.step_tolerance_pa) == (0.4, 2.0, 20.0)
    assert select.hero
    assert reading.quality == QUALITY["allen"]
    assert reading_of(parse(words)) == BuildSettings()
    assert set(SELECTION) <= set(vars(parse(words)))


def test_features_are_measured_on_steps_of_the_lengths_that_are_asked_for() -> None:
    parse = make_data_parser().parse_args

    def lengths_s(*typed: str) -> object:
        args = parse(["features", "x", *typed])
        return reading_of(args, store=False, features=True).feature_steps_s

    assert lengths_s() is None
    assert lengths_s("--min-step", "0.9") == (0.9, 2.0)
    assert lengths_s("--min-step", "1.5") == (1.5, 2.0)
    assert lengths_s("--max-step", "0.6") == (0.4, 0.6)


def features_of(folder: Path, out: Path, *typed: str) -> dict[str, str]:
    words = ["features", str(folder), "--out", str(out), "--workers", "1", "-q", *typed]
    assert data.main([*words, "--root", str(folder.parent)]) == Status.DONE
    with (out / "features.csv").open() as file:
        (row,) = csv.DictReader(file)
    return row


def test_a_length_decides_which_long_squares_features_are_measured_on(tmp_path: Path) -> None:
    write_cell(tmp_path / "new", "501", step_s=0.5)
    row = features_of(tmp_path / "new", tmp_path / "all")
    assert row["status"] == "ok"
    row = features_of(tmp_path / "new", tmp_path / "long", "--min-step", "0.9")
    assert row["status"] == "excluded"
    assert row["reason"] == "step lasts 0.5 s: wanted 0.9 to 2 s; open with --min-step"


def test_the_advice_of_show_can_be_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_cell(tmp_path / "new", "501", step_s=0.5)
    words = ["show", str(path), "--root", str(tmp_path), "-q"]
    assert data.main(words) == Status.USER
    assert "open with --min-step" in capsys.readouterr().err
    assert data.main([*words, "--min-step", "0.4"]) == Status.DONE
    assert capsys.readouterr().out.splitlines()[0].endswith(".png")
    assert data.main(["show", "501", "--root", str(tmp_path), "--min-step", "0.4"]) == Status.USER
    assert "--min-step belongs to recordings" in capsys.readouterr().err


def test_nonsense_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_cell(tmp_path / "new", "501")
    words = ["show", str(path), "--root", str(tmp_path), "-q"]
    for typed, told in {
        "--min-step 3": "give a least length",
        "--quality alen": "did you mean 'allen'",
    }.items():
        assert data.main([*words, *typed.split()]) == Status.USER
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    for typed in ("--min-step nan", "--step-tolerance nan"):
        with pytest.raises(SystemExit) as ended:
            data.main([*words, *typed.split()])
        assert ended.value.code == Status.USER
        assert f"{typed.split()[0]}: wanted a number" in capsys.readouterr().err
