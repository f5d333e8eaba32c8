"""Generator and critic (Li et al., 2020), convolutions over windows of traces, and sampling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sts.base.errors import StsError, one_of
from sts.base.settings import Bounds, check_fields
from sts.base.types import Floats

Upsampling = Literal["transposed", "nearest"]
Ending = Literal["sigmoid", "spikes"]
Width = Annotated[int, Bounds(1, 8192)]

# Stride of the convolutions, and slope of the leaky ReLUs below 0.
STRIDE: Final = 2
LEAKY_SLOPE: Final = 0.2
# Each layer halves the frames, and a window has at most 2**20 frames.
MAX_LAYERS: Final = 20
# Number of windows that are generated at once.
GENERATED_AT_ONCE: Final = 64

# Slope of the sigmoid from drive to spikes; a steeper sigmoid does not improve training.
STEEPNESS: Final = 30.0
# Initial values, typical of a recording at 24 Hz that is scaled to 0..1.
INITIAL_DECAY: Final = 0.95
AMPLITUDE: Final = 0.14
INITIAL_BASELINE: Final = 0.1
NOISE: Final = 0.05
THRESHOLD: Final = 1.4
# Ranges of the first estimates of decay and of the probability of a spike in a frame.
KEEPS: Final = (0.3, 0.995)
CHANCES: Final = (0.001, 0.4)
# Smallest variance of an estimate.
FAINTEST: Final = 1e-6
# Scale of these parameters: Adam moves all parameters by equal steps, and these have good initial
# values, so they should move less than weights.
SPEED: Final = 0.1
# Units of the layer that computes the initial calcium.
_HIDDEN: Final = 64


class SpikesEnding(nn.Module):
    """Drive (B, neurons, W) -> traces: spikes where it is above a threshold, decay and noise.

    Threshold, decay, amplitude, baseline and noise are learned for each neuron.
    """

    def __init__(self, neurons: int, noise: int, slope: float) -> None:
        super().__init__()

        def make(value: float) -> nn.Parameter:
            return nn.Parameter(torch.full((neurons, 1), value / SPEED))

        self.threshold, self.decay = (
            make(THRESHOLD),
            make(math.log(INITIAL_DECAY / (1 - INITIAL_DECAY))),
        )
        self.amplitude, self.baseline = make(math.log(AMPLITUDE)), make(INITIAL_BASELINE)
        self.noise = make(math.log(NOISE))
        self.start = nn.Sequential(
            nn.Linear(noise, _HIDDEN), nn.LeakyReLU(slope), nn.Linear(_HIDDEN, neurons)
        )

    def forward(self, drive: Tensor, noise: Tensor, fresh: Tensor) -> Tensor:
        """Return traces in about 0..1.

        Parameters
        ----------
        noise
            (B, noise) from which the window is generated; here it sets the initial calcium.
        fresh
            (B, neurons, W) standard normal.
        """
        known = self.parameters_by_name()
        spikes = torch.sigmoid(STEEPNESS * (drive.float() - known["threshold"]))
        before = functional.softplus(self.start(noise).float())[..., None]
        spikes = spikes + functional.pad(before, (0, spikes.shape[-1] - 1))
        calcium = decay_spikes(spikes, known["keep"])
        return known["baseline"] + known["amplitude"] * calcium + known["noise"] * fresh

    def begin_from(self, traces: Tensor) -> None:
        """Estimate decay, noise, amplitude, rate and baseline of each neuron from traces.

        Decay and noise follow from the autocovariances of the traces; number and size of the
        spikes follow from the variance and the third moment of the residuals of the decay.

        Parameters
        ----------
        traces
            (neurons, frames) of the training stretch in 0..1.
        """
        centred = (traces - traces.mean(dim=1, keepdim=True)).double()
        keep = (_lagged(centred, 2) / _lagged(centred, 1)).nan_to_num(INITIAL_DECAY).clamp(*KEEPS)
        left = centred[:, 1:] - keep * centred[:, :-1]
        noise = (-_lagged(left, 1) / keep).clamp_min(FAINTEST)
        variance = (_lagged(left, 0) - noise * (1 + keep**2)).clamp_min(FAINTEST)
        third = (left**3).mean(dim=1, keepdim=True).clamp_min(FAINTEST**1.5)
        # Spikes of size a and chance p: variance a^2 p (1 - p), third over variance a (1 - 2 p).
        skew = third / variance
        amplitude = (4 * variance + skew**2).sqrt()
        chance = ((1 - skew / amplitude) / 2).clamp(*CHANCES)
        amplitude = (variance / chance / (1 - chance)).sqrt()
        baseline = traces.mean(dim=1, keepdim=True) - amplitude * chance / (1 - keep)
        with torch.no_grad():
            self.decay.copy_(torch.logit(keep) / SPEED)
            self.noise.copy_(noise.log() / 2 / SPEED)
            self.amplitude.copy_(amplitude.log() / SPEED)
            self.threshold.copy_(-torch.special.ndtri(chance) / SPEED)
            self.baseline.copy_(baseline / SPEED)

    def parameters_by_name(self) -> dict[str, Tensor]:
        """Return the parameters of each neuron, (neurons, 1), for traces in 0..1."""
        return {
            "threshold": SPEED * self.threshold,
            "keep": torch.sigmoid(SPEED * self.decay),
            "amplitude": torch.exp(SPEED * self.amplitude),
            "baseline": SPEED * self.baseline,
            "noise": torch.exp(SPEED * self.noise),
        }


def decay_spikes(spikes: Tensor, keep: Tensor) -> Tensor:
    """Return c(t) = keep c(t-1) + spikes(t) for spikes (..., W), without a loop over frames."""
    shift = 1
    while shift < spikes.shape[-1]:
        # 1 / (1 - keep L) is the product of all (1 + (keep L)^(2^k)), where L delays by a frame.
        spikes = spikes + keep * functional.pad(spikes[..., :-shift], (shift, 0))
        keep = keep * keep
        shift *= 2
    return spikes


def _lagged(centred: Tensor, lag: int) -> Tensor:
    """Return the autocovariance of traces (neurons, frames) at a lag, (neurons, 1)."""
    frames = centred.shape[1] - lag
    return (centred[:, :frames] * centred[:, lag:]).mean(dim=1, keepdim=True)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Sizes and options of both networks; defaults as published."""

    neurons: Annotated[int, Bounds(2, 100_000)]
    length: Annotated[int, Bounds(1, 2**20)] = 2048
    noise: Annotated[int, Bounds(1, 4096)] = 32
    """Dimension of the noise from which a window is generated."""
    kernel: Annotated[int, Bounds(STRIDE, 4096)] = 24
    units: tuple[Width, ...] = (320, 256, 192, 128)
    """Filters of the generator, except those of its last layer, which has one for each neuron."""
    critic_units: tuple[Width, ...] = (64, 128, 192, 256, 320)
    shuffle: Annotated[int, Bounds(0, 10_000)] = 10
    """Largest shift of phase shuffle in frames; 0 turns it off."""
    upsampling: Upsampling = "transposed"
    """How the generator doubles frames; `nearest` repeats them and convolves, without ripples."""
    frame_noise: bool = False
    """Every layer of the generator also gets fresh noise for each frame."""
    ending: Ending = "sigmoid"
    """The end of the generator; `spikes` makes spikes that decay, and adds noise."""
    differences: bool = False
    """The critic also gets the differences between frames, in which spikes are clear."""

    def __post_init__(self) -> None:
        """Raise an error for impossible sizes."""
        one_of(self.upsampling, get_args(Upsampling), "upsampling")
        one_of(self.ending, get_args(Ending), "ending")
        check_fields(self)
        if max(len(self.units), len(self.critic_units)) > MAX_LAYERS:
            raise StsError(f"a network of more than {MAX_LAYERS} layers is too deep to be trained")

    @property
    def first_length(self) -> int:
        """Return the initial frames of the generator; surplus frames are cut off at its end."""
        return math.ceil(self.length / float(STRIDE) ** (len(self.units) + 1))

    @property
    def fresh_shapes(self) -> tuple[tuple[int, int], ...]:
        """Return channels and frames of all fresh noise of a window, in order of use."""
        last = (self.neurons, self.length)
        shapes: list[tuple[int, int]] = []
        if self.frame_noise:
            frames = self.first_length
            for channels in (*self.units, self.neurons):
                frames *= STRIDE
                shapes.append((channels, frames))
            shapes.append(last)
        return tuple(shapes) + ((last,) if self.ending == "spikes" else ())


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, W)."""
        return torch.transpose(self.norm(x.transpose(1, 2)), 1, 2)


class RepeatedFrames(nn.Module):
    """Doubles frames by repeating each, then convolves: all frames have the same weights."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel)
        self.ends = ((kernel - 1) // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, after, 2 W)."""
        doubled = x.repeat_interleave(STRIDE, dim=-1)
        convolved: Tensor = self.conv(functional.pad(doubled, self.ends))
        return convolved


def make_doubling(before: int, after: int, kernel: int, *, repeat: bool) -> nn.Module:
    """Return a layer that doubles frames: by repeating them, or by a transposed convolution."""
    if repeat:
        return RepeatedFrames(before, after, kernel)
    # Even kernels are centred between two frames, odd ones on a frame.
    odd = kernel % 2
    padding = (kernel - STRIDE + odd) // 2
    return nn.ConvTranspose1d(before, after, kernel, STRIDE, padding, output_padding=odd)


def pad_ends(x: Tensor, kernel: int) -> Tensor:
    """Return x padded with zeros, so that a convolution halves its length, rounded up."""
    frames = x.shape[-1]
    missing = max((math.ceil(frames / STRIDE) - 1) * STRIDE + kernel - frames, 0)
    return functional.pad(x, (missing // 2, missing - missing // 2))


def phase_shuffle(x: Tensor, shifts: Tensor) -> Tensor:
    """Return x (B, C, W) with each sample moved by its own shift, the ends mirrored."""
    last = x.shape[-1] - 1
    if last == 0:
        return x
    frames = torch.arange(last + 1, device=x.device)
    # A shift cannot be larger than the mirrored end.
    at = frames + shifts.clamp(-last, last)[:, None]
    at = last - (last - at.abs()).abs()
    return x.gather(2, at[:, None, :].expand(-1, x.shape[1], -1))


class WindowGenerator(nn.Module):
    """Noise (B, noise) -> windows (B, neurons, length) in 0..1; with `spikes` roughly."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        neurons = settings.neurons
        self.begin = nn.Linear(settings.noise, settings.first_length * settings.noise)
        channels = (settings.noise, *settings.units, neurons)
        repeat = settings.upsampling == "nearest"
        self.layers = nn.ModuleList(
            nn.Sequential(
                make_doubling(before, after, settings.kernel, repeat=repeat),
                ChannelNorm(after),
                nn.LeakyReLU(LEAKY_SLOPE),
            )
            for before, after in pairwise(channels)
        )
        self.end = nn.Linear(neurons, neurons)
        self.strengths = nn.ParameterList(
            nn.Parameter(torch.ones(after, 1)) for after in channels[1:] if settings.frame_noise
        )
        self.ending: SpikesEnding | None = None
        if settings.ending == "spikes":
            self.ending = SpikesEnding(neurons, settings.noise, LEAKY_SLOPE)
        if settings.frame_noise:
            # Neurons share some of the fresh noise. Spikes need much of it, a sigmoid little.
            self.mixing = nn.Parameter(torch.eye(neurons) * (1.0 if self.ending else 0.1))

    def forward(self, noise: Tensor, fresh: Sequence[Tensor] = ()) -> Tensor:
        """Generate windows.

        Parameters
        ----------
        fresh
            From `draw_fresh`; empty if the settings need no fresh noise.
        """
        if len(fresh) != len(self.settings.fresh_shapes):
            raise ValueError("this generator needs fresh noise: give the output of draw_fresh")
        x = self.begin(noise).view(len(noise), self.settings.noise, self.settings.first_length)
        x = functional.leaky_relu(x, LEAKY_SLOPE)
        for number, layer in enumerate(self.layers):
            double, norm, bend = layer.children()
            x = double(x)
            if self.settings.frame_noise:
                x = x + self.strengths[number] * fresh[number]
            x = bend(norm(x))
        x = x[..., : self.settings.length]
        mixed: Tensor = self.end(x.transpose(1, 2)).transpose(1, 2)
        if self.settings.frame_noise:
            # A threshold is in units of the noise of a drive, which mixing must not change.
            mixing = functional.normalize(self.mixing, dim=1) if self.ending else self.mixing
            mixed = mixed + mixing @ fresh[len(self.layers)]
        if self.ending is not None:
            windows: Tensor = self.ending(mixed, noise, fresh[-1])
            return windows
        return torch.sigmoid(mixed)


class WindowCritic(nn.Module):
    """Windows (B, neurons, length) -> ratings (B,), higher for real windows, without bounds."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        seen = settings.neurons * (2 if settings.differences else 1)
        channels = (seen, *settings.critic_units)
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, settings.kernel, STRIDE)
            for before, after in pairwise(channels)
        )
        # Halving and rounding up layer by layer equals rounding up once.
        frames = math.ceil(settings.length / STRIDE ** len(settings.critic_units))
        self.end = nn.Linear(settings.critic_units[-1] * frames, 1)

    def forward(self, windows: Tensor, shifts: Tensor | None = None) -> Tensor:
        """Rate windows, with phase shuffle by `shifts` (layers, B) if they are given."""
        x = windows
        if self.settings.differences:
            x = torch.cat([x, functional.pad(x.diff(dim=-1), (1, 0))], dim=1)
        for number, layer in enumerate(self.layers):
            x = functional.leaky_relu(layer(pad_ends(x, self.settings.kernel)), LEAKY_SLOPE)
            if shifts is not None and number < len(shifts):
                x = phase_shuffle(x, shifts[number])
        rated: Tensor = self.end(x.flatten(1)).squeeze(1)
        return rated


def draw_shifts(settings: NetworkSettings, batch: int, generator: torch.Generator) -> Tensor:
    """Return integer shifts (layers, batch) for phase shuffle, after all layers but the last."""
    most = settings.shuffle
    size = (len(settings.critic_units) - 1 if most else 0, batch)
    return torch.randint(-most, most + 1, size, generator=generator, device=generator.device)


def draw_fresh(
    settings: NetworkSettings, batch: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Return standard normal noise for every frame, for each input of the generator."""
    return tuple(
        torch.randn(batch, *shape, generator=generator, device=generator.device)
        for shape in settings.fresh_shapes
    )


def initialise(networks: Sequence[nn.Module], generator: torch.Generator) -> None:
    """Draw all weights by Glorot and Bengio (2010), as published, and set biases to zero."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if isinstance(network, WindowGenerator) and network.ending is not None:
            # At the start spikes follow from fresh noise alone.
            nn.init.zeros_(network.end.weight)


def make_networks(sizes: NetworkSettings, seed: int) -> tuple[WindowGenerator, WindowCritic]:
    """Return both networks, their weights drawn from a seed."""
    # torch draws initial weights from its global generator, whose state is restored here.
    with torch.random.fork_rng(devices=[]):
        generator, critic = WindowGenerator(sizes), WindowCritic(sizes)
    initialise((generator, critic), torch.Generator().manual_seed(seed))
    return generator, critic


def sample_windows(
    generator: WindowGenerator, count: int, *, seed: int | tuple[int, ...]
) -> Floats:
    """Return `count` windows (count, neurons, length) in 0..1, the same for a seed."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, generator.settings.noise), dtype=np.float32)
    # On the CPU, so that a seed gives the same windows on every device.
    random = torch.Generator().manual_seed(int(rng.integers(2**63)))
    device = next(generator.parameters()).device
    windows = []
    with torch.inference_mode():
        for begin in range(0, count, GENERATED_AT_ONCE):
            some = torch.from_numpy(noise[begin : begin + GENERATED_AT_ONCE]).to(device)
            fresh = draw_fresh(generator.settings, len(some), random)
            found = generator(some, [each.to(device) for each in fresh])
            windows.append(found.float().cpu().numpy())
    return np.concatenate(windows)
