"""The comparison of networks trains all arms on the same cells; its pretraining needs no labels."""

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from sts.base.errors import StsError
from sts.networks.backbones import Architecture, make_network
from tests.conftest import REPOSITORY
from tests.networks.worlds import make_world


@pytest.fixture
def unlabelled(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import unlabelled

    return unlabelled


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module("network_inputs")


def test_finished_arms_of_other_cells_or_weights_are_refused(
    inputs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = importlib.import_module("network_arms")
    cells = arms.SimulatedSet(
        traces=np.zeros((12, 2, 5), dtype=np.float32),
        features=np.arange(24.0).reshape(12, 2),
        labels=np.arange(12) % 4,
        scored=np.arange(8, 12),
    )
    trained: list[str] = []

    def run_arm(run: Any) -> dict[str, Any]:
        trained.append(run.name)
        key = {"arm": run.name, "cells": run.size, "seed": run.seed}
        return {**key, **run.key, "accuracy": 1.0, "seconds": 1.0, "predictions": "0123"}

    monkeypatch.setattr(inputs, "run_arm", run_arm)
    weights = tmp_path / "weights"
    weights.write_bytes(b"1")
    words = ["--sizes", "300", "--seeds", "1", "--out", str(tmp_path / "results.json")]
    words += ["--arms", "features", "resnet-imagenet", "--imagenet", "1", str(weights)]

    def compare(features: Any = cells.features, scored: float = 0.0) -> None:
        trained.clear()
        traces = cells.traces + scored
        changed = replace(cells, features=features, traces=traces)
        monkeypatch.setattr(inputs, "ensure_cells", lambda *_: changed)
        assert inputs.main(words) == 0

    compare()
    assert trained == ["features", "resnet-imagenet"]
    compare()
    assert trained == []
    with pytest.raises(StsError, match="features with 300 cells and seed 0 is of other cells or"):
        compare(features=cells.features + 1)
    with pytest.raises(StsError, match="was made with other scored cells: give another --out"):
        compare(scored=1.0)
    weights.write_bytes(b"2")
    with pytest.raises(StsError, match="resnet-imagenet with 300 cells and seed 0 is of other"):
        compare()
    assert trained == []


def test_views_that_agree_vary_and_are_not_correlated_cost_nothing(unlabelled: ModuleType) -> None:
    view = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert unlabelled.measure_loss(view, view) == 0
    assert unlabelled.measure_loss(view, -view) > 0
    # Two views that say nothing agree, too; neither do two that say the same thing twice.
    assert unlabelled.measure_loss(0 * view, 0 * view) > 0
    twice = view[:, :1].expand(4, 2)
    assert unlabelled.measure_loss(twice, twice) > 0


def test_changed_sweeps_are_other_sweeps_of_the_same_cell(unlabelled: ModuleType) -> None:
    sweeps = make_world(4).traces
    changed = [unlabelled.change_sweeps(each, np.random.default_rng(0)) for each in sweeps]
    for at, one in enumerate(changed):
        # Of sorted voltages: a shift in time does not count.
        distances = [np.abs(np.sort(one) - np.sort(other)).mean() for other in sweeps]
        assert np.argmin(distances) == at
        assert distances[at] > 0


def test_a_pretrained_network_is_one_to_begin_with(
    unlabelled: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unlabelled, "PRETRAINING_EPOCHS", 1)
    monkeypatch.setattr(unlabelled, "BATCH", 4)
    path = unlabelled.ensure_pretrained(tmp_path, make_world(8).traces)
    written = path.stat().st_mtime_ns
    assert unlabelled.ensure_pretrained(tmp_path, make_world(8).traces) == path
    assert path.stat().st_mtime_ns == written
    assert unlabelled.ensure_pretrained(tmp_path, make_world(9).traces[1:]) != path
    begun = make_network(Architecture(number=5, weights=str(path))).state_dict()
    random = make_network(Architecture(number=5, weights="none"), seed=unlabelled.SEED).state_dict()
    moved = {name for name in begun if not torch.equal(begun[name], random[name])}
    bodies = {name for name in begun if not name.startswith("head.")}
    # The bias of the attention changes no share of time: its gradient is 0.
    assert bodies - moved <= {"attention.bias"}
