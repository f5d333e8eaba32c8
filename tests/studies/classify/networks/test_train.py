"""TRAIN on a small world, through the command a user types."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

from sts.base.errors import StsError
from sts.base.workspace import Workspace
from sts.cli.run import Status
from sts.cli.sts import main
from sts.datasets.splits import split_of
from sts.datasets.store import SweepStore, load_store, write_store
from sts.evaluation.calibration import calibrate
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import load_model
from sts.networks.predict import run_network
from sts.reports.predictions import PREDICTIONS, read_network_features, read_predictions
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.studies.classify.networks import training
from sts.studies.classify.networks.folds import FoldProcesses
from sts.studies.classify.networks.model import load_sweeps
from sts.studies.classify.networks.training import (
    NetworkExperiment,
    NetworkJob,
    make_network_job,
    prepare_network,
)
from sts.studies.classify.training import search_settings
from tests.networks.worlds import make_world
from tests.studies.classify.networks.conftest import (
    CELLS,
    QUICK,
    UNSEEN,
    make_workspace,
    report_of,
    run_of,
)


def quick_job(size: tuple[int, int] | None = (32, 32), epochs: int = 2) -> NetworkJob:
    architecture = Architecture(number=1, weights="none")
    return make_network_job(
        architecture, group_by="donor", seed=0, image_size=size, trials=1, folds=2, epochs=epochs
    )


def test_training_leaves_a_model_and_a_run(trained: Path) -> None:
    run = run_of(trained)
    names = ("settings.json", "predictions.csv", "report.html", "log.txt", "metrics.jsonl")
    names += ("curves.csv",)
    for name in (*names, "out_of_fold.csv"):
        assert (run / name).stat().st_size > 0, name
    for name in ("confusion", "curves", "calibration", "models-1"):
        assert (run / "figures" / f"{name}.png").is_file(), name
    predicted = read_predictions(run / PREDICTIONS)
    features = read_network_features(run, len(predicted))
    assert features is not None
    assert features.shape[1] == 512
    report = json.loads(report_of(trained))
    assert {"pooled", "PatchSeq", "PatchClamp"} == set(report["holdout"])
    assert set(report["out_of_fold_of_best_trial"]) == set(report["holdout"])
    card = json.loads(
        (trained / "models" / "ResNet18_best_models" / "NONE" / "model.json").read_text()
    )
    assert card == report["model"]
    assert not (run / "refit.safetensors").exists()


def test_training_loads_few_of_our_modules(trained: Path) -> None:
    modules = set((trained / "modules.txt").read_text().split())
    assert "sts.studies.classify.networks.training" in modules
    # It reads and analyses no recording, measures no features, explains nothing and predicts no
    # new cell: the code for these is not loaded.
    needless = ("recordings", "signals.analysis", "signals.features", "tabular", "augment")
    needless += ("calcium", "networks.saliency", "studies.classify.networks.predicting")
    assert not modules & {f"sts.{name}" for name in needless}, sorted(modules)


def test_a_network_is_calibrated_on_cells_that_it_was_not_fitted_on(trained: Path) -> None:
    job = quick_job()
    experiment = prepare_network(job, data=trained / "data", device="cpu")
    # A fifth of 48 cells.
    assert (len(experiment.fit_rows), len(experiment.kept_rows)) == (38, 10)
    assert not set(experiment.fit_rows) & set(experiment.kept_rows)
    model = load_model(trained / "models" / "ResNet18_best_models" / "NONE")
    # Images are standardised by what was fitted, and by nothing else.
    images = experiment.bank.standardise(experiment.fit_rows)
    assert model.card.images == images.settings
    unseen = run_network(model.network, images, experiment.kept_rows).logits
    found = calibrate(unseen, experiment.cohort.truth[experiment.kept_rows])
    said = json.loads(report_of(trained))["calibration"]
    assert said["cells"] == 10
    # Convolutions of other batches round otherwise.
    assert said["fitted_temperature"] == pytest.approx(found.fitted, rel=1e-3)
    assert said["log_loss"] == pytest.approx(found.log_losses, rel=1e-3)
    assert model.card.temperature == said["temperature"] == found.temperature
    # Ten cells of a network that knows nothing yet: a temperature from nine does the tenth no good.
    for place in ("report.html", "log.txt"):
        assert "No temperature is applied" in (run_of(trained) / place).read_text()


def test_a_network_stops_on_the_cells_that_were_kept_aside(trained: Path) -> None:
    epochs = [
        json.loads(line) for line in (run_of(trained) / "metrics.jsonl").read_text().splitlines()
    ]
    assert all("validation_loss" in epoch for epoch in epochs if "train_loss" in epoch)


def test_what_folds_say_is_on_one_scale(trained: Path) -> None:
    experiment = prepare_network(quick_job(), data=trained / "data", device="cpu")
    cohort, scores = experiment.cohort, []
    for fold, scale in zip(experiment.folds, (1.0, 6.0), strict=True):
        said = np.eye(4)[cohort.truth[fold.scored]]
        extras = {"rows": fold.scored.tolist(), "logits": (scale * said).tolist()}
        scores.append(FoldScore(1.0, {**extras, "temperature": scale}))
    trial = TrialRecord(
        number=0,
        settings={},
        state="complete",
        folds=tuple(scores),
        duration_s=0.0,
        worker=None,
        attempts=0,
    )
    found = experiment.predict_out_of_fold(SearchResult(trials=(trial,)))
    # A softmax of the same numbers.
    assert np.ptp(found.probabilities.max(axis=1)) < 1e-12


def test_every_opening_of_the_holdout_is_in_the_log(trained: Path) -> None:
    log = (run_of(trained) / "log.txt").read_text()
    assert log.count("the holdout of 12 cells is opened: TRAIN of ResNet18-NONE") == 1


@UNSEEN
def test_the_holdout_is_used_for_no_choice(trained: Path, tmp_path: Path) -> None:
    """Spoil every held-out sweep: the model must come out the same, only its scores may differ."""
    root = make_workspace(tmp_path / "spoilt")
    store = load_store(root / "data" / "sweeps.h5")
    split = split_of(store, root / "data")
    held_out = np.isin(store.specimen_id, sorted(split.test))
    traces = store.traces.copy()
    traces[held_out] = np.random.default_rng(1).normal(-70, 20, traces[held_out].shape)
    write_store(
        root / "data" / "sweeps.h5",
        SweepStore(**{**vars(store), "traces": traces.astype(np.float32)}),
    )
    assert main(["1", "TRAIN", "--root", str(root), *QUICK]) == Status.DONE
    place = Path("models", "ResNet18_best_models", "NONE", "model.safetensors")
    assert (root / place).read_bytes() == (trained / place).read_bytes()
    assert report_of(root) != report_of(trained)


KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from sts.studies.classify import training
from sts.studies.classify.networks import training as networks
from sts.cli.sts import main

def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

real_fit = networks.fit
calls = [0]

def fit_and_die(*args, **kwargs):
    calls[0] += 1
    if calls[0] == 2:
        kwargs["on_epoch"] = die
    return real_fit(*args, **kwargs)

if {moment!r} == "search":
    networks.fit = fit_and_die
else:
    training.assess = die
main(sys.argv[1:])
"""


