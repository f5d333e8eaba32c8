"""The published networks: sizes, shapes for any length, phase shuffle, slopes of the penalty."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn import functional

from sts.base.errors import StsError
from sts.calcium.networks import (
    NetworkSettings,
    RepeatedFrames,
    SpikesEnding,
    decay_spikes,
    draw_fresh,
    draw_shifts,
    initialise,
    make_networks,
    pad_ends,
    phase_shuffle,
)
from sts.learning.training import count_parameters, gradient_penalty


def small(length: int = 64, **changed: object) -> NetworkSettings:
    sizes = {"neurons": 3, "units": (8, 6), "critic_units": (6, 8, 8), "kernel": 6, "shuffle": 2}
    return NetworkSettings(length=length, **{**sizes, **changed})  # type: ignore[arg-type]


OPTIONS: list[dict[str, object]] = [
    {"upsampling": "nearest"},
    {"frame_noise": True},
    {"ending": "spikes"},
    {"differences": True},
    {"upsampling": "nearest", "frame_noise": True, "ending": "spikes", "differences": True},
]


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_parameters_are_as_many_as_published() -> None:
    generator, critic = make_networks(NetworkSettings(neurons=102), seed=0)
    # 4.4 and 4.1 million are printed
    assert count_parameters(generator) == 4_375_740
    assert count_parameters(critic) == 4_110_273


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


@pytest.mark.parametrize("length", [32, 33, 97])
@pytest.mark.parametrize("kernel", [5, 6])
@pytest.mark.parametrize("options", OPTIONS)
def test_options_make_windows_of_any_length(
    options: dict[str, object], kernel: int, length: int
) -> None:
    sizes = small(length, kernel=kernel, **options)
    generator, critic = make_networks(sizes, seed=0)
    noise = torch.randn(4, sizes.noise, generator=random())
    windows = generator(noise, draw_fresh(sizes, 4, random(1)))
    assert windows.shape == (4, 3, length)
    assert critic(windows, draw_shifts(sizes, 4, random())).shape == (4,)
    assert torch.equal(windows, generator(noise, draw_fresh(sizes, 4, random(1))))


@pytest.mark.parametrize("options", OPTIONS)
def test_one_latent_makes_many_windows_only_with_noise_of_frames(
    options: dict[str, object],
) -> None:
    sizes = small(**options)
    generator, _ = make_networks(sizes, seed=0)
    noise = torch.randn(1, sizes.noise, generator=random()).expand(2, -1)
    first, second = generator(noise, draw_fresh(sizes, 2, random(1)))
    fresh = bool(sizes.frame_noise) or sizes.ending == "spikes"
    assert torch.equal(first, second) != fresh
    if fresh:
        with pytest.raises(ValueError, match="give the output of draw_fresh"):
            generator(noise)


def ripple(layer: nn.Module, channels: int) -> float:
    """Return how far even frames of what comes of a constant are from odd ones, ends left out."""
    with torch.no_grad():
        made = layer(torch.ones(1, channels, 40))[..., 12:-12]
    return float((made[..., ::2] - made[..., 1::2]).abs().max())


def test_repeated_frames_leave_no_ripple_and_transposed_convolutions_do() -> None:
    # torch draws weights from its global generator before they are drawn again
    with torch.random.fork_rng(devices=[]):
        repeated, transposed = RepeatedFrames(4, 3, 6), nn.ConvTranspose1d(4, 3, 6, 2, 2)
    initialise((repeated, transposed), random())
    assert ripple(repeated, 4) < 1e-6  # float32
    assert ripple(transposed, 4) > 0.1


@pytest.mark.parametrize("frames", [1, 2, 31, 64, 100])
def test_doubling_decays_as_a_filter_does(frames: int) -> None:
    spikes = torch.rand(2, 3, frames, generator=random())
    keep = torch.tensor([[0.0], [0.5], [0.99]])
    found = decay_spikes(spikes, keep).numpy()
    for neuron, g in enumerate((0.0, 0.5, 0.99)):
        expected = lfilter([1.0], [1.0, -g], spikes[:, neuron].numpy().astype(float))
        assert np.allclose(found[:, neuron], expected, rtol=1e-5)  # float32


def test_a_drive_above_its_threshold_is_a_spike_that_decays() -> None:
    with torch.random.fork_rng(devices=[]):
        ending = SpikesEnding(2, 4, 0.2)
    drive = torch.full((1, 2, 20), -9.0)
    silent = ending(drive, torch.zeros(1, 4), torch.zeros(1, 2, 20))
    drive[0, 1, 5] = 9.0
    with torch.no_grad():
        response = (ending(drive, torch.zeros(1, 4), torch.zeros(1, 2, 20)) - silent)[0]
    assert response[0].abs().max() < 1e-6  # float32
    assert response[1, :5].abs().max() < 1e-6
    # as initialised: 0.14 of the scale, 0.95 a frame
    assert response[1, 5:].numpy() == pytest.approx(0.14 * 0.95 ** np.arange(15), abs=1e-5)


def test_spikes_begin_with_what_the_traces_say() -> None:
    rng = np.random.default_rng(0)
    chances, amplitudes = np.array([0.03, 0.2]), np.array([0.1, 0.2])
    spikes = amplitudes[:, None] * (rng.random((2, 200_000)) < chances[:, None])
    traces = 0.2 + lfilter([1.0], [1.0, -0.9], spikes) + 0.03 * rng.standard_normal(spikes.shape)
    with torch.random.fork_rng(devices=[]):
        ending = SpikesEnding(2, 4, 0.2)
    ending.begin_from(torch.from_numpy(traces).float())
    begun = {
        name: value.detach().numpy().ravel() for name, value in ending.parameters_by_name().items()
    }
    # a spike of the first neuron is three deviations of the noise: moments tell it to some percent
    assert begun["keep"] == pytest.approx([0.9, 0.9], abs=0.01)
    assert begun["noise"] == pytest.approx([0.03, 0.03], rel=0.03)
    assert begun["amplitude"] == pytest.approx(amplitudes, rel=0.1)
    assert begun["baseline"] == pytest.approx([0.2, 0.2], abs=0.02)
    assert norm.sf(begun["threshold"]) == pytest.approx(chances, rel=0.2)


def test_a_critic_of_differences_alone_does_not_see_a_constant() -> None:
    sizes = small(40, differences=True)
    _, critic = make_networks(sizes, seed=0)
    x = torch.rand(3, 3, 40, generator=random())
    with torch.no_grad():
        assert not torch.allclose(critic(x), critic(x + 0.5))
        critic.layers[0].weight[:, : sizes.neurons] = 0
        assert torch.allclose(critic(x), critic(x + 0.5), atol=1e-5)  # float32


@pytest.mark.parametrize("length", [7, 8])
@pytest.mark.parametrize("kernel", [2, 3, 24])
def test_a_layer_halves_rounding_up(length: int, kernel: int) -> None:
    x = pad_ends(torch.zeros(1, 1, length), kernel)
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


def test_the_gradient_of_the_penalty_is_that_of_finite_differences() -> None:
    sizes = small(32)
    # the slope of a leaky ReLU jumps: small steps in float64 stay between the jumps
    _, critic = make_networks(sizes, seed=0)
    critic.double()
    real, fake = torch.rand(2, 4, 3, 32, generator=random(), dtype=torch.float64)

    def penalty() -> Tensor:
        shifts = draw_shifts(sizes, 4, random(1))

        def rate(windows: Tensor) -> Tensor:
            rated: Tensor = critic(windows.double(), shifts)
            return rated

        return gradient_penalty(rate, real, fake, random=random(2))

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
    still = torch.zeros_like(draw_shifts(sizes, 3, random()))
    assert torch.equal(critic(x), critic(x, still))


@pytest.mark.parametrize(
    "changed",
    [
        {"neurons": 1},
        {"kernel": 1},
        {"units": (0,)},
        {"shuffle": -1},
        {"upsampling": "linear"},
        {"ending": "relu"},
    ],
)
def test_sizes_that_make_no_network_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(StsError):
        small(**changed)  # type: ignore[arg-type]
