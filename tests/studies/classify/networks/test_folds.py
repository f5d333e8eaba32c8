"""Folds of networks that are trained side by side."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sts.base.errors import StsError
from sts.datasets.store import write_store
from sts.networks.backbones import Architecture
from sts.search.trials import FoldScore
from sts.studies.classify.networks import training
from sts.studies.classify.networks.folds import FoldProcesses
from sts.studies.classify.networks.training import (
    make_network_job,
    prepare_network,
)
from tests.networks.worlds import make_world


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def score_slowly(folder: Path, settings: dict[str, Any], fold: int) -> FoldScore:
    """Write down the beginning; the first setting's second fold fails, the second's has no end."""
    name = f"{settings['a']}-{fold}"
    (folder / name).write_text(str(os.getpid()))
    if name == "1-1":
        raise FloatingPointError("diverged")
    if name == "2-1":
        (folder / "begun").touch()
        time.sleep(600)
    while name == "2-0" and not (folder / "begun").exists():
        time.sleep(0.05)
    return FoldScore(settings["a"] + fold / 10)


def test_folds_are_scored_in_processes_and_those_of_a_pruned_trial_are_ended(
    tmp_path: Path,
) -> None:
    with closing(FoldProcesses(partial(score_slowly, tmp_path), 2, workers=2)) as score:
        assert score({"a": 1}, 0).value == 1.0
        with pytest.raises(FloatingPointError, match="diverged"):
            score({"a": 1}, 1)
        assert score({"a": 2}, 0).value == 2.0
        # The third trial goes on with its second fold.
        assert score({"a": 3}, 1).value == pytest.approx(3.1)
        assert score({"a": 4}, 0).value == 4.0
    assert not (tmp_path / "3-0").exists()
    assert str(os.getpid()) not in {
        path.read_text() for path in tmp_path.iterdir() if path.name != "begun"
    }


def end_elsewhere(parent: int, settings: dict[str, Any], fold: int) -> FoldScore:
    """Score in the process that searches; end any other."""
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return FoldScore(fold / 10)


def test_a_process_that_dies_does_not_end_the_search(caplog: pytest.LogCaptureFixture) -> None:
    with closing(FoldProcesses(partial(end_elsewhere, os.getpid()), 2, workers=2)) as score:
        assert [score({}, fold).value for fold in range(2)] == [0.0, 0.1]
    (record,) = caplog.records
    assert "the folds are trained one after the other" in record.message


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
    write_store(tmp_path / "sweeps.h5", make_world(60))
    architecture = Architecture(number=1, weights="none")
    job = make_network_job(
        architecture, group_by="donor", seed=0, image_size=size, folds=2, epochs=epochs
    )
    experiment = prepare_network(job, data=tmp_path, device="cpu")
    values = {"dropout": 0.0}
    with experiment.scoring() as score:
        assert isinstance(score, FoldProcesses) == parallel
        if parallel:
            found = [score(values, fold) for fold in range(2)]
            torch.set_num_threads(1)
            for fold, one in enumerate(found):
                alone = experiment.score(values, fold)
                assert one.value == alone.value
                np.testing.assert_array_equal(one.extras["logits"], alone.extras["logits"])


def test_cells_that_changed_during_a_search_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LEAST_IMAGES", 32)
    write_store(tmp_path / "sweeps.h5", make_world(60))
    job = make_network_job(
        Architecture(number=1, weights="none"),
        group_by="donor",
        seed=0,
        image_size=(32, 32),
        folds=2,
        epochs=2,
    )
    experiment = prepare_network(job, data=tmp_path, device="cpu")
    louder = make_world(60)
    louder.traces[:] += 1
    write_store(tmp_path / "sweeps.h5", louder)
    with (
        experiment.scoring() as score,
        pytest.raises(StsError, match="have changed since the search began"),
    ):
        score({"dropout": 0.0}, 0)
