"""TEST and PREDICT on a small world of features, through the command a user types."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.types import CLASSES
from sts.cli.baseline import main
from sts.cli.data import main as data_main
from sts.cli.run import Status
from sts.datasets.table import FeatureRow, write_features
from sts.signals.feature_names import FEATURES
from sts.studies.classify.stored import CellSource, find_new_features
from sts.studies.classify.tables.model import reasons_of
from sts.tabular.checkpoint import load_baseline
from sts.tabular.explanations import compute_contributions
from tests.datasets.ep_worlds import make_table, write_own, write_published, write_renamed
from tests.datasets.ep_worlds import rows_of as rows_of_table
from tests.studies.cells import write_cell
from tests.studies.classify.tables.worlds import (
    make_workspace,
    report_of,
    rows_of,
    run_of,
)


def test_testing_finds_what_training_found(trained: Path) -> None:
    assert main(["TEST", "--root", str(trained), "--features", "shared", "-q"]) == Status.DONE
    tested = json.loads((run_of(trained, "baseline-test") / "report.json").read_text())
    assert tested["holdout"] == report_of(trained)["holdout"]


def test_a_holdout_that_was_trained_on_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_workspace(tmp_path / "other") / "data"
    train, test = (data / "Split" / f"{side}_split.csv" for side in ("Train", "Test"))
    lines = train.read_text().splitlines()
    train.write_text("\n".join(lines[1:]) + "\n")
    test.write_text(f"{test.read_text()}{lines[0]}\n")
    arguments = ["TEST", "--root", str(trained), "--data", str(data), "--features", "shared", "-q"]
    assert main(arguments) == Status.USER
    assert "was trained on other cells" in capsys.readouterr().err


def test_predicting_a_table_names_class_reasons_and_strangers(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = make_table(12, seed=3)
    table.X[11] = 40 * table.X[11]
    path = write_own(tmp_path, table)
    arguments = ["PREDICT", "--root", str(trained), "--features", "shared", "--table", str(path)]
    assert main([*arguments, "-q"]) == Status.DONE
    told = capsys.readouterr()
    assert "1011 looks unlike the training cells" in told.err
    (run,) = (trained / "output" / "baseline-predict" / "LightGBM-shared").glob("*")
    with (run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["specimen_id"] for row in rows] == [str(1000 + at) for at in range(12)]
    right = [row["prediction"] == label for row, label in zip(rows, table.label, strict=True)]
    # Four kinds of cells that 45 features tell apart; one of the twelve is a stranger.
    assert sum(right) >= 9
    reason = rows[0]["because_1"]
    assert REASON.fullmatch(reason), reason
    assert reason.endswith(f": towards {rows[0]['prediction']}")
    assert [row["unlike_training"] for row in rows][-1] == "True"
    assert (run / "report.html").is_file()


def test_a_table_with_other_columns_is_predicted_as_with_ours(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = make_table(12, seed=3)
    theirs, columns = write_renamed(tmp_path, rows_of_table(table))
    tables = {"ours": [str(write_own(tmp_path, table))]}
    tables["theirs"] = [str(theirs), "--columns", str(columns)]
    found = {}
    for name, arguments in tables.items():
        root = tmp_path / name
        (root / "data").mkdir(parents=True)
        (root / "models").symlink_to(trained / "models")
        command = ["PREDICT", "--root", str(root), "--features", "shared", "--table", *arguments]
        assert main([*command, "-q"]) == Status.DONE
        with (run_of(root, "baseline-predict") / "predictions.csv").open() as file:
            rows = list(csv.DictReader(file))
        found[name] = [float(row["probability_Sst"]) for row in rows]
    # A value that was divided and multiplied again may differ in its last digit.
    np.testing.assert_allclose(found["theirs"], found["ours"], rtol=0, atol=1e-9)
    assert main([*command[:-4], "--cells-from", str(tmp_path), "--columns", str(columns)]) == 2
    assert "--columns maps the columns of a table" in capsys.readouterr().err


def test_a_cell_of_two_tables_has_the_features_and_the_facts_of_the_first(tmp_path: Path) -> None:
    write_published(tmp_path, make_table(16))
    first, second = (make_table(1, seed=seed) for seed in (1, 2))
    for name, table in (("a", first), ("b", second)):
        named = replace(table, specimen_id=np.array(["one"]), dataset=np.array([name]))
        write_own(tmp_path / name, named)
    write_features(
        tmp_path / "c" / "features.csv", [FeatureRow(specimen_id="two", status="failed")]
    )
    source = CellSource(cells_from=str(tmp_path))
    cells, table = find_new_features(source, needed=FEATURES)
    assert table is not None
    assert [cell.specimen_id for cell in cells] == [*table.specimen_id, "two"]
    found = {cell.specimen_id: cell for cell in cells}
    np.testing.assert_array_equal(table.X[table.specimen_id == "one"], first.X)
    assert found["one"].dataset == "a"
    for specimen, dataset in zip(table.specimen_id[:16], table.dataset[:16], strict=True):
        assert found[specimen].file.endswith(f"{dataset}_EP_features.csv")


def test_predicting_recordings_keeps_the_reason_of_a_bad_one(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    models = trained / "models"
    (root / "models").symlink_to(models)
    write_cell(tmp_path / "new", "501")
    (tmp_path / "new" / "bad.nwb").write_text("no")
    arguments = ["PREDICT", "--root", str(root), "--features", "shared", "-q"]
    copies = ["--write-nwb", str(tmp_path / "copies")]
    assert main([*arguments, *copies, "--recordings", str(tmp_path / "new")]) == Status.PARTIAL
    told = capsys.readouterr()
    assert "501" in told.out
    assert "failed: " in told.err
    # It was recorded under long squares alone, the training cells under three stimuli.
    assert "501 lacks 24 features that nearly all training cells have" in told.err
    run = run_of(root, "baseline-predict")
    assert len((run / "predictions.csv").read_text().splitlines()) == 3
    (copy,) = (tmp_path / "copies").glob("*.nwb")
    with h5py.File(copy) as file:
        facts, probabilities = (
            file[f"processing/icephys/sts_{name}"] for name in ("prediction", "class_probabilities")
        )
        stated = dict(zip(facts["fact"].asstr()[:], facts["value"].asstr()[:], strict=True))
        assert probabilities["label"].asstr()[:].tolist() == list(CLASSES)
        assert probabilities["probability"][:].sum() == pytest.approx(1)
        # A model without sets writes none.
        assert len(probabilities["in_set"]) == len(CLASSES)
    assert stated["prediction"] in CLASSES
    assert stated["model"] == "LightGBM-shared"
    digests = load_baseline(models / "LightGBM_best_models" / "shared").card.sha256
    assert json.loads(stated["model_sha256"]) == digests
    assert main([*arguments, *copies, "--cells-from", str(tmp_path)]) == Status.USER
    assert "--write-nwb copies recordings" in capsys.readouterr().err


# As in: rheobase 210 pA, higher than 90 % of training cells: towards Pvalb.
REASON = re.compile(
    r"[\w -]+ (-?[\d.e+-]+( [\w/]+( ms)?)?|missing|yes|no), "
    r"(higher than|lower than|as in) ((under )?\d+ % of|all) training cells: towards [\w/]+"
)


def test_reasons_speak_for_the_class_and_say_where_a_cell_stands(trained: Path) -> None:
    model = load_baseline(trained / "models" / "LightGBM_best_models" / "shared")
    table = make_table(40, seed=5)
    probabilities = model.probabilities(table.X)
    labels = probabilities.argmax(axis=1)
    values = compute_contributions(model.classifier, table.X, model.card.names).values
    trained_on = {name: model.X[:, at] for at, name in enumerate(model.card.names)}
    for cell, reasons in enumerate(reasons_of(model, table.X, labels)):
        assert reasons
        for reason in reasons:
            at = model.card.names.index(reason.feature)
            assert reason.contribution == values[cell, at, labels[cell]] > 0
            assert reason.label == CLASSES[labels[cell]]
            known = trained_on[reason.feature]
            known = known[np.isfinite(known)]
            assert reason.lower == pytest.approx(np.mean(known < reason.value))
            assert reason.higher == pytest.approx(np.mean(known > reason.value))
        strengths = [reason.contribution for reason in reasons]
        assert strengths == sorted(strengths, reverse=True)


def test_cells_of_a_built_data_set_are_predicted_as_their_recordings_are(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    (root / "models").symlink_to(trained / "models")
    folder = tmp_path / "new"
    for name in ("501", "502"):
        write_cell(folder, name)
    (folder / "bad.nwb").write_text("no")
    place = ["--root", str(root), "-q"]
    built = str(tmp_path / "built")
    words = ["features", str(folder), "--out", built, "--workers", "1"]
    assert data_main([*words, *place]) == Status.PARTIAL
    arguments = ["PREDICT", *place, "--features", "shared"]
    found = []
    for where in (["--recordings", str(folder), "--workers", "2"], ["--cells-from", built]):
        assert main([*arguments, *where]) == Status.PARTIAL
        assert "failed: " in capsys.readouterr().err
        newest = max((root / "output" / "baseline-predict" / "LightGBM-shared").iterdir())
        found.append({row["specimen_id"] or "bad": row for row in rows_of(newest)})
        page = (newest / "report.html").read_text()
        assert "bad.nwb" in page
        assert "501 lacks 24 features" in page
    assert [sorted(rows) for rows in found] == [["501", "502", "bad"]] * 2
    for name in ("501", "502", "bad"):
        one, other = (rows[name] for rows in found)
        assert one.pop("file").endswith(Path(other.pop("file")).name)
        one.pop("dataset"), other.pop("dataset")
        assert one == other
