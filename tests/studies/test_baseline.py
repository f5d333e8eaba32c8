"""TRAIN, TEST and PREDICT on a small world of features, through the command a user types."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.cli.baseline import main
from sts.cli.data import main as data_main
from sts.cli.run import Status
from sts.datasets.feature_sets import FEATURE_SETS
from sts.datasets.table import write_features
from sts.evaluation.calibration import calibrate
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.signals.features import FEATURES
from sts.studies.baseline.ahead import Ahead
from sts.studies.baseline.bench import make_bench, validate
from sts.studies.baseline.cohort import Source, load_cohort
from sts.studies.baseline.predict import reasons_of
from sts.studies.baseline.settings import choose, make_job
from sts.tabular.checkpoint import load_baseline
from sts.tabular.contributions import contributions_of
from tests.datasets import ep_worlds
from tests.datasets.allen import PATCHSEQ, write_patchseq
from tests.datasets.ep_worlds import make_table, write_own, write_published
from tests.studies.cells import write_cell

CELLS = 120
LABELS = "cell_types_GouwensAll_new.txt"


QUICK = ("--features", "shared", "--trials", "2", "--folds", "2", "--workers", "1", "-q")

FIGURES = ("confusion", "calibration", "models-1", "models-2", "history", "importance_of_settings")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty pictures: drawing takes most of a training's time, and `trained` has drawn."""

    def save(_: object, stem: Path) -> list[Path]:
        stem.with_name(f"{stem.name}.svg").write_text("<svg/>")
        return [stem.with_name(f"{stem.name}.svg")]

    for module in ("bars", "calibration", "confusion", "importance", "shap"):
        monkeypatch.setattr(f"sts.reports.figures.{module}.save", save)


def make_workspace(root: Path, *, cells: int = CELLS) -> Path:
    for name in ("data", "source"):
        (root / name).mkdir(parents=True)
    write_published(root / "data", make_table(cells))
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("trained") / "world")
    assert main(["--root", str(root), *QUICK]) == Status.DONE
    return root


def run_of(root: Path, study: str = "baseline", what: str = "LightGBM-shared") -> Path:
    (run,) = (root / "output" / study / what).glob("*")
    assert (run / "DONE").is_file()
    return run


def report_of(root: Path) -> Any:
    """Return what a training found, less where its files are."""
    report = json.loads((run_of(root) / "report.json").read_text())
    report["model"]["data"].pop("split")
    return report


def card_of(root: Path, variant: str = "shared", kind: str = "LightGBM") -> Any:
    path = root / "models" / f"{kind}_best_models" / variant / "model.json"
    return json.loads(path.read_text())


def edit(path: Path, change: Callable[[list[list[str]]], object]) -> None:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_training_leaves_a_model_and_a_run(trained: Path) -> None:
    run = run_of(trained)
    names = ("settings.json", "predictions.csv", "report.html", "log.txt", "metrics.jsonl")
    for name in (*names, "contributions.csv", "importance.csv"):
        assert (run / name).stat().st_size > 0, name
    for name in (*FIGURES, "shap-top", "shap-all"):
        assert (run / "figures" / f"{name}.png").is_file(), name
        assert (run / "figures" / f"{name}.svg").is_file(), name
    report = json.loads((run / "report.json").read_text())
    for part in ("holdout", "out_of_fold_of_best_trial"):
        assert set(report[part]) == {"pooled", "PatchSeq", "PatchClamp"}
    assert card_of(trained) == report["model"]
    assert report["model"]["names"] == list(FEATURES)
    page = (run / "report.html").read_text()
    # Two of them are of the search.
    assert page.count("data:image/") == 8
    trials = report["model"]["scores"]["out_of_fold_of_best_trial"]["trials"]
    assert trials == len(report["search"])
    assert f"Out of fold, best of {trials} trials" in page
    assert "baseline_pipeline.py TRAIN" in page


