"""Generator and critic (Li et al., 2020): one-dimensional convolutions over windows of traces."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from sts.base.errors import StsError

SLOPE: Final = 0.2
STRIDE: Final = 2


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The sizes of both networks; defaults as published."""

    neurons: int
    length: int = 2048
    noise: int = 32
    """Dimension of what a window is generated from."""
    kernel: int = 24
    units: tuple[int, ...] = (320, 256, 192, 128)
    """Filters of the generator, whose last layer has one a neuron."""
    critic_units: tuple[int, ...] = (64, 128, 192, 256, 320)
    shuffle: int = 10
    """Frames by which phase shuffle moves a sample at most; 0 leaves it out."""

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        if self.neurons < 2:
            raise StsError(f"a population of at least 2 neurons is wanted, {self.neurons} came")
        sizes = (*self.units, *self.critic_units, self.noise, self.length)
        if min(sizes) < 1 or self.kernel < STRIDE or self.shuffle < 0:
            raise StsError(
                "units, noise and length must be at least 1, kernel at least 2, shuffle at least 0"
            )

    @property
    def first_length(self) -> int:
        """Return the frames that the generator begins with; what is too much is cut off its end."""
        return math.ceil(self.length / float(STRIDE) ** (len(self.units) + 1))

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


class Generator(nn.Module):
    """Noise (B, noise) -> windows (B, neurons, length) in 0..1."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        # Even kernels are centred between two frames, odd ones on a frame.
        odd = settings.kernel % 2
        padding = (settings.kernel - STRIDE + odd) // 2
        self.begin = nn.Linear(settings.noise, settings.first_length * settings.noise)
        channels = (settings.noise, *settings.units, settings.neurons)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose1d(
                    before, after, settings.kernel, STRIDE, padding, output_padding=odd
                ),
                ChannelNorm(after),
                nn.LeakyReLU(SLOPE),
            )
            for before, after in pairwise(channels)
        )
        self.end = nn.Linear(settings.neurons, settings.neurons)

    def forward(self, noise: Tensor) -> Tensor:
        """Generate windows."""
        x = self.begin(noise).view(len(noise), self.settings.noise, self.settings.first_length)
        x = functional.leaky_relu(x, SLOPE)
        for layer in self.layers:
            x = layer(x)
        x = x[..., : self.settings.length]
        mixed: Tensor = self.end(x.transpose(1, 2)).transpose(1, 2)
        return torch.sigmoid(mixed)


class Critic(nn.Module):
    """Windows (B, neurons, length) -> how real they look (B,), without bounds."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        channels = (settings.neurons, *settings.critic_units)
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, settings.kernel, STRIDE)
            for before, after in pairwise(channels)
        )
        frames = settings.length
        for _ in settings.critic_units:
            frames = math.ceil(frames / STRIDE)
        self.end = nn.Linear(settings.critic_units[-1] * frames, 1)

    def forward(self, windows: Tensor, shifts: Tensor | None = None) -> Tensor:
        """Judge windows.

        Parameters
        ----------
        shifts
            (layers, B) frames that `phase_shuffle` moves each sample by; None moves none.
        """
        x = windows
        for number, layer in enumerate(self.layers):
            x = functional.leaky_relu(layer(padded(x, self.settings.kernel)), SLOPE)
            if shifts is not None and number < len(shifts):
                x = phase_shuffle(x, shifts[number])
        judged: Tensor = self.end(x.flatten(1)).squeeze(1)
        return judged


def padded(x: Tensor, kernel: int) -> Tensor:
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


def draw_shifts(settings: NetworkSettings, batch: int, generator: torch.Generator) -> Tensor:
    """Return (layers, batch) whole shifts from -m to m, one for each sample and layer."""
    most = settings.shuffle
    size = (settings.shuffled_layers, batch)
    return torch.randint(-most, most + 1, size, generator=generator, device=generator.device)


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
