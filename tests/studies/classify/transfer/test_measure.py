"""What is carried from one data set to another, on made-up cells whose truth is known."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.cli.baseline import main
from sts.cli.run import Status
from sts.datasets.ep_tables import EpTable
from sts.datasets.feature_sets import feature_names, with_features
from sts.studies.classify.transfer import measure as measuring
from sts.studies.classify.transfer.measure import make_views, measure
from sts.studies.classify.transfer.results import ABSOLUTE, ONSET, TransferJob
from tests.datasets.ep_worlds import write_own, write_published
from tests.studies.classify.transfer.worlds import CELLS, noisy_table

pytestmark = pytest.mark.usefixtures("small_models")


def make_workspace(root: Path, *, table: EpTable | None = None) -> Path:
    for name in ("data", "source"):
        (root / name).mkdir(parents=True)
    write_published(root / "data", noisy_table() if table is None else table)
    (root / "few.json").write_text('{"n_estimators": 8, "min_child_samples": 3}')
    return root


def command(root: Path, *more: str) -> int:
    settings = ("--settings", str(root / "few.json"), "--workers", "1")
    return main(["--transfer", "--root", str(root), *settings, "-q", *more])


@pytest.fixture(scope="module")
def transferred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("transferred") / "world")
    (root / "data" / "etypes").mkdir()
    (root / "data" / "etypes" / "e-type.csv").write_text(
        # PatchClamp cells, Pvalb and Excitatory, the one contradicted and the other confirmed
        "specimen_id;e-type\n1001;Exc_2\n1009;Exc_1\n1010;Exc_3\n1018;Exc_3\n"
    )
    assert command(root) == Status.DONE
    return root


def run_of(root: Path) -> Path:
    (run,) = (root / "output" / "baseline-transfer" / "LightGBM").glob("*")
    assert (run / "DONE").is_file()
    return run


def report_of(root: Path) -> Any:
    return json.loads((run_of(root) / "report.json").read_text())


def test_a_run_holds_one_table_two_figures_and_one_paragraph(transferred: Path) -> None:
    run = run_of(transferred)
    for name in ("transfer.csv", "recipes.csv", "predictions.csv", "settings.json"):
        assert (run / name).stat().st_size > 0, name
    assert (run / "figures" / "transfer.png").is_file()
    page = (run / "report.html").read_text()
    assert page.count("data:image/") == 2
    assert report_of(transferred)["paragraph"][:40] in page
    assert "baseline_pipeline.py --transfer --model lightgbm --seed 0" in page


def test_every_question_is_answered_with_an_interval(transferred: Path) -> None:
    report = report_of(transferred)
    asked = {
        (each["times"], each["training"], each["tested_on"])
        for each in report["scores"]
        if each["features"] == "paper"
    }
    clamp, seq = "PatchClamp", "PatchSeq"
    for times in (ABSOLUTE, ONSET):
        for training in ("pooled", "independent"):
            for tested_on in ("both", "both, independent", clamp, seq):
                assert (times, training, tested_on) in asked
        for training in ("within", "across"):
            assert {(times, training, clamp), (times, training, seq)} <= asked
    assert {(ABSOLUTE, "moved", clamp), (ABSOLUTE, "moved", seq)} <= asked
    assert not {each for each in asked if each[:2] == (ONSET, "moved")}
    for each in report["scores"]:
        for name in ("weighted_f1", "balanced_accuracy"):
            assert each[name]["low"] <= each[name]["value"] <= each[name]["high"]
    assert {each["features"] for each in report["origin"]} == {"paper", "shared", "engineered"}
    assert set(report["aligned_less_absolute"]) == {"pooled", clamp, seq}
    ways = [(each["trained_on"], each["tested_on"]) for each in report["carried_over"]]
    assert ways == [(clamp, seq), (seq, clamp)]


def test_what_is_carried_over_stands_beside_the_plain_classifiers_of_the_same_kind(
    transferred: Path,
) -> None:
    report, run = report_of(transferred), run_of(transferred)
    with (run / "recipes.csv").open() as file:
        plain = {
            each["tested_on"]: float(each["weighted_f1"])
            for each in csv.DictReader(file)
            if (each["fit"], each["scale"], each["shares"]) == ("all", "as measured", "kept")
        }
    with (run / "transfer.csv").open() as file:
        told = {
            each["tested on"]: each["same kind, plain"]
            for each in csv.DictReader(file)
            if each["carried over"] not in ("–", "") and each["score"] == "weighted F1"
        }
    for each in report["carried_over"]:
        name = each["tested_on"]
        # recipes.csv holds all digits
        assert each["plain"]["weighted_f1"]["value"] == pytest.approx(plain[name], abs=1e-12)
        assert told[name].startswith(f"{plain[name]:.3f} [")
        gain = each["weighted_f1"]["value"] - plain[name]
        assert each["gain"]["value"] == pytest.approx(gain, abs=1e-12)
        assert each["gain"]["low"] <= gain + 1e-12
        assert f"the same kind of classifiers, plain, reach {told[name]}" in report["paragraph"]


def test_it_says_that_the_tested_cells_themselves_are_used(transferred: Path) -> None:
    assert "with the features of the" in report_of(transferred)["paragraph"]
    assert "but without any of their labels" in report_of(transferred)["paragraph"]
    page = (run_of(transferred) / "report.html").read_text()
    # under the table and under the figure
    assert page.count("uses the features of the test cells themselves") >= 2


def test_absolute_times_tell_the_data_set_and_moving_them_misleads(transferred: Path) -> None:
    report = report_of(transferred)
    told = {(each["features"], each["times"]): each["auc"]["value"] for each in report["origin"]}
    # Made-up cells differ by nothing but when their sweeps begin.
    assert told["paper", ABSOLUTE] > 0.95
    assert told["paper", ONSET] < 0.7


def test_a_hidden_stimulus_is_scored_where_its_features_are_used(transferred: Path) -> None:
    report = report_of(transferred)
    found = {(each["features"], each["training"]) for each in report["scores"]}
    for name in ("without short square", "without ramp", "without subthreshold steps"):
        assert ("shared", name) in found
        assert ("engineered", name) in found
        # The features of the paper are those of spikes on long squares.
        assert ("paper", name) not in found


def test_an_indicator_says_that_a_hidden_feature_is_missing() -> None:
    names = ("missing_ramp", "missing_adaptation")
    table = with_features(noisy_table(), feature_names("engineered"))
    view = make_views(table, TransferJob(features=("engineered",)))[-1]
    hidden = view.hide_stimuli()["without ramp"]
    at = [view.table.names.index(name) for name in names]
    assert (hidden.X[:, at[0]] == 1).all()
    np.testing.assert_array_equal(hidden.X[:, at[1]], view.table.X[:, at[1]])
    ramp = [name.endswith("_ramp") and not name.startswith("missing_") for name in hidden.names]
    assert np.isnan(hidden.X[:, np.array(ramp)]).all()


def test_contradicted_labels_are_set_aside(transferred: Path) -> None:
    report = report_of(transferred)
    cells = {
        each["tested_on"]: each["cells"]
        for each in report["scores"]
        if each["training"] == "across"
    }
    disputed = report["disputed"]["PatchClamp"]
    assert disputed > 0
    assert report["disputed"]["PatchSeq"] == 0
    assert cells["PatchClamp, undisputed"] == cells["PatchClamp"] - disputed
    assert "PatchSeq, undisputed" not in cells


def test_the_holdout_stays_closed(transferred: Path) -> None:
    run = run_of(transferred)
    assert "is opened" not in (run / "log.txt").read_text()
    with (run / "predictions.csv").open() as file:
        told = {row["specimen_id"] for row in csv.DictReader(file)}
    listed = (transferred / "data" / "Split" / "Test_split.csv").read_text().splitlines()
    held_out = {line.split(",")[0] for line in listed}
    assert len(held_out) > 0
    assert not told & held_out
    assert len(told) == CELLS - len(held_out)


def test_what_was_done_first_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    def backwards(function: Any, items: Any, *, workers: int) -> Iterator[tuple[int, Any]]:
        yield from ((at, function(item)) for at, item in reversed(list(enumerate(items))))

    table = noisy_table()
    job = TransferJob(features=("shared",), settings={"n_estimators": 4})
    views = make_views(table, job)
    found = [measure(views, job, disputed=None, workers=1)]
    monkeypatch.setattr(measuring, "map_unordered", backwards)
    found.append(measure(views, job, disputed=None, workers=1))
    assert list(found[0].scores.items()) == list(found[1].scores.items())
    assert list(found[0].origin.items()) == list(found[1].origin.items())


def test_the_holdout_is_used_for_nothing(transferred: Path, tmp_path: Path) -> None:
    table = noisy_table()
    held_out = np.arange(CELLS) % 5 == 0
    X = np.where(held_out[:, None], table.X[::-1], table.X)
    root = make_workspace(tmp_path / "again", table=replace(table, X=X))
    assert command(root, "--features", "shared") == Status.DONE
    found = {
        (each["training"], each["tested_on"]): each["weighted_f1"]
        for each in report_of(root)["scores"]
        if each["times"] == ONSET
    }
    known = {
        (each["training"], each["tested_on"]): each["weighted_f1"]
        for each in report_of(transferred)["scores"]
        if (each["times"], each["features"]) == (ONSET, "shared")
    }
    assert found
    assert all(known[key] == value for key, value in found.items())


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "times": (("--times", "onset"), "leave out --times"),
    "published": (("--published",), "leave out --published"),
    "network": (("--with-networks", "nowhere"), "leave out --with-networks"),
    "mode": (("TEST",), "leave out the mode"),
    "trials": (("--trials", "3"), "leave out --trials"),
    "folds": (("--folds", "4"), "leave out --folds"),
    "name": (("--name", "mine"), "leave out --name"),
    "storage": (("--storage", "s.sqlite"), "leave out --storage"),
    "wandb": (("--wandb", "offline"), "leave out --wandb"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_go_together_is_one_clear_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more, words = BAD[name]
    assert command(make_workspace(tmp_path / "x"), *more) == Status.USER
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def test_a_class_that_a_data_set_lacks_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = noisy_table()
    some = table.rows((table.truth != 1) | (table.dataset != "PatchClamp"))
    assert command(make_workspace(tmp_path / "x", table=some)) == Status.USER
    words = "only 0 training cells of class Excitatory in PatchClamp: at least 5 are needed"
    assert words in capsys.readouterr().err


def test_cells_of_one_data_set_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "x")
    table = noisy_table()
    write_own(tmp_path, replace(table, dataset=np.array(["here"] * CELLS)))
    assert command(root, "--table", str(tmp_path / "features.csv")) == Status.USER
    words = "--transfer needs two data sets; these training cells are of 1 (here)"
    assert words in capsys.readouterr().err
