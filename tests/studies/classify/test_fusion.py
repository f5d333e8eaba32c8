"""A table and a network as one: what both know that each alone does not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.base.workspace import Workspace, find_workspace
from sts.cli.baseline import main
from sts.cli.run import Status
from sts.cli.sts import main as sts_main
from sts.datasets.store import write_store
from sts.evaluation.predictions import Predictions
from sts.reports.predictions import read_predictions, write_predictions
from sts.studies.classify.fusion import (
    STACK_FOLDS,
    Fused,
    FusionJob,
    RunPredictions,
    find_common_cells,
    fit_stack,
    fuse,
    read_run_predictions,
    stack_inputs,
)
from tests.datasets.ep_worlds import make_table, write_own
from tests.evaluation.worlds import make_predictions, softmax
from tests.networks.worlds import make_world

CELLS = 60


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def drawn(tmp_path: Path) -> Workspace:
    """Return a workspace for a run that draws its pictures."""
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    return find_workspace(tmp_path)


@pytest.fixture
def workspace(drawn: Workspace, no_pictures: None) -> Workspace:
    return drawn


def classifier(knows: tuple[int, ...], *, noise: int, cells: int = 800) -> Predictions:
    """Return what a classifier says that knows some classes and guesses which other it is."""
    base = make_predictions(cells)
    logits = np.random.default_rng(noise).normal(size=(cells, len(CLASSES)))
    known = np.isin(base.truth, knows)
    logits[known, base.truth[known]] += 5
    logits[np.ix_(~known, knows)] -= 5
    return replace(base, probabilities=softmax(logits))


def sides(said: Predictions) -> RunPredictions:
    order = np.argsort(said.specimen_id)
    half = len(order) // 2
    return RunPredictions(train=said.rows(order[:half]), test=said.rows(order[half:]))


def fused(workspace: Workspace, table: Predictions, network: Predictions) -> Fused:
    job = FusionJob(table="here/a/1", network="here/b/2")
    return fuse(workspace, job, table=sides(table), network=sides(network))


def gain(found: Fused, over: str) -> tuple[float, str]:
    each = found.gains[over].groups["pooled"].differences["weighted_f1"]
    return each.difference.value, each.verdict


def test_two_that_know_different_classes_know_all_together(drawn: Workspace) -> None:
    found = fused(drawn, classifier((0, 1), noise=1), classifier((2, 3), noise=2))
    for name in ("table", "network"):
        value, verdict = gain(found, name)
        # Each alone takes one class of two for the other half of the time.
        assert value > 0.1
        assert verdict == "second"
    assert found.scores["both"]["pooled"].weighted_f1.value > 0.9


def test_a_second_word_of_the_same_gains_nothing(workspace: Workspace) -> None:
    said = make_predictions(800)
    found = fused(workspace, said, said)
    value, verdict = gain(found, "table")
    assert verdict == "cannot tell"
    # One cell in 400 may change sides with the weights of the classes.
    assert abs(value) < 0.02


def test_a_network_that_guesses_does_no_harm(workspace: Workspace) -> None:
    table = make_predictions(800)
    guess = softmax(np.random.default_rng(9).normal(size=(800, 4)))
    found = fused(workspace, table, replace(table, probabilities=guess))
    value, _ = gain(found, "table")
    assert abs(value) < 0.02
    assert gain(found, "network")[1] == "second"


def test_what_it_says_is_calibrated(workspace: Workspace) -> None:
    def overconfident(noise: int) -> Predictions:
        said = make_predictions(4000, noise=noise)
        return replace(said, probabilities=softmax(4 * np.log(said.probabilities)))

    found = fused(workspace, overconfident(1), overconfident(2))
    errors = {name: each["pooled"].ece.value for name, each in found.scores.items()}
    assert min(errors["table"], errors["network"]) > 0.05
    # Of 2000 cells in 15 bins chance alone makes .02.
    assert errors["both"] < 0.03


def test_out_of_fold_it_is_worth_what_it_is_worth_on_new_cells() -> None:
    table, network = (sides(make_predictions(600, noise=noise)) for noise in (1, 2))
    one, other = (fit_stack(table.train, network.train, seed=0) for _ in range(2))
    inputs = stack_inputs(table.test, network.test)
    assert (one.probabilities(inputs) == other.probabilities(inputs)).all()
    # Out of fold it is worth what it is worth on cells it has not seen.
    own = np.mean(one.out_of_fold.argmax(axis=1) == table.train.truth)
    new = np.mean(one.probabilities(inputs).argmax(axis=1) == table.test.truth)
    # 300 cells each: three deviations of a share of .85
    assert own == pytest.approx(new, abs=0.09)


def test_only_cells_that_both_know_count_whatever_their_order(workspace: Workspace) -> None:
    table, network = (make_predictions(400, noise=noise) for noise in (1, 2))
    shuffled = network.rows(np.random.default_rng(0).permutation(400)[:300])
    here = sides(table)
    there = RunPredictions(
        train=shuffled.rows(np.isin(shuffled.specimen_id, here.train.specimen_id)),
        test=shuffled.rows(np.isin(shuffled.specimen_id, here.test.specimen_id)),
    )
    found = fuse(workspace, FusionJob(table="a", network="b"), table=here, network=there)
    assert found.scores["both"]["pooled"].cells == len(there.test)
    said = read_predictions(found.folder / "predictions.csv")
    assert set(said.specimen_id.tolist()) == set(there.test.specimen_id.tolist())


def test_cells_that_one_trains_on_and_the_other_holds_out_are_refused(
    workspace: Workspace,
) -> None:
    table, network = sides(make_predictions(200)), sides(make_predictions(200))
    turned = RunPredictions(train=network.test, test=network.train)
    with pytest.raises(StsError, match="the network was trained on 100 cells that the other hold"):
        fuse(workspace, FusionJob(table="a", network="b"), table=table, network=turned)


def test_another_opinion_of_the_classes_is_refused() -> None:
    first = make_predictions(100)
    truth = first.truth.copy()
    truth[3] = (truth[3] + 1) % 4
    with pytest.raises(StsError, match=f"disagree on the class of 1 cells.*{first.specimen_id[3]}"):
        find_common_cells(first, replace(first, truth=truth), "held out")


def test_too_few_cells_of_a_class_are_refused() -> None:
    first = make_predictions(200)
    few = np.flatnonzero(first.truth == 1)[: STACK_FOLDS - 1]
    some = first.rows(np.sort(np.concatenate([np.flatnonzero(first.truth != 1), few])))
    with pytest.raises(StsError, match="4 cells of class Excitatory in common out of fold"):
        find_common_cells(first, some, "out of fold")


def test_cells_of_other_ids_have_nothing_in_common() -> None:
    first = make_predictions(50)
    other = replace(first, specimen_id=np.char.add(first.specimen_id, "x"))
    with pytest.raises(StsError, match="no cell of known class in common held out"):
        find_common_cells(first, other, "held out")


def test_a_run_without_what_its_folds_said_is_refused_before_training(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_own(workspace.data, make_table(CELLS))
    run = tmp_path / "run"
    run.mkdir()
    write_predictions(run / "predictions.csv", make_predictions(50))
    assert main(["--root", str(tmp_path), "--with-networks", str(run), "-q"]) == Status.USER
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "no out_of_fold.csv in" in line
    assert "name the run folder of a TRAIN of sts_pipeline.py" in line
    assert not (workspace.output / "baseline").exists()


def test_table_and_network_of_the_same_cells_join(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_world(CELLS)
    write_store(workspace.data / "sweeps.h5", store)
    table = replace(
        make_table(CELLS),
        **{name: getattr(store, name) for name in ("specimen_id", "donor_id", "label", "dataset")},
    )
    write_own(workspace.data, table)
    place = ("--root", str(tmp_path), "-q")
    network = ("--weights", "none", "--image-size", "32", "--epochs", "2", "--device", "cpu")
    assert sts_main(["1", "TRAIN", *place, *network, "--trials", "1", "--folds", "2"]) == 0
    (run,) = (workspace.output / "sts" / "ResNet18-NONE").glob("*")
    both = read_run_predictions(run)
    assert len(both.train) == CELLS - len(both.test)
    settings = tmp_path / "few.json"
    settings.write_text('{"n_estimators": 8, "min_child_samples": 3}')
    capsys.readouterr()
    more = ("--features", "shared", "--settings", str(settings), "--workers", "1")
    assert main([*place, *more, "--with-networks", str(run)]) == Status.DONE
    told = capsys.readouterr().out
    for name in ("table", "network"):
        assert f"gain in weighted F1 over the {name} alone" in told
    (folder,) = (workspace.output / "fusion" / "LightGBM-shared-and-ResNet18-NONE").glob("*")
    report = json.loads((folder / "report.json").read_text())
    assert report["holdout"]["scores"]["both"]["pooled"]["cells"] == len(both.test)
    for part in ("holdout", "cross_validation"):
        assert set(report[part]["gains"]) == {"table", "network"}
    page = (folder / "report.html").read_text()
    assert page.count("both minus network") == page.count("both minus table") == 2
    # Both trainings left a line when they opened it; the fusion reads what they have written.
    assert "is opened" not in (folder / "log.txt").read_text()
