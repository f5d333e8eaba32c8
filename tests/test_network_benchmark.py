"""The comparison of networks trains all arms on the same cells; its pretraining needs no labels."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from sts.networks.backbones import Architecture, make_network
from tests.conftest import REPOSITORY
from tests.networks.worlds import make_world


@pytest.fixture
def unlabelled(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import unlabelled

    return unlabelled


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
    begun = make_network(Architecture(number=5, weights=str(path))).state_dict()
    random = make_network(Architecture(number=5, weights="none"), seed=unlabelled.SEED).state_dict()
    moved = {name for name in begun if not torch.equal(begun[name], random[name])}
    bodies = {name for name in begun if not name.startswith("head.")}
    # The bias of the attention changes no share of time: its gradient is 0.
    assert bodies - moved <= {"attention.bias"}
