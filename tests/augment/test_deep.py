"""The training loop stops where held-out rows say so and never learns from them."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sts.augment.deep import Batch, HeldOutScore, Network, hold_out_rows, train_network
from sts.augment.settings import LoopSettings
from sts.base.types import Ints
from sts.learning.training import TrainingProgress


class Mean(Network):
    """Knows one number, which it takes for the mean of all rows."""

    def __init__(self, turn: float = math.inf) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1))
        self.turn = turn

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return the number for every row."""
        return self.mean.expand(len(classes), 1)

    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return how far the number is from where held-out rows would have it."""
        return (self.mean - self.turn).abs().sum()


class Counting:
    """Adds one at every step and remembers what it was shown."""

    def __init__(self, network: Mean, by: float = 1.0) -> None:
        self.network, self.by = network, by
        self.seen: list[Tensor] = []
        self.done: list[float] = []

    def step(self, batch: Batch, generator: torch.Generator, *, done: float) -> None:
        """Add one."""
        self.seen.append(batch.scores[:, 0])
        self.done.append(done)
        with torch.no_grad():
            self.network.mean += self.by


def run(
    network: Mean, learner: Counting, classes: Ints, **values: Any
) -> TrainingProgress[HeldOutScore]:
    # A moving average that forgets at once lets the numbers be counted.
    settings = {"steps": 100, "batch": 8, "average": 0.0, "check_every": 1, "patience": 5}
    loop = LoopSettings(**(settings | values))
    rows = np.arange(len(classes), dtype=np.float64)[:, None]
    return train_network(network, learner, rows, classes, loop=loop, rng=np.random.default_rng(1))


CLASSES = np.repeat([0, 1, 2], [60, 30, 5])


def test_the_best_check_is_gone_back_to_after_as_many_worse_ones_as_patience_allows() -> None:
    network = Mean(turn=20.0)
    learner = Counting(network)
    progress = run(network, learner, CLASSES)
    assert progress.best is not None
    assert progress.best.steps == 20
    assert network.mean.item() == 20.0
    assert len(learner.seen) == 25
    assert not network.training


def test_held_out_rows_are_never_learned_from() -> None:
    network = Mean(turn=1e4)
    learner = Counting(network)
    run(network, learner, CLASSES, held_out=0.2)
    seen = set(torch.cat(learner.seen).int().tolist())
    _, judged = hold_out_rows(CLASSES, 0.2, np.random.default_rng(1))
    assert len(judged) == 12 + 6 + 1
    assert not seen & set(judged.tolist())
    # 800 draws from 76 rows.
    assert len(seen) > 70


def test_a_class_too_rare_for_a_part_keeps_all_its_rows() -> None:
    trained, judged = hold_out_rows(np.array([0] * 10 + [1] * 4), 0.1, np.random.default_rng(1))
    assert len(judged) == 1
    assert set(range(10, 14)) <= set(trained.tolist())


def test_all_steps_are_run_where_no_row_can_be_spared() -> None:
    network = Mean()
    progress = run(network, Counting(network), np.arange(6))
    assert progress.best is None
    assert network.mean.item() == 100.0


def test_classes_are_met_equally_often_when_balanced_and_as_they_are_when_not() -> None:
    shares = []
    for balance in (0.0, 0.999):
        network = Mean()
        learner = Counting(network)
        run(network, learner, CLASSES, balance=balance, held_out=0.0)
        shares.append(float((torch.cat(learner.seen) < 60).float().mean()))
    # 800 draws: a standard error of .017.
    assert shares == pytest.approx([60 / 95, 1 / 3], abs=0.06)


def test_the_running_mean_lags_behind_the_weights() -> None:
    network = Mean()
    run(network, Counting(network), np.arange(6), average=0.9)
    # Of a number that grows by one a step, a mean over ten steps is nine behind.
    assert network.mean.item() == pytest.approx(91.0, abs=0.5)


def test_a_score_that_never_is_a_number_is_an_error() -> None:
    network = Mean(turn=math.nan)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        run(network, Counting(network), CLASSES)


def test_learners_are_told_how_much_is_done() -> None:
    network = Mean(turn=1e9)
    learner = Counting(network)
    run(network, learner, CLASSES, steps=4)
    assert learner.done == [0.25, 0.5, 0.75, 1.0]
