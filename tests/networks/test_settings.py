"""Settings that may be trained with, learning rates and batches."""

import numpy as np
import pytest
import torch

from sts.base.errors import StsError
from sts.base.settings import from_dict, to_dict
from sts.networks.settings import (
    SPACE,
    TrainSettings,
    cut_batches,
    epoch_batches,
    learning_rate,
    momentum,
)


def test_settings_survive_the_way_to_paper_and_back() -> None:
    settings = TrainSettings(batch=64, factor=0.1, schedule="one_cycle")
    assert from_dict(TrainSettings, to_dict(settings)) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", 1),
        ("learning_rate", 0.0),
        ("factor", 0.0),
        ("factor", 2.0),
        ("every", 0),
        ("patience", 0),
        ("dropout", 1.0),
        ("epochs", 0),
        ("schedule", "linear"),
        ("seed", -1),
    ],
)
def test_what_cannot_be_trained_with_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(StsError, match=rf"^{name} must be .*{value}"):
        TrainSettings(**{name: value})  # type: ignore[arg-type]


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(StsError, match=r"unknown precision 'float16': did you mean 'bfloat16'"):
        TrainSettings(precision="float16")  # type: ignore[arg-type]


def test_both_ends_of_the_published_space_can_be_trained_with() -> None:
    for pick in (0, -1):
        ends = {
            name: values[0][pick] if kind == "choice" else values[:2][pick]
            for name, (kind, *values) in SPACE.items()
        }
        assert TrainSettings(**ends)


def test_a_step_multiplies_the_rate_every_so_many_epochs() -> None:
    settings = TrainSettings(learning_rate=0.01, factor=0.1, every=5)
    rates = [learning_rate(settings, epoch, 0.5) for epoch in range(11)]
    # Products of powers of ten: exact to float64's rounding.
    assert rates == pytest.approx([1e-2] * 5 + [1e-3] * 5 + [1e-4], rel=1e-12)


def test_factor_one_leaves_the_rate_alone() -> None:
    settings = TrainSettings(learning_rate=0.01, factor=1.0, every=5)
    assert learning_rate(settings, 99, 0.0) == 0.01


def test_one_cycle_is_torchs_one_cycle() -> None:
    settings = TrainSettings(learning_rate=0.01, schedule="one_cycle", epochs=10)
    steps = 20
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=0.01)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=10 * steps + 1, pct_start=0.3
    )
    for step in range(10 * steps):
        epoch, within = divmod(step, steps)
        group = optimizer.param_groups[0]
        # Torch places the peak one step early: a step is 1.7 % of the rise.
        assert learning_rate(settings, epoch, within / steps) == pytest.approx(
            group["lr"], abs=0.01 * 0.03
        )
        assert momentum(settings, epoch, within / steps) == pytest.approx(
            group["betas"][0], abs=0.1 * 0.03
        )
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("cells", [2, 7, 8, 9, 16, 17])
def test_every_cell_is_in_one_batch_and_none_is_alone(cells: int) -> None:
    rows = np.arange(100, 100 + cells)
    batches = epoch_batches(rows, TrainSettings(batch=8), 0)
    assert sorted(np.concatenate(batches)) == rows.tolist()
    assert min(map(len, batches)) >= 2
    assert max(map(len, batches)) <= 9


def test_every_epoch_has_an_order_of_its_own_that_a_seed_decides() -> None:
    rows = np.arange(50)
    orders = {
        (seed, epoch): tuple(
            np.concatenate(epoch_batches(rows, TrainSettings(seed=seed), epoch)).tolist()
        )
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4
    again = np.concatenate(epoch_batches(rows, TrainSettings(seed=1), 1))
    assert orders[1, 1] == tuple(again.tolist())


def test_one_cell_cannot_be_trained_on() -> None:
    with pytest.raises(StsError, match="at least 2 cells, not 1"):
        epoch_batches(np.arange(1), TrainSettings(), 0)


def test_batches_in_order_keep_it() -> None:
    assert [batch.tolist() for batch in cut_batches([4, 2, 9], 2)] == [[4, 2], [9]]