@UNSEEN
def test_killed_twice_and_begun_again_it_ends_the_same(trained: Path, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "world")
    arguments = ["1", "TRAIN", "--root", str(root), *QUICK]
    # What is killed while it saves the model is tested on tables: the code is the same.
    for moment in ("search", "refit"):
        command = [sys.executable, "-c", KILLED.format(moment=moment), *arguments]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert main(arguments) == Status.DONE
    # Also without being killed, the same seed gives the same report.
    ours, theirs = json.loads(report_of(root)), json.loads(report_of(trained))
    for report in (ours, theirs):
        report["model"]["data"].pop("split")
    assert ours == theirs


@pytest.mark.parametrize(
    ("size", "epochs", "parallel"), [((32, 32), 2, True), ((32, 32), 1, False), (None, 2, False)]
)
def test_folds_of_small_images_score_alike_in_processes(
    size: tuple[int, int] | None,
    epochs: int,
    parallel: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "LEAST_IMAGES", 32)
    monkeypatch.setattr(training, "count_cores", lambda: 2)
    root = make_workspace(tmp_path / "world")
    experiment = prepare_network(quick_job(size, epochs), data=root / "data", device="cpu")
    values = {"dropout": 0.0}
    with experiment.scoring() as score:
        assert isinstance(score, FoldProcesses) == parallel
        if parallel:
            found = [score(values, fold) for fold in range(2)]
            for fold, one in enumerate(found):
                alone = experiment.score(values, fold)
                assert one.value == alone.value
                np.testing.assert_array_equal(one.extras["logits"], alone.extras["logits"])


