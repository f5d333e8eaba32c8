"""TRAIN on a small world of features, through the command a user types."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.cli.baseline import main
from sts.cli.run import Status
from sts.datasets.feature_sets import FEATURE_SETS
from sts.evaluation.calibration import calibrate
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.signals.feature_names import FEATURES
from sts.studies.classify.tables.cells import Source
from sts.studies.classify.tables.settings import make_table_job
from sts.studies.classify.tables.training import ParallelFolds, prepare_table
from sts.tabular.checkpoint import load_baseline
from sts.tabular.estimators import predict_logits
from tests.datasets.ep_worlds import make_table, write_own
from tests.studies.classify.tables.worlds import (
    FIGURES,
    LABELS,
    QUICK,
    card_of,
    edit,
    make_workspace,
    report_of,
    run_of,
)


def test_training_leaves_a_model_and_a_run(trained: Path) -> None:
    run = run_of(trained)
    names = ("settings.json", "predictions.csv", "report.html", "log.txt", "metrics.jsonl")
    for name in (*names, "contributions.csv", "importance.csv", "out_of_fold.csv"):
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
    job = make_table_job(features="shared", trials=2, folds=2)
    experiment = prepare_table(job, source=Source(data=trained / "data"), workers=1)
    assert not set(experiment.fit_rows) & set(experiment.kept_rows)
    assert len(experiment.fit_rows) + len(experiment.kept_rows) == 96
    model = load_baseline(trained / "models" / "LightGBM_best_models" / "shared")
    np.testing.assert_array_equal(model.X, experiment.cohort.cells.X[experiment.fit_rows])
    unseen = experiment.cohort.cells.X[experiment.kept_rows]
    found = calibrate(
        predict_logits(model.classifier, unseen), experiment.cohort.truth[experiment.kept_rows]
    )
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
    job = make_table_job(features="shared", trials=1, folds=2)
    experiment = prepare_table(job, source=Source(data=trained / "data"), workers=1)
    rng = np.random.default_rng(0)
    folds = []
    for fold, scale in zip(experiment.folds, (1.0, 6.0), strict=True):
        truth = experiment.cohort.truth[fold.scored]
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
    found = experiment.predict_out_of_fold(SearchResult(trials=(trial,))).probabilities.max(axis=1)
    quiet, loud = np.split(found, [len(experiment.folds[0].scored)])
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


def test_labels_that_mean_nothing_are_not_learnt(tmp_path: Path) -> None:
    data = make_workspace(tmp_path / "world") / "data"
    path = data / LABELS
    lines = [line.split() for line in path.read_text().splitlines()]
    order = np.random.default_rng(0).permutation(len(lines) - 1)
    # The last line is that of an Unsure one, and stays.
    mixed = [f"{lines[int(at)][0]} {line[1]}" for at, line in zip(order, lines, strict=False)]
    path.write_text("\n".join(mixed) + "\n")
    experiment = prepare_table(
        make_table_job(features="shared", folds=2), source=Source(data=data), workers=1
    )
    values = [experiment.score({}, fold).value for fold in range(2)]
    # Guessing gives a quarter, within a tenth for 48 cells a fold; a fit on scored cells gives 1.
    assert np.mean(values) < 0.45


KILLED = """
import os, signal, sys
from sts.studies.classify import training
from sts.studies.classify.tables import model, training as tables
from sts.cli.baseline import main

def die(*_args, **_kwargs):
    assert not {{"torch", "torchvision", "wandb"}} & set(sys.modules)
    os.kill(os.getpid(), signal.SIGKILL)

real = tables.balanced_accuracy_score
calls = [0]

def score_and_die(*args):
    calls[0] += 1
    return die() if calls[0] == 4 else real(*args)

if {moment!r} == "search":
    tables.balanced_accuracy_score = score_and_die
elif {moment!r} == "model":
    model.save_baseline = die
else:
    from sts.reports.figures import style
    style.DPI = 40
    training.write_test_report = die
main(sys.argv[1:])
"""


WITHOUT_TORCH = """
import sys
from sts.cli.baseline import main
from sts.reports.figures import style
style.DPI = 40
assert main(sys.argv[1:]) == 0
assert main(["TEST", *sys.argv[1:5], "-q"]) == 0
sys.exit(", ".join({"torch", "torchvision", "wandb"} & set(sys.modules)) or 0)
"""


def test_killed_three_times_it_ends_the_same_and_no_part_needs_torch(
    trained: Path, tmp_path: Path
) -> None:
    root = make_workspace(tmp_path / "world")
    arguments = ["--root", str(root), *QUICK]
    for moment in ("search", "model", "report"):
        command = [sys.executable, "-c", KILLED.format(moment=moment), *arguments]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    assert report_of(root) == report_of(trained)


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
    assert "Exact SHAP values exist only for models of trees" in (run / "report.html").read_text()
    assert (run / "figures" / "importance.svg").is_file()
    assert main(["TEST", *which, "--features", "paper+isi", "-q"]) == Status.DONE


def test_cells_of_other_donors_are_searched_anew(tmp_path: Path) -> None:
    labels, table = tmp_path / "labels.csv", make_table(160)
    source = Source(data=tmp_path, table=write_own(tmp_path, table), labels=labels)
    job = make_table_job(features="shared", trials=1, folds=2)
    ids = table.specimen_id.tolist()
    donors = dict.fromkeys(ids, "")
    experiments = []
    for _ in range(2):
        known = dict(zip(ids, table.label, strict=True))
        lines = [f"{name},{known[name]},{donors[name]}" for name in ids]
        labels.write_text("\n".join(["specimen_id,label,donor_id", *lines]))
        experiments.append(prepare_table(job, source=source, workers=1))
        split = experiments[0].cohort.split
        # Four cells of a donor, on the side on which they are.
        donors = {
            name: f"{side} {at // 4}"
            for side in ("train", "test")
            for at, name in enumerate(sorted(getattr(split, side)))
        }
    before, after = experiments
    assert before.cohort.fingerprint() == after.cohort.fingerprint()
    # Stored scores and logits are of the cells of the folds, in their order.
    assert before.search_name != after.search_name
    assert before.depends_on != after.depends_on


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


def test_folds_in_parallel_score_as_one_after_another() -> None:
    begun: list[tuple[int, int]] = []

    def score(settings: dict[str, Any], fold: int) -> FoldScore:
        begun.append((settings["a"], fold))
        return FoldScore(settings["a"] + fold / 10)

    with ParallelFolds(score, 3, workers=2) as score_fold:
        # The second trial is left after its first fold, the third begins in the middle.
        wanted = [(1, 0), (1, 1), (1, 2), (2, 0), (3, 1), (3, 2), (1, 0)]
        found = [score_fold({"a": a}, fold).value for a, fold in wanted]
    assert found == [a + fold / 10 for a, fold in wanted]
    assert (3, 0) not in begun
    begun.clear()
    with ParallelFolds(score, 3, workers=1) as score_fold:
        score_fold({"a": 1}, 0)
    assert begun == [(1, 0)]


def test_a_fold_that_fails_in_parallel_fails_when_it_is_wanted() -> None:
    def score(settings: dict[str, Any], fold: int) -> FoldScore:
        if fold == 1:
            raise FloatingPointError("diverged")
        return FoldScore(1.0)

    with ParallelFolds(score, 2, workers=2) as score_fold:
        assert score_fold({}, 0).value == 1.0
        with pytest.raises(FloatingPointError):
            score_fold({}, 1)
