"""data_pipeline.py check and features --absolute-times as a user meets them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sts.cli.data import main
from sts.cli.run import Status
from sts.datasets.table import read_features
from sts.signals.feature_names import TIME_FEATURES
from tests.datasets.ep_worlds import make_table, rows_of, write_published, write_renamed
from tests.datasets.laboratory_worlds import write_laboratories
from tests.datasets.plausible import plausible_table
from tests.studies.cells import write_cell


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_an_empty_folder_is_one_clear_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--root", str(root)]) == Status.USER
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith(f"error: nothing to check in {root / 'data'}: fetch the published")


def test_counts_and_notes_end_well(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_published(root / "data", plausible_table(40))
    assert main(["check", "--root", str(root)]) == Status.DONE
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert lines[0] == f"read {root / 'data' / 'cell_types_GouwensAll_new.txt'}"
    header = next(line for line in lines if line.startswith("data set"))
    assert header == "data set    class       labels  train  test  features  sweeps"
    assert "PatchSeq    Vip/Lamp5        5      4     1         5       0" in lines
    assert "\nto know:\n" in told
    assert "  1 cells have no class in the label file: 999 (left out)\n" in told
    assert "must be changed" not in told
    assert told.isascii()
    assert "\x1b" not in told


def test_what_must_be_changed_is_told_by_the_status(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_published(root / "data", plausible_table(40))
    with (root / "data" / "Split" / "Train_split.csv").open("a", encoding="utf-8") as file:
        file.write("1000, Clamp\n")
    out = root / "cases.csv"
    arguments = ["check", "--data", str(root / "data"), "--out", str(out)]
    assert main(arguments) == Status.USER
    told = capsys.readouterr()
    assert "must be changed:\n  1 specimens are on both sides of the split: 1000" in told.out
    assert str(out) in told.out
    assert "Traceback" not in told.err
    with out.open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["specimen_id"] == "1000"


def test_the_medians_of_data_sets_stand_beside_those_of_a_table(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_laboratories(root / "data")
    table = make_table(12)
    theirs, columns = write_renamed(root, rows_of(table))
    arguments = ["check", "--root", str(root), "--table", str(theirs)]
    main([*arguments, "--columns", str(columns)])
    told = capsys.readouterr().out
    lines = [line.split() for line in told.splitlines()]
    (header,) = (line for line in lines if line[:2] == ["feature", "unit"])
    sets = ["PatchClamp", "PatchSeq", "ExcitatoryV1", "MotorCortex", "HumanInterneurons"]
    assert header[2:] == [*sets, "theirs"]
    # Published test cells are in none of them.
    assert ["cells", "10", "9", "4", "5", "4", "12"] in lines
    (tau,) = (line for line in lines if line[:2] == ["tau", "ms"])
    # Made-up cells with tau 1, 2, 3 and so on, of which one data set gives seconds.
    assert f"{np.median(table.columns()['tau']):.4g}" in tau
    assert "2500" in tau[2:]
    assert tau[tau.index("2500") + 1] == "!"
    assert "\n! outside the plausible range" in told
    assert main(arguments) == Status.USER
    assert "map them with --columns" in capsys.readouterr().err
    assert main([*arguments[:3], "--columns", str(columns)]) == Status.USER
    assert "give the table with --table" in capsys.readouterr().err


def test_a_table_alone_is_enough_to_check(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, columns = write_renamed(root, rows_of(plausible_table(12)))
    arguments = ["check", "--root", str(root), "--table", str(theirs), "--columns", str(columns)]
    assert main(arguments) == Status.DONE
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["feature", "unit", "theirs"] in lines
    assert ["cells", "12"] in lines


def test_data_sets_of_other_laboratories_alone_are_enough_to_check(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_laboratories(root)
    (root / "m1").rename(root / "data" / "m1")
    (root / "excitatory").rename(root / "data" / "excitatory")
    assert main(["check", "--root", str(root)]) == Status.DONE
    told = capsys.readouterr()
    assert "MotorCortex" in told.out
    assert "no medians: ExcitatoryV1: ExcitatoryV1 may contain cells of the published" in told.err


@pytest.mark.parametrize(("dataset", "onset_s"), [("PatchSeq", 0.50), ("PatchClamp", 1.02)])
def test_absolute_times_are_the_onset_and_what_follows(
    root: Path, dataset: str, onset_s: float
) -> None:
    write_cell(root / "recordings", "101")
    tables = {}
    for name, more in (("plain", []), ("moved", ["--absolute-times", dataset])):
        out = root / "data" / name
        arguments = [str(root / "recordings"), "--out", str(out), "--workers", "1", "-q"]
        assert main(["features", *arguments, "--root", str(root), *more]) == Status.DONE
        (tables[name],) = read_features(out / "features.csv")
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["features"]["settings"]["times"] == tables[name].times
    plain, moved = tables["plain"], tables["moved"]
    assert (plain.times, moved.times) == ("onset", dataset)
    for name, value in plain.values.items():
        shift_s = onset_s if name in TIME_FEATURES else 0.0
        assert moved.values[name] == pytest.approx(value + shift_s, abs=1e-12, nan_ok=True), name


def test_a_table_with_other_times_is_not_taken_for_this_one(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(root / "recordings", "101")
    arguments = [str(root / "recordings"), "--out", str(root / "data" / "mine"), "--workers", "1"]
    assert main(["features", *arguments, "--root", str(root)]) == Status.DONE
    arguments += ["--root", str(root), "--absolute-times", "PatchSeq"]
    assert main(["features", *arguments]) == Status.USER
    assert "was built with other settings: add --force" in capsys.readouterr().err
    assert main(["features", *arguments, "--force"]) == Status.DONE
    assert read_features(root / "data" / "mine" / "features.csv")[0].times == "PatchSeq"