def test_cells_that_changed_during_a_search_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LEAST_IMAGES", 32)
    monkeypatch.setattr(training, "count_cores", lambda: 2)
    root = make_workspace(tmp_path / "world")
    experiment = prepare_network(quick_job(), data=root / "data", device="cpu")
    louder = make_world(CELLS)
    louder.traces[:] += 1
    write_store(root / "data" / "sweeps.h5", louder)
    with (
        experiment.scoring() as score,
        pytest.raises(StsError, match="have changed since the search began"),
    ):
        score({"dropout": 0.0}, 0)


@UNSEEN
def test_two_processes_share_the_trials_of_one_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    arguments = ["1", "TRAIN", "--root", str(root), *QUICK, "--trials", "4", "--epochs", "1"]
    assert main([*arguments, "--workers", "2"]) == Status.DONE
    told = capsys.readouterr()
    assert "ended with status" not in told.err
    report = json.loads(report_of(root))
    assert [trial["number"] for trial in report["search"]] == list(range(4))
    assert {len(trial["folds"]) for trial in report["search"]} == {2}
    study = optuna.load_study(
        study_name=None, storage=f"sqlite:///{root}/output/sts/searches.sqlite"
    )
    assert len(study.trials) == 4
    # All cores are this process's again.
    assert torch.get_num_threads() == 1


@UNSEEN
def test_sweeps_themselves_are_learnt_and_tested_but_not_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    place = ["NONE", "--root", str(root), "--device", "cpu", "-q"]
    short = ["--trials", "1", "--folds", "2", "--epochs", "2"]
    assert main(["5", "TRAIN", *place, *short]) == Status.DONE
    assert (root / "models" / "TraceNet_best_models" / "NONE" / "model.safetensors").is_file()
    assert main(["5", "TEST", *place]) == Status.DONE
    capsys.readouterr()
    assert main(["5", "EXPLAIN", *place]) == Status.USER
    assert "EXPLAIN draws on scalograms, and TraceNet takes none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["2", "TEST"], "no model at"),
        (["1", "PREDICT"], "--recordings FILE..., --cells-from DIR; none of them were given"),
        (["1", "TRAIN", "--weights", "none", "--device", "cuda:99"], "cuda:99"),
        (["1", "TRAIN", "--weights", "none", "--folds", "50"], "for 50 parts"),
        (["1", "TRAIN", "--weights", "none", "--image-size", "4"], "at least"),
        (["1", "EXPLAIN", "--cells", "nobody"], "'nobody'"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    trained: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--root", str(trained), "-q"]) == Status.USER
    told = capsys.readouterr().err
    assert line in told
    assert "Traceback" not in told


def test_each_data_folder_has_its_own_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkExperiment, "score", lambda *_: FoldScore(0.5))
    root = make_workspace(tmp_path)
    others = root / "others" / "sweeps.h5"
    write_store(others, make_world(CELLS, seed=1))

    def search(folder: Path) -> int:
        experiment = prepare_network(quick_job(), data=folder, device="cpu")
        return len(search_settings(Workspace(root), experiment).trials)

    assert search(root / "data") == search(root / "others") == 1
    # Other cells in the same folder are refused: scores of both would be mixed.
    others.replace(root / "data" / "sweeps.h5")
    with pytest.raises(StsError, match=r"other terms.*about\.cells"):
        search(root / "data")


def test_a_refused_storage_address_reaches_no_file_and_no_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_workspace(tmp_path / "world")
    address = "postgresql://me:very@secret@host/trials"
    arguments = ["1", "TRAIN", "--root", str(root), *QUICK, "--storage", address]
    # A run writes down how the process was called.
    monkeypatch.setattr(sys, "argv", ["sts_pipeline.py", *arguments])
    assert main(arguments) == Status.USER
    assert "secret" not in "".join(capsys.readouterr())
    written = [path for path in (root / "output").rglob("*") if path.is_file()]
    assert not [path for path in written if b"secret" in path.read_bytes()]


def test_a_fresh_clone_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    assert main(["2", "TEST", "NONE", "--root", str(tmp_path)]) == Status.USER
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "TRAIN" in told[0]


def test_the_validation_cells_of_a_fold_are_not_scored(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "world")
    cohort = load_sweeps(root / "data", group_by="specimen", seed=0)
    for fold in cohort.folds(3, group_by="specimen", seed=0):
        parts = [set(rows.tolist()) for rows in (fold.fit, fold.validation, fold.scored)]
        assert sum(map(len, parts)) == len(cohort.train_rows) == len(set.union(*parts))