def test_a_model_is_calibrated_on_cells_that_it_was_not_fitted_on(trained: Path) -> None:
    job = make_job(features="shared", trials=2, folds=2)
    bench = make_bench(job, source=Source(data=trained / "data"), workers=1)
    assert not set(bench.fit_rows) & set(bench.kept_rows)
    assert len(bench.fit_rows) + len(bench.kept_rows) == 96
    model = load_baseline(trained / "models" / "LightGBM_best_models" / "shared")
    np.testing.assert_array_equal(model.X, bench.cohort.table.X[bench.fit_rows])
    unseen = bench.cohort.table.X[bench.kept_rows]
    found = calibrate(model.classifier.logits(unseen), bench.cohort.truth[bench.kept_rows])
    # The trees come from text, to the last digit.
    assert model.card.temperature == pytest.approx(found.temperature, rel=1e-9)
    assert report_of(trained)["calibration"]["fitted_temperature"] == pytest.approx(found.fitted)
    distances = model.novelty.distances(unseen)
    assert model.card.novelty.threshold == pytest.approx(distances.max())


def test_the_published_protocol_keeps_nothing_aside_and_says_so(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "world")
    arguments = ["--root", str(root), "--published", "--trials", "1", "--folds", "2"]
    assert main([*arguments, "--workers", "1", "-q"]) == Status.DONE
    card = card_of(root, "published")
    assert (card["data"]["training_cells"], card["data"]["kept_aside"]) == (96, 0)
    run = run_of(root, what="LightGBM-published")
    said = json.loads((run / "report.json").read_text())["calibration"]
    assert said["cells"] == 96
    page = (run / "report.html").read_text()
    assert "fitted on 96 training cells, each by the model of a fold that was not fitted" in page


def test_what_folds_say_is_on_one_scale(trained: Path) -> None:
    """A fold whose model boasts is calibrated by what that model says, and not by another's."""
    job = make_job(features="shared", trials=1, folds=2)
    bench = make_bench(job, source=Source(data=trained / "data"), workers=1)
    rng = np.random.default_rng(0)
    folds = []
    for fold, scale in zip(bench.folds, (1.0, 6.0), strict=True):
        truth = bench.cohort.truth[fold.scored]
        # Three in four are right, whatever is said.
        said = np.where(rng.random(len(truth)) < 0.75, truth, (truth + 1) % 4)
        folds.append(FoldScore(0.75, {"logits": (scale * 2 * np.eye(4)[said]).tolist()}))
    trial = TrialRecord(
        number=0,
        settings={},
        state="complete",
        folds=tuple(folds),
        duration_s=0.0,
        worker=None,
        attempts=0,
    )
    found = validate(bench, SearchResult(trials=(trial,))).out_of_fold.probabilities.max(axis=1)
    quiet, loud = np.split(found, [len(bench.folds[0].scored)])
    # At 1 the second fold says 0.99998, and at one temperature for both about 0.97.
    assert abs(quiet.mean() - loud.mean()) < 0.1


def test_every_opening_of_the_holdout_is_in_the_log(trained: Path) -> None:
    log = (run_of(trained) / "log.txt").read_text()
    assert log.count("the holdout of 24 cells is opened: TRAIN of LightGBM-shared") == 1


def test_the_contributions_in_the_table_add_up_to_what_was_predicted(trained: Path) -> None:
    run = run_of(trained)
    with (run / "contributions.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ["base", *FEATURES]
    logits = np.array([sum(float(row[name]) for name in names) for row in rows]).reshape(-1, 4)
    temperature = json.loads((run / "report.json").read_text())["model"]["temperature"]
    odds = np.exp(logits / temperature)
    with (run / "predictions.csv").open() as file:
        said = [[v for k, v in row.items() if k.startswith("prob")] for row in csv.DictReader(file)]
    # 46 numbers of six decimals a logit.
    wanted = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.array(said, dtype=float), wanted, atol=1e-3)


