"""TRAIN, TEST, EXPLAIN and PREDICT on a small world, through the command a user types."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import optuna
import pytest
import torch

from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.base.workspace import Workspace
from sts.cli.data import main as data_main
from sts.cli.run import Status
from sts.cli.sts import main
from sts.datasets.splits import split_of
from sts.datasets.store import SweepStore, load_store, write_store
from sts.evaluation.calibration import calibrate
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import load_model
from sts.networks.predict import run_network
from sts.reports.predictions import PREDICTIONS, read_network_features, read_predictions
from sts.reports.publications.kept import CLASS_SALIENCY, read_class_saliency, read_kept
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.studies.classify.networks.model import load_sweeps
from sts.studies.classify.networks.training import (
    NetworkExperiment,
    NetworkJob,
    make_network_job,
    prepare_network,
)
from sts.studies.classify.training import search_settings
from tests.networks.worlds import make_world
from tests.studies.cells import write_cell

CELLS = 60
SIZE = ("--image-size", "32")
QUICK = ("--weights", "none", *SIZE, "--trials", "1", "--folds", "2")
QUICK += ("--epochs", "2", "--device", "cpu", "-q")
# For tests that look at no picture; `trained` draws all of a training.
UNSEEN = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def quick_job() -> NetworkJob:
    architecture = Architecture(number=1, weights="none")
    return make_network_job(
        architecture, group_by="donor", seed=0, image_size=(32, 32), trials=1, folds=2, epochs=2
    )


def make_workspace(root: Path, *, seed: int = 0, cells: int = CELLS) -> Path:
    for name in ("data", "source"):
        (root / name).mkdir(parents=True)
    write_store(root / "data" / "sweeps.h5", make_world(cells, seed=seed))
    return root


# Train in a new process, and write which of our modules it has loaded.
FRESH = """
import sys
import torch
torch.set_num_threads(1)
from sts.cli.sts import main
from sts.reports.figures import style
style.DPI = 40
assert main(sys.argv[2:]) == 0
with open(sys.argv[1], "w") as file:
    print(*(name for name in sys.modules if name.split(".")[0] == "sts"), file=file)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("trained") / "world")
    words = ["1", "TRAIN", "--root", str(root), *QUICK]
    command = [sys.executable, "-c", FRESH, str(root / "modules.txt"), *words]
    subprocess.run(command, check=True)
    return root


def run_of(root: Path, study: str = "sts") -> Path:
    (run,) = (root / "output" / study / "ResNet18-NONE").glob("*")
    assert (run / "DONE").is_file()
    return run


def report_of(root: Path) -> str:
    return (run_of(root) / "report.json").read_text()


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
