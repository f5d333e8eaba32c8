"""The penalty on a critic's slope is as defined, in float32; an average follows its network."""

import pytest
import torch
from torch import Tensor, nn

from sts.learning.device import draw_from_seed
from sts.learning.updates import MovingAverage, gradient_penalty


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