def test_neither_the_order_of_the_input_nor_the_workers_change_the_report(
    trained: Path, tmp_path: Path
) -> None:
    root = make_workspace(tmp_path / "again")

    def turn(rows: list[list[str]]) -> None:
        rows[1:] = rows[:0:-1]
        for row in rows:
            row.reverse()

    for path in (root / "data" / "Split").glob("*_EP_features.csv"):
        edit(path, turn)
    for path in (root / "data" / "Split").glob("*_split.csv"):
        path.write_text("\n".join(reversed(path.read_text().splitlines())))
    assert main(["--root", str(root), *QUICK, "--workers", "2"]) == Status.DONE
    assert report_of(root) == report_of(trained)
    name = Path("models", "LightGBM_best_models", "shared", "model.txt")
    assert (root / name).read_bytes() == (trained / name).read_bytes()


def test_the_holdout_is_used_for_no_choice(trained: Path, tmp_path: Path) -> None:
    """Spoil every held-out cell: the model must come out the same, only its scores may differ."""
    root = make_workspace(tmp_path / "spoilt")
    split = (root / "data" / "Split" / "Test_split.csv").read_text().splitlines()
    held_out = {line.split(",")[0] for line in split}

    def spoil(rows: list[list[str]]) -> None:
        names = rows[0]
        key = names.index("specimen_id" if "specimen_id" in names else "cell_specimen_id")
        for row in rows[1:]:
            if row[key] in held_out:
                for name in ("tau", "ri", "peak_v_ramp", "sag"):
                    row[names.index(name)] = "17.5"

    for path in (root / "data" / "Split").glob("*_EP_features.csv"):
        edit(path, spoil)
    assert main(["--root", str(root), *QUICK]) == Status.DONE
    name = Path("models", "LightGBM_best_models", "shared", "model.txt")
    assert (root / name).read_bytes() == (trained / name).read_bytes()
    spoilt, sound = report_of(root), report_of(trained)
    for part in ("search", "out_of_fold_of_best_trial"):
        assert spoilt[part] == sound[part]
    assert spoilt["holdout"] != sound["holdout"]


def test_the_folds_share_no_cell_and_leave_the_holdout_alone(tmp_path: Path) -> None:
    data = make_workspace(tmp_path / "world") / "data"
    cohort = load_cohort(Source(data=data), choose("shared"))
    held_out = set(cohort.open_holdout("test").tolist())
    assert len(held_out) == 24
    for fold in cohort.folds(3, group_by="specimen", seed=0):
        fit, scored = set(fold.fit.tolist()), set(fold.scored.tolist())
        assert (len(fit), len(scored)) == (64, 32)
        assert not fit & scored
        assert not (fit | scored) & held_out


def test_labels_that_mean_nothing_are_not_learnt(tmp_path: Path) -> None:
    data = make_workspace(tmp_path / "world") / "data"
    path = data / LABELS
    lines = [line.split() for line in path.read_text().splitlines()]
    order = np.random.default_rng(0).permutation(len(lines) - 1)
    # The last line is that of an Unsure one, and stays.
    mixed = [f"{lines[int(at)][0]} {line[1]}" for at, line in zip(order, lines, strict=False)]
    path.write_text("\n".join(mixed) + "\n")
    bench = make_bench(make_job(features="shared", folds=2), source=Source(data=data), workers=1)
    values = [bench.score({}, fold).value for fold in range(2)]
    # Guessing gives a quarter, within a tenth for 48 cells a fold; a fit on scored cells gives 1.
    assert np.mean(values) < 0.45


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


