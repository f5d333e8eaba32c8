"""TEST, EXPLAIN and PREDICT on a small world, through the command a user types."""

import csv
import json
import shutil
from pathlib import Path

import h5py
import pytest

from sts.base.types import CLASSES
from sts.cli.data import main as data_main
from sts.cli.run import Status
from sts.cli.sts import main
from sts.reports.predictions import read_network_features
from sts.reports.publications.kept import CLASS_SALIENCY, read_class_saliency, read_kept
from tests.studies.cells import write_cell
from tests.studies.classify.networks.conftest import (
    QUICK,
    SIZE,
    UNSEEN,
    make_workspace,
    report_of,
    run_of,
)


@UNSEEN
def test_testing_finds_what_training_found(trained: Path) -> None:
    assert main(["1", "TEST", "NONE", "--root", str(trained), "-q"]) == Status.DONE
    tested = json.loads((run_of(trained, "sts-test") / "report.json").read_text())
    assert tested["holdout"] == json.loads(report_of(trained))["holdout"]


@UNSEEN
def test_a_model_is_found_under_its_own_name(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = trained / "models" / "ResNet18_best_models"
    shutil.copytree(models / "NONE", models / "mine")
    (models / "NONE").rename(models / "away")
    new = ["--recordings", str(write_cell(tmp_path / "new", "501"))]
    try:
        # EXPLAIN finds it as TEST does.
        for mode in (["TEST"], ["PREDICT", *new]):
            arguments = ["1", *mode, "--root", str(trained), "-q", "--name"]
            assert main([*arguments, "mine"]) == Status.DONE
            assert main([*arguments, "yours"]) == Status.USER
            assert "yours: train it with" in capsys.readouterr().err
    finally:
        (models / "away").rename(models / "NONE")
        shutil.rmtree(models / "mine")
        for study in ("sts-test", "sts-predict"):
            shutil.rmtree(trained / "output" / study)


def test_explaining_draws_cells_and_says_where_attention_lies(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["1", "EXPLAIN", "--root", str(trained), "-q"]) == Status.DONE
    assert "first 100 ms" in capsys.readouterr().out
    run = run_of(trained, "sts-explain")
    assert len(list((run / "figures").glob("saliency-*.png"))) == 4
    assert (run / "figures" / "class-saliency.svg").is_file()
    assert {one.label for one in read_class_saliency(read_kept(run / CLASS_SALIENCY))} <= {*CLASSES}
    report = json.loads((run / "report.json").read_text())
    for shares in report["attention"].values():
        assert sum(shares["times"].values()) == pytest.approx(1.0, abs=1e-6)
    # maps of other weights are other maps
    assert all(value < 0.9 for value in report["likeness_to_random_weights"].values())


def test_predicting_names_a_class_and_keeps_reasons(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(tmp_path / "new", "501")
    (tmp_path / "new" / "bad.nwb").write_text("no")
    arguments = ["1", "PREDICT", "--root", str(trained), "--recordings", str(tmp_path / "new")]
    copies = ["--write-nwb", str(tmp_path / "copies")]
    assert main([*arguments, *copies, "-q"]) == Status.PARTIAL
    told = capsys.readouterr()
    assert "501" in told.out
    assert "failed: " in told.err
    run = run_of(trained, "sts-predict")
    table = (run / "predictions.csv").read_text().splitlines()
    assert len(table) == 3
    assert read_network_features(run, 1) is not None
    assert len(list((run / "figures").glob("cell-*.png"))) == 1
    page = (run / "report.html").read_text()
    for told in ("501", "bad.nwb", "failed", "unlike training", "data:image/"):
        assert told in page
    (copy,) = (tmp_path / "copies").glob("*.nwb")
    with (run / "predictions.csv").open() as file:
        (row,) = [row for row in csv.DictReader(file) if row["specimen_id"] == "501"]
    with h5py.File(copy) as file:
        classes, facts = (
            file[f"processing/icephys/sts_{name}"] for name in ("class_probabilities", "prediction")
        )
        for label, found in zip(classes["label"].asstr(), classes["probability"], strict=True):
            assert found == pytest.approx(float(row[f"probability_{label}"]))
        stated = dict(zip(facts["fact"].asstr()[:], facts["value"].asstr()[:], strict=True))
        pairs = zip(classes["label"].asstr(), classes["in_set"], strict=True)
        members = [label for label, is_in in pairs if is_in]
        assert ("; ".join(members) or "none") == row["prediction_set"]
    assert (stated["prediction"], stated["model"]) == (row["prediction"], "ResNet18-NONE")
    assert stated["set_coverage"] == "0.9"
    assert main([*arguments, "--coverage", "9", "-q"]) == Status.USER
    assert "between 0 and 1, not 9" in capsys.readouterr().err


@UNSEEN
@pytest.mark.parametrize("number", ["1", "5"])
def test_a_network_of_one_sweep_predicts_a_cell_that_has_no_second(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    quick = [*QUICK] if number == "1" else [word for word in QUICK if word not in SIZE]
    common = [number, "TRAIN", "--root", str(root), *quick]
    assert main(common) == Status.DONE
    assert main([*common, "--one-sweep", "--name", "alone"]) == Status.DONE
    new = tmp_path / "new"
    write_cell(new, "501", amplitudes_pa=[50])
    write_cell(new, "502")
    capsys.readouterr()
    words = [number, "PREDICT", "--root", str(root), "--recordings", str(new), "--workers", "1"]
    assert main([*words, "-q"]) == Status.DONE
    assert "none is above rheobase" in capsys.readouterr().err
    assert main([*words, "-q", "--name", "alone"]) == Status.DONE
    (table,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("table"))
    with Path(table.split()[-1]).open() as file:
        rows = {row["specimen_id"]: row for row in csv.DictReader(file)}
    assert rows["501"]["prediction"] in CLASSES
    assert rows["501"]["notes"].startswith("one sweep used: no sweep at rheobase + 40 pA")
    assert rows["502"]["notes"] == ""
    # It never sees the second sweep: both cells have the same one at rheobase.
    names = [f"probability_{label}" for label in CLASSES]
    assert [rows["501"][name] for name in names] == [rows["502"][name] for name in names]


@UNSEEN
def test_cells_of_a_built_data_set_are_predicted_with_those_that_were_left_out(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    write_cell(folder, "501")
    (folder / "bad.nwb").write_text("no")
    built = tmp_path / "built"
    words = ["build", str(folder), "--out", str(built), "--workers", "1", "-q"]
    assert data_main([*words, "--root", str(tmp_path)]) == Status.PARTIAL
    (tmp_path / "models").symlink_to(trained / "models")
    found = []
    for where in (["--cells-from", str(built)], ["--recordings", str(folder)]):
        words = ["1", "predict", "--root", str(tmp_path), *where, "--device", "cpu", "-q"]
        assert main([*words, "--coverage", "0.999"]) == Status.PARTIAL
        # A higher coverage makes sets larger: so few calibration cells exclude no class.
        assert "; ".join(CLASSES) in capsys.readouterr().out
        newest = max((tmp_path / "output" / "sts-predict" / "ResNet18-NONE").iterdir())
        with (newest / "predictions.csv").open() as file:
            rows = {row["specimen_id"] or "bad": row for row in csv.DictReader(file)}
        found.append(rows)
        assert (rows["501"]["status"], rows["bad"]["status"]) == ("ok", "failed")
        assert rows["501"]["unlike_training"] in ("True", "False")
        assert rows["bad"]["prediction"] == ""
    names = [f"probability_{label}" for label in CLASSES]
    assert [found[0]["501"][name] for name in names] == [found[1]["501"][name] for name in names]
