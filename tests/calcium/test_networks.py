"""The published networks: their sizes, shapes for any length, phase shuffle, and the penalty."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sts.base.errors import StsError
from sts.calcium.networks import (
    NetworkSettings,
    draw_shifts,
    padded,
    parameter_count,
    phase_shuffle,
)
from sts.calcium.rivals import gradient_penalty, make_networks


def small(length: int = 64, **changed: object) -> NetworkSettings:
    sizes = {"neurons": 3, "units": (8, 6), "critic_units": (6, 8, 8), "kernel": 6, "shuffle": 2}
    return NetworkSettings(length=length, **{**sizes, **changed})  # type: ignore[arg-type]


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_parameters_are_as_many_as_published() -> None:
    generator, critic = make_networks(NetworkSettings(neurons=102), seed=0)
    # 4.4 and 4.1 million are printed
    assert parameter_count(generator) == 4_375_740
    assert parameter_count(critic) == 4_110_273


@pytest.mark.parametrize("length", [32, 33, 50, 63, 97])
@pytest.mark.parametrize("kernel", [2, 5, 24])
def test_windows_of_any_length_are_made_and_judged(length: int, kernel: int) -> None:
    sizes = small(length, kernel=kernel)
    generator, critic = make_networks(sizes, seed=0)
    windows = generator(torch.randn(4, sizes.noise, generator=random()))
    assert windows.shape == (4, 3, length)
    assert windows.min() >= 0
    assert windows.max() <= 1
    assert critic(windows, draw_shifts(sizes, 4, random())).shape == (4,)


@pytest.mark.parametrize("length", [7, 8])
@pytest.mark.parametrize("kernel", [2, 3, 24])
def test_a_layer_halves_rounding_up(length: int, kernel: int) -> None:
    x = padded(torch.zeros(1, 1, length), kernel)
    found = functional.conv1d(x, torch.zeros(1, 1, kernel), stride=2)
    assert found.shape[-1] == math.ceil(length / 2)


def test_each_sample_is_shuffled_by_its_own_shift() -> None:
    x = torch.arange(6.0).expand(3, 2, 6)
    moved = phase_shuffle(x, torch.tensor([0, 2, -2]))
    assert moved[0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    # what is missing at the end is mirrored there
    assert moved[1, 0].tolist() == [2, 3, 4, 5, 4, 3]
    assert moved[2, 1].tolist() == [2, 1, 0, 1, 2, 3]


def test_a_shift_beyond_what_a_layer_can_mirror_is_cut() -> None:
    x = torch.arange(3.0).expand(2, 1, 3)
    assert phase_shuffle(x, torch.tensor([9, -9]))[:, 0].tolist() == [[2, 1, 0], [2, 1, 0]]
    assert phase_shuffle(x[..., :1], torch.tensor([9, 1])).shape == (2, 1, 1)


def test_shifts_differ_between_samples_and_layers_and_reach_both_ends() -> None:
    sizes = small(shuffle=2)
    shifts = draw_shifts(sizes, 200, random())
    # after all layers but the last
    assert shifts.shape == (2, 200)
    assert shifts.unique().tolist() == [-2, -1, 0, 1, 2]
    assert not torch.equal(shifts[0], shifts[1])


def test_no_shuffle_means_no_shifts() -> None:
    assert draw_shifts(small(shuffle=0), 5, random()).shape == (0, 5)


def test_the_penalty_of_a_linear_critic_is_known() -> None:
    """A critic w x has the gradient w everywhere: the penalty is (|w| - 1) squared."""
    weights = torch.tensor([[3.0, 0.0], [0.0, 4.0]])

    class Linear(nn.Module):
        def forward(self, x: Tensor, shifts: Tensor | None = None) -> Tensor:
            return (x * weights).sum(dim=(1, 2))

    real, fake = torch.rand(2, 5, 2, 2, generator=random())
    found = gradient_penalty(Linear(), real, fake, random=random())
    assert found.item() == pytest.approx((5 - 1) ** 2, abs=1e-5)  # float32


def test_the_gradient_of_the_penalty_is_that_of_finite_differences() -> None:
    sizes = small(32)
    # the slope of a leaky ReLU jumps: small steps in float64 stay between the jumps
    _, critic = make_networks(sizes, seed=0)
    critic.double()
    real, fake = torch.rand(2, 4, 3, 32, generator=random(), dtype=torch.float64)

    class Double(nn.Module):
        def forward(self, x: Tensor, shifts: Tensor | None = None) -> Tensor:
            judged: Tensor = critic(x.double(), shifts)
            return judged

    def penalty() -> Tensor:
        shifts = draw_shifts(sizes, 4, random(1))
        return gradient_penalty(Double(), real, fake, shifts=shifts, random=random(2))

    weight = critic.layers[1].weight
    (slope,) = torch.autograd.grad(penalty(), weight)
    step = 1e-3
    for place in ((0, 0, 0), (3, 2, 1), (7, 5, 5)):
        found = []
        for change in (step, -2 * step):
            with torch.no_grad():
                weight[place] += change
            found.append(penalty().item())
        with torch.no_grad():
            weight[place] += step
        above, below = found
        # the penalty itself is taken in float32: 1e-7 over a step of 2e-3
        assert slope[place].item() == pytest.approx((above - below) / (2 * step), abs=2e-3)


def test_the_penalty_reaches_every_layer_that_shapes_the_slope() -> None:
    sizes = small(32)
    _, critic = make_networks(sizes, seed=0)
    real, fake = torch.rand(2, 4, 3, 32, generator=random())
    gradient_penalty(critic, real, fake, random=random()).backward()  # type: ignore[no-untyped-call]
    for name, parameter in critic.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_weights_follow_from_the_seed_alone() -> None:
    same = [make_networks(small(), seed=3)[0].state_dict() for _ in range(2)]
    other = make_networks(small(), seed=4)[0].state_dict()
    for name, value in same[0].items():
        assert torch.equal(value, same[1][name])
    assert not torch.equal(same[0]["begin.weight"], other["begin.weight"])


def test_a_critic_without_shifts_does_not_move() -> None:
    sizes = small(40)
    _, critic = make_networks(sizes, seed=0)
    x = torch.rand(3, 3, 40, generator=random())
    still = torch.zeros(sizes.shuffled_layers, 3, dtype=torch.int64)
    assert torch.equal(critic(x), critic(x, still))


@pytest.mark.parametrize(
    "changed", [{"neurons": 1}, {"kernel": 1}, {"units": (0,)}, {"shuffle": -1}]
)
def test_sizes_that_make_no_network_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(StsError):
        small(**changed)  # type: ignore[arg-type]