def test_predicting_recordings_keeps_the_reason_of_a_bad_one(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    models = trained / "models"
    (root / "models").symlink_to(models)
    write_cell(tmp_path / "new", "501")
    (tmp_path / "new" / "bad.nwb").write_text("no")
    arguments = ["PREDICT", "--root", str(root), "--features", "shared", "-q"]
    assert main([*arguments, "--recordings", str(tmp_path / "new")]) == Status.PARTIAL
    told = capsys.readouterr()
    assert "501" in told.out
    assert "failed: " in told.err
    # It was recorded under long squares alone, the training cells under three stimuli.
    assert "501 lacks 24 features that nearly all training cells have" in told.err
    run = run_of(root, "baseline-predict")
    assert len((run / "predictions.csv").read_text().splitlines()) == 3


# As in: rheobase 210 pA, higher than 90 % of training cells: towards Pvalb.
REASON = re.compile(
    r"[\w -]+ (-?[\d.e+-]+( [\w/]+( ms)?)?|missing|yes|no), "
    r"(higher than|lower than|as in) ((under )?\d+ % of|all) training cells: towards [\w/]+"
)


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_reasons_speak_for_the_class_and_say_where_a_cell_stands(trained: Path) -> None:
    model = load_baseline(trained / "models" / "LightGBM_best_models" / "shared")
    table = make_table(40, seed=5)
    probabilities = model.probabilities(table.X)
    labels = probabilities.argmax(axis=1)
    values = contributions_of(model.classifier, table.X, model.card.names).values  # type: ignore[arg-type]
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


KILLED = """
import os, signal, sys
from sts.studies.baseline import bench, train as module
from sts.studies.baseline import explain
from sts.cli.baseline import main

def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

real = bench.balanced_accuracy_score
calls = [0]

def score_and_die(*args):
    calls[0] += 1
    return die() if calls[0] == 4 else real(*args)

if {moment!r} == "search":
    bench.balanced_accuracy_score = score_and_die
elif {moment!r} == "model":
    module.save_baseline = die
else:
    module.write_test_report = die
main(sys.argv[1:])
"""


@pytest.mark.parametrize("moment", ["search", "model", "report"])
def test_killed_and_begun_again_it_ends_the_same(
    trained: Path, tmp_path: Path, moment: str
) -> None:
    root = make_workspace(tmp_path / "world")
    arguments = ["--root", str(root), *QUICK]
    command = [sys.executable, "-c", KILLED.format(moment=moment), *arguments]
    ended = subprocess.run(command, capture_output=True, check=False, env={**os.environ})
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert main(arguments) == Status.DONE
    assert report_of(root) == report_of(trained)


WITHOUT_TORCH = """
import sys
from sts.cli.baseline import main
assert main(sys.argv[1:]) == 0
assert main(["TEST", *sys.argv[1:5], "-q"]) == 0
sys.exit(", ".join({"torch", "torchvision", "shap", "wandb"} & set(sys.modules)) or 0)
"""


def test_no_part_of_it_needs_torch(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "world")
    command = [sys.executable, "-c", WITHOUT_TORCH, "--root", str(root), *QUICK]
    ended = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stderr


def test_all_published_choices_come_at_once(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "world")
    quick = ("--trials", "2", "--folds", "2", "-q")
    assert main(["--root", str(root), "--published", *quick]) == Status.DONE
    card = card_of(root, "published")
    assert tuple(card["names"]) == FEATURE_SETS["paper"]
    assert (card["times"], card["settings"]["subsample_freq"]) == ("absolute", 0)
    assert card["settings"]["max_bin"] == 255


@pytest.mark.parametrize("model", ["logistic", "svm"])
def test_other_models_go_through_the_same_protocol(tmp_path: Path, model: str) -> None:
    root = make_workspace(tmp_path / "world")
    which = ["--root", str(root), "--model", model]
    assert main([*which, *QUICK, "--features", "paper+isi"]) == Status.DONE
    title = {"logistic": "Logistic", "svm": "SVM"}[model]
    card = card_of(root, "paper+isi", title)
    assert "model.txt" not in card["sha256"]
    run = run_of(root, what=f"{title}-paper+isi")
    assert "Exact SHAP values exist for LightGBM alone" in (run / "report.html").read_text()
    assert (run / "figures" / "importance.svg").is_file()
    assert main(["TEST", *which, "--features", "paper+isi", "-q"]) == Status.DONE


def test_given_settings_are_not_searched(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "world")
    file = tmp_path / "mine.json"
    file.write_text('{"num_leaves": 5, "n_estimators": 7}')
    assert main(["--root", str(root), *QUICK, "--settings", str(file)]) == Status.DONE
    report = report_of(root)
    assert report["model"]["settings"]["num_leaves"] == 5
    assert len(report["search"]) == 1
    page = (run_of(root) / "report.html").read_text()
    assert "--settings" in page


def test_cells_of_ones_own_are_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    table = make_table(80, seed=5)
    table = replace(table, specimen_id=np.array([f"own {at}" for at in range(80)]))
    own = tmp_path / "mine"
    own.mkdir()
    path = write_own(own, table)
    path.write_text(
        path.read_text()
        .replace(",Pvalb,", ",,")
        .replace(",Excitatory,", ",,")
        .replace(",Vip/Lamp5,", ",,")
        .replace(",Sst,", ",,")
    )
    lines = [f"{a},{b}" for a, b in zip(table.specimen_id, table.label, strict=True)]
    (tmp_path / "classes.csv").write_text("\n".join(["specimen_id,label", *lines]))
    arguments = ["--root", str(root), *QUICK, "--table", str(path)]
    assert main(arguments) == Status.USER
    assert main([*arguments, "--labels", str(tmp_path / "classes.csv")]) == Status.DONE
    assert card_of(root)["data"]["training_cells"] == 64
    capsys.readouterr()
    assert main(["--root", str(root), *QUICK]) == Status.DONE
    assert "held a model of other cells, which is kept in" in capsys.readouterr().err
    models = root / "models" / "LightGBM_best_models"
    (kept,) = [path.name for path in models.iterdir() if path.name != "shared"]
    assert card_of(root, kept)["data"]["training_cells"] == 64
    before = card_of(root)
    assert main(["--root", str(root), *QUICK, "--name", "mine"]) == Status.DONE
    assert sorted(path.name for path in models.iterdir()) == ["mine", "shared", kept]
    assert card_of(root) == before
    test = ["TEST", "--root", str(root), "--features", "shared", "--name"]
    assert main([*test, "mine"]) == Status.DONE
    # It was trained on other cells than the table at hand holds.
    assert main([*test, kept]) == Status.USER
    assert main([*test, "yours"]) == Status.USER
    assert "no model at" in capsys.readouterr().err
    assert [each.name for each in own.iterdir()] == ["features.csv"], "their folder is theirs"
    assert (root / "data" / "splits" / "features.json").is_file()
    assert not (root / "data" / "split.json").exists()


def test_a_table_is_read_and_nothing_beside_it(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "world")
    folder = tmp_path / "theirs"
    write_published(folder, make_table(40, seed=1))
    table = make_table(80, seed=5)
    other = replace(table, specimen_id=np.array([f"own {at}" for at in range(80)]))
    path = write_own(folder, other).rename(folder / "mine.csv")
    (folder / "labels.csv").write_text("specimen_id,label\nown 1,Sst\nown 1,Sst\n")
    before = set(folder.rglob("*"))
    folder.chmod(0o555)
    assert main(["--root", str(root), *QUICK, "--table", str(path)]) == Status.DONE
    folder.chmod(0o755)
    assert set(folder.rglob("*")) == before
    assert card_of(root)["data"]["training_cells"] == 64
    assert (root / "data" / "splits" / "mine.json").is_file()


def test_a_row_more_in_a_table_moves_no_cell(tmp_path: Path) -> None:
    source = Source(data=tmp_path / "data", table=write_own(tmp_path, make_table(80, seed=5)))
    first = load_cohort(source, choose("shared"))
    write_own(tmp_path, make_table(84, seed=5))
    second = load_cohort(source, choose("shared"))
    assert first.split.test <= second.split.test
    assert first.split.train <= second.split.train
    assert len(second.table) == 84


def test_donors_stand_in_one_fold_and_on_one_side(tmp_path: Path) -> None:
    donors = np.array([f"d{at // 4}" for at in range(160)])
    rows = ep_worlds.rows_of(make_table(160))
    own = [replace(row, donor_id=str(donor)) for row, donor in zip(rows, donors, strict=True)]
    write_features(tmp_path / "features.csv", own)
    cohort = load_cohort(Source(data=tmp_path), choose("shared"))
    donor_id = cohort.table.donor_id
    held = set(donor_id[cohort.open_holdout("a test")].tolist())
    assert not held & set(donor_id[cohort.train_rows].tolist())
    for fold in cohort.folds(3, group_by="donor", seed=0):
        assert not set(donor_id[fold.fit].tolist()) & set(donor_id[fold.scored].tolist())
    said = cohort.predictions(cohort.train_rows, np.full((len(cohort.train_rows), 4), 0.25))
    assert said.donors.tolist() == donor_id[cohort.train_rows].tolist()


def test_donors_are_respected_unless_asked_otherwise_or_published() -> None:
    assert make_job().group_by == "donor"
    assert make_job(published=True).group_by == "specimen"
    assert make_job(group_by="specimen").group_by == "specimen"


def test_donors_come_from_the_metadata_in_the_folder(tmp_path: Path) -> None:
    write_published(tmp_path, make_table(40))
    cells = [("1004", "1", "a-331294", "", ""), ("1012", "2", "a-331294", "", "")]
    write_patchseq(tmp_path / PATCHSEQ, cells)
    table = load_cohort(Source(data=tmp_path), choose("shared")).table
    known = dict(zip(table.specimen_id.tolist(), table.donor_id.tolist(), strict=True))
    assert {name: donor for name, donor in known.items() if donor} == {
        "1004": "331294",
        "1012": "331294",
    }


def test_a_feature_that_no_training_cell_has_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")

    def empty(rows: list[list[str]]) -> None:
        at = rows[0].index("sag")
        for row in rows[1:]:
            row[at] = ""

    for path in (root / "data" / "Split").glob("*_EP_features.csv"):
        edit(path, empty)
    assert main(["--root", str(root), *QUICK]) == Status.USER
    told = capsys.readouterr().err
    assert "none of the 96 training cells has a value of sag" in told
    assert "--skip-missing" in told
    assert main(["--root", str(root), *QUICK, "--skip-missing"]) == Status.DONE
    assert "sag" not in card_of(root)["names"]


def harm(root: Path, name: str, old: str, new: str) -> None:
    path = root / "data" / name
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        (LABELS, "Pvalb 1000", "Pvlab 1000", "line 1: unknown class 'Pvlab': did you mean 'Pvalb'"),
        (LABELS, "Excitatory 1001", "Excitatory 1000", "line 2: specimen 1000 has a label"),
        (LABELS, "Pvalb 1000", "Pvalb 1000 x", "line 1"),
        (LABELS, "Pvalb 1000\n", "", "without a label (1), such as 1000"),
        ("Split/Train_split.csv", "1001, Clamp", "77, Clamp", "77"),
        ("Split/Train_split.csv", "1001, Clamp", "1002, Clamp", "1002"),
        ("Split/Train_split.csv", "1001, Clamp", "1000, Clamp", "both sides"),
        ("Split/PatchSeq_EP_features.csv", "vm_for_sag", "vm", "no column 'vm_for_sag'"),
        ("Split/PatchSeq_EP_features.csv", "\n0,", "\n0,x", "such as 1004"),
    ],
)
def test_a_bad_file_is_one_clear_line(
    tmp_path: Path, name: str, old: str, new: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    harm(root, name, old, new)
    assert main(["--root", str(root), *QUICK]) == Status.USER
    *before, last = capsys.readouterr().err.splitlines()
    assert all(each.startswith("warning: ") for each in before)
    assert last.startswith("error: ")
    assert line in last


def test_an_empty_class_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    path = root / "data" / LABELS
    path.write_text(path.read_text().replace("Pvalb", "Sst"))
    assert main(["--root", str(root), *QUICK]) == Status.USER
    assert "only 0 specimens of class Pvalb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model", "lightgmb"], "did you mean 'lightgbm'"),
        (["--features", "enginered"], "did you mean 'engineered'"),
        (["--published", "--features", "shared"], "--published is LightGBM"),
        (["--published", "--model", "svm"], "--published is LightGBM"),
        (["PREDICT"], "--recordings FILE..., --cells-from DIR or --table CSV; none of them"),
        (["PREDICT", "--recordings", "x", "--cells-from", "y"], "2 of them was given"),
        (["PREDICT", "--cells-from", "nowhere"], "no folder nowhere"),
        (["PREDICT", "--cells-from", "x", "--hero"], "--hero belongs to recordings"),
        (["PREDICT", "--table", "nowhere.csv"], "no feature table nowhere.csv"),
        (["TEST", "--features", "paper"], "no model at"),
        (["--settings", "nowhere.json"], "cannot read nowhere.json"),
        (["--folds", "90"], "for 90 parts"),
        (["--storage", "postgresql:half"], "search storage"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    trained: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = [] if "--features" in arguments or "--published" in arguments else QUICK[:2]
    assert main([*arguments, "--root", str(trained), *quick, "-q"]) == Status.USER
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert line in told[0]


def test_one_fold_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--folds", "1"])
    assert ended.value.code == Status.USER
    assert "at least 2 and at most 100, got '1'" in capsys.readouterr().err.splitlines()[-1]


def test_a_fresh_clone_says_how_to_get_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    assert main(["--root", str(tmp_path)]) == Status.USER
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "data_pipeline.py fetch sts-tables" in told[0]
    assert "--demo" in told[0]


def test_the_demo_touches_nothing_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("sts.studies.baseline.demo.COUNT", 24)
    arguments = ["--root", str(tmp_path), "--demo", "--trials", "1", "--folds", "2", "-q"]
    assert main([*arguments, "--model", "logistic"]) == Status.DONE
    demo = tmp_path / "output" / "demo"
    assert card_of(demo, "engineered", "Logistic")["data"]["training_cells"] == 18
    assert not list((tmp_path / "data").iterdir())
    assert not (tmp_path / "models").exists()


def test_published_means_nothing_but_lightgbm_on_the_paper() -> None:
    job = make_job(published=True)
    assert job.variant == "published"
    assert make_job(published=True, times="onset").variant == "published-onset"
    assert make_job(features="paper", times="absolute").variant == "paper-absolute"
    with pytest.raises(StsError):
        make_job(published=True, features="engineered")


def test_folds_begun_ahead_score_as_folds_in_turn() -> None:
    begun: list[tuple[int, int]] = []

    def score(settings: dict[str, Any], fold: int) -> FoldScore:
        begun.append((settings["a"], fold))
        return FoldScore(settings["a"] + fold / 10)

    with Ahead(score, 3, workers=2) as ahead:
        # The second trial is left after its first fold, the third begins in the middle.
        asked = [(1, 0), (1, 1), (1, 2), (2, 0), (3, 1), (3, 2), (1, 0)]
        found = [ahead({"a": a}, fold).value for a, fold in asked]
    assert found == [a + fold / 10 for a, fold in asked]
    assert (3, 0) not in begun
    begun.clear()
    with Ahead(score, 3, workers=1) as ahead:
        ahead({"a": 1}, 0)
    assert begun == [(1, 0)]


def test_a_fold_that_fails_ahead_fails_when_it_is_asked_for() -> None:
    def score(settings: dict[str, Any], fold: int) -> FoldScore:
        if fold == 1:
            raise FloatingPointError("diverged")
        return FoldScore(1.0)

    with Ahead(score, 2, workers=2) as ahead:
        assert ahead({}, 0).value == 1.0
        with pytest.raises(FloatingPointError):
            ahead({}, 1)
