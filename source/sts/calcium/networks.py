"""Generator and critic (Li et al., 2020), convolutions over windows of traces, and sampling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sts.base.errors import StsError, one_of
from sts.base.settings import Bounds, check_fields
from sts.base.types import Floats
from sts.calcium.kinetics import SpikesEnding

Upsampling = Literal["transposed", "nearest"]
UPSAMPLINGS: Final[tuple[Upsampling, ...]] = ("transposed", "nearest")
Ending = Literal["sigmoid", "spikes"]
ENDINGS: Final[tuple[Ending, ...]] = ("sigmoid", "spikes")

STRIDE: Final = 2
SLOPE: Final = 0.2
# Each halves the frames: of 2**20 there are no more.
MAX_LAYERS: Final = 20
Width = Annotated[int, Bounds(1, 8192)]
# Windows that are generated at a time.
BATCH: Final = 64
# Enough to validate with: as many as there are in a quarter of an hour of short windows.
COUNT: Final = 128


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The sizes of both networks; defaults as published."""

    neurons: Annotated[int, Bounds(2, 100_000)]
    length: Annotated[int, Bounds(1, 2**20)] = 2048
    noise: Annotated[int, Bounds(1, 4096)] = 32
    """Dimension of what a window is generated from."""
    kernel: Annotated[int, Bounds(STRIDE, 4096)] = 24
    units: tuple[Width, ...] = (320, 256, 192, 128)
    """Filters of the generator, whose last layer has one a neuron."""
    critic_units: tuple[Width, ...] = (64, 128, 192, 256, 320)
    shuffle: Annotated[int, Bounds(0, 10_000)] = 10
    """Frames by which phase shuffle moves a sample at most; 0 leaves it out."""
    upsampling: Upsampling = "transposed"
    """How the generator doubles frames; `nearest` repeats them and convolves, without ripples."""
    frame_noise: bool = False
    """Every layer of the generator takes fresh noise for each frame, which `noise` cannot hold."""
    ending: Ending = "sigmoid"
    """What the generator's last layer becomes; `spikes` lets them decay and adds noise."""
    differences: bool = False
    """The critic sees what changes from frame to frame as well, where spikes stand out."""

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        one_of(self.upsampling, UPSAMPLINGS, "upsampling")
        one_of(self.ending, ENDINGS, "ending")
        check_fields(self)
        if max(len(self.units), len(self.critic_units)) > MAX_LAYERS:
            raise StsError(f"a network of more than {MAX_LAYERS} layers is too deep to be trained")

    @property
    def first_length(self) -> int:
        """Return the frames that the generator begins with; what is too much is cut off its end."""
        return math.ceil(self.length / float(STRIDE) ** (len(self.units) + 1))

    @property
    def fresh_shapes(self) -> tuple[tuple[int, int], ...]:
        """Return channels and frames of all fresh noise that makes a window, in order of use."""
        last = (self.neurons, self.length)
        shapes: list[tuple[int, int]] = []
        if self.frame_noise:
            frames = self.first_length
            for channels in (*self.units, self.neurons):
                frames *= STRIDE
                shapes.append((channels, frames))
            shapes.append(last)
        return tuple(shapes) + ((last,) if self.ending == "spikes" else ())

    @property
    def shuffled_layers(self) -> int:
        """Return after how many of the critic's layers samples are shuffled: all but the last."""
        return len(self.critic_units) - 1 if self.shuffle else 0


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, W)."""
        normed: Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return normed


class RepeatedFrames(nn.Module):
    """Doubles frames by repeating each, then convolves: all frames are made by the same weights."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel)
        self.ends = ((kernel - 1) // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, after, 2 W)."""
        doubled = x.repeat_interleave(STRIDE, dim=-1)
        made: Tensor = self.conv(functional.pad(doubled, self.ends))
        return made


def make_doubling(before: int, after: int, kernel: int, *, repeat: bool) -> nn.Module:
    """Return a layer that doubles frames: by repeating them, or by a transposed convolution."""
    if repeat:
        return RepeatedFrames(before, after, kernel)
    # Even kernels are centred between two frames, odd ones on a frame.
    odd = kernel % 2
    padding = (kernel - STRIDE + odd) // 2
    return nn.ConvTranspose1d(before, after, kernel, STRIDE, padding, output_padding=odd)


def pad_ends(x: Tensor, kernel: int) -> Tensor:
    """Return x with zeros at both ends, so that a convolution halves its length, rounded up."""
    frames = x.shape[-1]
    missing = max((math.ceil(frames / STRIDE) - 1) * STRIDE + kernel - frames, 0)
    return functional.pad(x, (missing // 2, missing - missing // 2))


def phase_shuffle(x: Tensor, shifts: Tensor) -> Tensor:
    """Return x (B, C, W) with each sample moved by its own shift, its ends mirrored."""
    last = x.shape[-1] - 1
    if last == 0:
        return x
    frames = torch.arange(last + 1, device=x.device)
    # A short layer is moved by no more than it can mirror.
    at = frames + shifts.clamp(-last, last)[:, None]
    at = last - (last - at.abs()).abs()
    return x.gather(2, at[:, None, :].expand(-1, x.shape[1], -1))


class WindowGenerator(nn.Module):
    """Noise (B, noise) -> windows (B, neurons, length) in 0..1, as `spikes` about there."""

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
                nn.LeakyReLU(SLOPE),
            )
            for before, after in pairwise(channels)
        )
        self.end = nn.Linear(neurons, neurons)
        self.strengths = nn.ParameterList(
            nn.Parameter(torch.ones(after, 1)) for after in channels[1:] if settings.frame_noise
        )
        self.ending: SpikesEnding | None = None
        if settings.ending == "spikes":
            self.ending = SpikesEnding(neurons, settings.noise, SLOPE)
        if settings.frame_noise:
            # Neurons share some of what is fresh. A spike needs much of it, a sigmoid little.
            self.mixing = nn.Parameter(torch.eye(neurons) * (1.0 if self.ending else 0.1))

    def forward(self, noise: Tensor, fresh: Sequence[Tensor] = ()) -> Tensor:
        """Generate windows.

        Parameters
        ----------
        fresh
            What `draw_fresh` returned; nothing where settings ask for no noise of frames.
        """
        if len(fresh) != len(self.settings.fresh_shapes):
            raise ValueError("this generator takes fresh noise: give what draw_fresh returns")
        x = self.begin(noise).view(len(noise), self.settings.noise, self.settings.first_length)
        x = functional.leaky_relu(x, SLOPE)
        for number, layer in enumerate(self.layers):
            double, norm, bend = layer.children()
            x = double(x)
            if self.settings.frame_noise:
                x = x + self.strengths[number] * fresh[number]
            x = bend(norm(x))
        x = x[..., : self.settings.length]
        mixed: Tensor = self.end(x.transpose(1, 2)).transpose(1, 2)
        if self.settings.frame_noise:
            mixed = mixed + self._shared() @ fresh[len(self.layers)]
        if self.ending is not None:
            windows: Tensor = self.ending(mixed, noise, fresh[-1])
            return windows
        return torch.sigmoid(mixed)

    def _shared(self) -> Tensor:
        # Of a drive, noise is the measure: what a threshold means must not change with mixing.
        return functional.normalize(self.mixing, dim=1) if self.ending else self.mixing


class WindowCritic(nn.Module):
    """Windows (B, neurons, length) -> how real they look (B,), without bounds."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        seen = settings.neurons * (2 if settings.differences else 1)
        channels = (seen, *settings.critic_units)
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, settings.kernel, STRIDE)
            for before, after in pairwise(channels)
        )
        frames = settings.length
        for _ in settings.critic_units:
            frames = math.ceil(frames / STRIDE)
        self.end = nn.Linear(settings.critic_units[-1] * frames, 1)

    def forward(self, windows: Tensor, shifts: Tensor | None = None) -> Tensor:
        """Rate windows.

        Parameters
        ----------
        shifts
            (layers, B) frames that `phase_shuffle` moves each sample by; None moves none.
        """
        x = windows
        if self.settings.differences:
            x = torch.cat([x, functional.pad(x.diff(dim=-1), (1, 0))], dim=1)
        for number, layer in enumerate(self.layers):
            x = functional.leaky_relu(layer(pad_ends(x, self.settings.kernel)), SLOPE)
            if shifts is not None and number < len(shifts):
                x = phase_shuffle(x, shifts[number])
        rated: Tensor = self.end(x.flatten(1)).squeeze(1)
        return rated


def draw_shifts(settings: NetworkSettings, batch: int, generator: torch.Generator) -> Tensor:
    """Return (layers, batch) whole shifts from -m to m, one for each sample and layer."""
    most = settings.shuffle
    size = (settings.shuffled_layers, batch)
    return torch.randint(-most, most + 1, size, generator=generator, device=generator.device)


def draw_fresh(
    settings: NetworkSettings, batch: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Return standard normal noise for every frame, wherever the generator takes it."""
    return tuple(
        torch.randn(batch, *shape, generator=generator, device=generator.device)
        for shape in settings.fresh_shapes
    )


def parameter_count(network: nn.Module) -> int:
    """Return how many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def initialise(networks: Sequence[nn.Module], generator: torch.Generator) -> None:
    """Draw all weights by Glorot and Bengio (2010), as published, and set biases to zero."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if isinstance(network, WindowGenerator) and network.ending is not None:
            # Spikes come from fresh noise alone until there is a reason for more.
            nn.init.zeros_(network.end.weight)


def make_networks(sizes: NetworkSettings, seed: int) -> tuple[WindowGenerator, WindowCritic]:
    """Return both networks, their weights drawn from a seed."""
    # What torch draws on its own is drawn again: its global generator must be left alone.
    with torch.random.fork_rng(devices=[]):
        generator, critic = WindowGenerator(sizes), WindowCritic(sizes)
    initialise((generator, critic), torch.Generator().manual_seed(seed))
    return generator, critic


def sample_windows(
    generator: WindowGenerator, count: int = COUNT, *, seed: int | tuple[int, ...]
) -> Floats:
    """Return `count` windows (count, neurons, length) in 0..1, the same for a seed."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, generator.settings.noise), dtype=np.float32)
    # On the CPU, so that a seed gives the same windows everywhere.
    random = torch.Generator().manual_seed(int(rng.integers(2**63)))
    device = next(generator.parameters()).device
    made = []
    with torch.inference_mode():
        for begin in range(0, count, BATCH):
            some = torch.from_numpy(noise[begin : begin + BATCH]).to(device)
            fresh = draw_fresh(generator.settings, len(some), random)
            made.append(generator(some, [each.to(device) for each in fresh]).float().cpu().numpy())
    return np.concatenate(made)
