"""Progress and files of trainings, the penalty on slopes, and moving averages."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from sts.base.errors import StsError
from sts.learning.device import draw_from_seed
from sts.learning.training import (
    MovingAverage,
    TrainingFile,
    TrainingProgress,
    TrainingState,
    gradient_penalty,
    make_key,
)


@dataclass(frozen=True, kw_only=True)
class Record:
    score: float


def make_state(fused: bool = False) -> TrainingState:
    with draw_from_seed(3):
        network = nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1, fused=fused)
    return TrainingState(networks={"only": network}, optimisers={"only": optimiser})


def step(state: TrainingState) -> None:
    """Move the weights so that a small image gives nothing."""
    network, optimiser = state.networks["only"], state.optimisers["only"]
    optimiser.zero_grad()
    network(torch.arange(18.0).view(1, 2, 3, 3)).square().mean().backward()
    optimiser.step()


def advance(
    state: TrainingState, done: TrainingProgress[Record], scores: list[float]
) -> TrainingProgress[Record]:
    for score in scores:
        step(state)
        better = done.is_better(score)
        done = done.add(
            Record(score=score), better=better, score=score, network=state.networks["only"]
        )
    return done


def open_file(path: Path | None, key: str = "k", every_s: float = 0.0) -> TrainingFile[Record]:
    return TrainingFile(path, key, Record, every_s=every_s)


def test_the_best_record_and_its_weights_are_kept() -> None:
    state = make_state()
    done = advance(state, TrainingProgress(), [3.0, math.nan, 1.0])
    best = {name: value.clone() for name, value in state.networks["only"].state_dict().items()}
    done = advance(state, done, [2.0, 1.0])
    assert done.best == Record(score=1.0)
    assert (done.best_record, done.best_score, done.since_best) == (3, 1.0, 2)
    assert all(torch.equal(done.best_state[name], value) for name, value in best.items())


def test_a_gain_is_asked_of_a_better_score() -> None:
    done = TrainingProgress[Record]().add(Record(score=1.0), better=True, score=1.0)
    assert not done.is_better(0.95, gain=0.05)
    assert done.is_better(0.949, gain=0.05)
    assert TrainingProgress[Record]().best is None
    assert not TrainingProgress[Record]().is_better(math.inf)


@pytest.mark.parametrize("fused", [False, True])
def test_a_training_goes_on_from_its_file_to_the_same_weights(tmp_path: Path, fused: bool) -> None:
    path = tmp_path / "training.safetensors"
    state = make_state(fused)
    done = advance(state, TrainingProgress(), [3.0, 1.0, 2.0])
    open_file(path).keep(state, done)
    whole = advance(state, done, [0.5])
    again = make_state(fused)
    found = open_file(path).restore(again)
    assert (found.records, found.best_record, found.best_score) == (done.records, 2, 1.0)
    assert found.best_state.keys() == done.best_state.keys()
    assert all(torch.equal(found.best_state[n], value) for n, value in done.best_state.items())
    moments = again.optimisers["only"].state[next(again.networks["only"].parameters())]["exp_avg"]
    assert moments.is_contiguous(memory_format=torch.channels_last)
    ended = advance(again, found, [0.5])
    assert all(torch.equal(ended.best_state[n], value) for n, value in whole.best_state.items())


def test_a_training_without_a_score_goes_on(tmp_path: Path) -> None:
    path, state = tmp_path / "training.safetensors", make_state()
    done = TrainingProgress(steps=1).add(Record(score=0.0), better=True)
    open_file(path).keep(state, done)
    found = open_file(path).restore(make_state())
    assert (found.steps, found.best_record, found.best_score) == (1, 1, math.inf)
    assert found.best_state == {}


def test_a_file_is_written_no_more_often_than_asked_for(tmp_path: Path) -> None:
    path, state = tmp_path / "training.safetensors", make_state()
    open_file(path, every_s=60.0).keep(state, TrainingProgress())
    open_file(None).keep(state, TrainingProgress())
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_another_training_is_left_alone(tmp_path: Path) -> None:
    path, state = tmp_path / "training.safetensors", make_state()
    open_file(path, "other").keep(state, TrainingProgress(steps=7))
    assert open_file(path).restore(state).steps == 0
    assert open_file(path, "other").restore(state).steps == 7


def damage_header(path: Path) -> None:
    header = json.dumps({"key": "k", "steps": 1})
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata={"progress": header})


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize("damage", [damage_header, cut_off])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path, state = tmp_path / "training.safetensors", make_state()
    open_file(path).keep(state, TrainingProgress())
    damage(path)
    with pytest.raises(StsError, match="is damaged: remove it"):
        open_file(path).restore(state)


def test_a_key_changes_with_settings_and_with_every_number() -> None:
    rows = np.arange(3)
    keys = [
        make_key(Record(score=1.0), rows),
        make_key(Record(score=2.0), rows),
        make_key(Record(score=1.0), rows[::-1]),
        make_key(Record(score=1.0), rows.astype(float)),
        make_key(Record(score=1.0), rows[None]),
    ]
    assert len(set(keys)) == len(keys)
    assert make_key(Record(score=1.0), np.arange(3)) == keys[0]


def random() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def make_critic() -> nn.Module:
    with draw_from_seed(1):
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))


def test_the_penalty_of_a_linear_critic_is_its_squared_distance_from_slope_one() -> None:
    weights = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    real, fake = torch.randn((2, 5, 2, 2), generator=random())
    found = gradient_penalty(lambda x: (x * weights).sum(dim=(1, 2)), real, fake, random=random())
    # A slope of 5 everywhere.
    assert float(found) == pytest.approx((5 - 1) ** 2)


def test_slopes_are_taken_on_the_line_between_real_and_fake_samples() -> None:
    real, fake = torch.zeros(5, 1), torch.ones(5, 1)
    # Half the square has the slope of the place itself, which is the generator's own number.
    place = 1 - torch.rand(5, generator=random())
    wanted = (place - 1).square().mean()
    found = gradient_penalty(lambda x: x[:, 0].square() / 2, real, fake, random=random())
    torch.testing.assert_close(found, wanted)


def test_each_sample_counts_with_its_own_slope() -> None:
    slopes, samples = torch.tensor([1.0, 3.0, 3.0, 1.0, 3.0]), torch.zeros(5, 1)
    found = gradient_penalty(lambda x: x[:, 0] * slopes, samples, samples, random=random())
    # Three of five have slope 3: 3/5 x (3 - 1)^2.
    assert float(found) == pytest.approx(12 / 5)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_the_penalty_is_computed_in_float32_whatever_comes(kind: torch.dtype) -> None:
    critic, seen = make_critic(), []
    # Numbers that bfloat16 knows exactly.
    real, fake = torch.arange(60.0).reshape(2, 5, 2, 3) / 8
    plain = gradient_penalty(critic, real, fake, random=random())

    def watched(samples: Tensor) -> Tensor:
        rated: Tensor = critic(samples)
        seen.append((samples.dtype, rated.dtype))
        return rated

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradient_penalty(watched, real.to(kind), fake.to(kind), random=random())
    assert seen == [(torch.float32, torch.float32)]
    assert torch.equal(found, plain)


def test_a_critic_learns_from_the_penalty() -> None:
    critic = make_critic()
    real, fake = torch.randn((2, 5, 2, 3), generator=random())
    gradient_penalty(critic, real, fake, random=random()).backward()  # type: ignore[no-untyped-call]
    assert critic.get_parameter("1.weight").grad.abs().sum() > 0  # type: ignore[union-attr]


def test_an_average_moves_the_part_of_the_way_that_its_decay_leaves() -> None:
    network = nn.BatchNorm1d(2)
    moving = MovingAverage(network)
    average = moving.network
    assert not average.training
    assert not any(each.requires_grad for each in average.parameters())
    with torch.no_grad():
        network.weight += 10
    network.running_mean += 4  # type: ignore[operator]
    network.num_batches_tracked += 5  # type: ignore[operator]
    moving.follow(0.75)
    assert average.weight.tolist() == [3.5, 3.5]
    assert average.running_mean.tolist() == [1.0, 1.0]  # type: ignore[union-attr, operator]
    # What is counted is no weight.
    assert int(average.num_batches_tracked) == 0  # type: ignore[arg-type]
