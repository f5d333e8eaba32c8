"""A latent diffusion model of spike counts (Kapoor et al., 2024): its networks and its samples.

An autoencoder finds a few smooth latents behind the counts of a population, and a diffusion model
learns how these latents move. Convolutions are dilated, so that a sample can have any length.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from sts.base.settings import BelowOne, Bounds, Count, NotNegative, Seed, Share, check_fields
from sts.calcium.networks import ChannelNorm

# Frames between the inputs of each block's convolution: together they see 62 frames to each side.
DILATIONS: Final = (1, 2, 4, 8, 16)
_KERNEL: Final = 5
# Variances of the noise of the first and last step of diffusion, for 1,000 steps (Ho et al., 2020).
NOISE_VARIANCES: Final = (1e-4, 0.02)
# Lags in frames between which latents should differ little.
SMOOTH_LAGS: Final = 5
# Largest latent that a step of sampling may predict, in deviations of the training latents.
FARTHEST_LATENT: Final = 10.0
# Smallest rate of spikes in a frame.
_LEAST_RATE: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class LatentSettings:
    """Settings of a latent diffusion model and its training."""

    latents: Annotated[int, Bounds(1, 256)] = 8
    channels: Annotated[int, Bounds(4, 4096)] = 16
    diffusion: Annotated[int, Bounds(2, 10_000)] = 200
    """Steps from latents to noise."""
    steps: Count = 3000
    """Training steps of the diffusion model; the autoencoder trains at most half as many."""
    batch: Annotated[int, Bounds(1, 65536)] = 16
    learning_rate: Share = 2e-3
    decay: NotNegative = 0.01
    """Weight decay."""
    small: NotNegative = 0.01
    """Weight of squared latents in the loss of the autoencoder."""
    smooth: NotNegative = 0.01
    """Weight of squared differences between near latents."""
    masked: Annotated[float, Bounds(0.01, 0.99)] = 0.5
    """Fraction of the counts that the autoencoder predicts without seeing them."""
    average: BelowOne = 0.99
    """Decay of the moving average of the diffusion model."""
    check_every: Count = 100
    """Steps from one validation to the next."""
    stretches: Annotated[int, Bounds(0, 256)] = 0
    """Stretches of the recording that samples can be asked for; 0: they count as one."""
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        check_fields(self)


class DilatedBlock(nn.Module):
    """A residual block: norm, dilated convolution, and a layer for each frame."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv = nn.Conv1d(channels, channels, _KERNEL, padding="same", dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Return (B, channels, W); `shift` (B, channels, 1) is added before the convolution."""
        inside = self.norm(x)
        if shift is not None:
            inside = inside + shift
        changed: Tensor = self.mix(functional.gelu(self.conv(inside)))
        return x + changed


class SpikeAutoencoder(nn.Module):
    """Counts (B, neurons, W) -> latents (B, latents, W) -> rates of spikes in a frame."""

    def __init__(self, neurons: int, settings: LatentSettings) -> None:
        super().__init__()
        self.begin = nn.Conv1d(neurons, settings.channels, 1)
        self.blocks = nn.ModuleList(DilatedBlock(settings.channels, each) for each in DILATIONS)
        self.end = nn.Conv1d(settings.channels, settings.latents, 1)
        self.decoder = nn.Conv1d(settings.latents, neurons, 1)

    def encode(self, counts: Tensor) -> Tensor:
        """Return the latents of counts."""
        x = self.begin(counts)
        for block in self.blocks:
            x = block(x)
        latents: Tensor = self.end(x)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Return the rates of spikes in a frame."""
        return functional.softplus(self.decoder(latents)) + _LEAST_RATE

    def begin_at(self, rates: Tensor) -> None:
        """Set the rates (neurons,) to which all latents are decoded before training."""
        assert self.decoder.bias is not None
        with torch.no_grad():
            self.decoder.weight.zero_()
            self.decoder.bias.copy_(torch.log(torch.expm1(rates.clamp_min(1e-4))))


class LatentDenoiser(nn.Module):
    """Noisy latents (B, latents, W) and steps of diffusion (B,) -> their velocity.

    The velocity (Salimans and Ho, 2022) is 0 on average for white latents. A network that begins at
    0 draws latents of the right size from its first step on; one that predicts the noise itself
    draws too small ones until it is trained for long, since its norms hide the size of its input.
    """

    def __init__(self, settings: LatentSettings) -> None:
        super().__init__()
        width = settings.channels
        self.begin = nn.Conv1d(settings.latents, width, 1)
        self.time = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(DilatedBlock(width, each) for each in DILATIONS)
        self.end = nn.Conv1d(width, settings.latents, 1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]  # a convolution has a bias
        if settings.stretches:
            self.stretches = nn.Parameter(torch.zeros(settings.stretches, width))

    def forward(self, noisy: Tensor, steps: Tensor, stretches: Tensor | None = None) -> Tensor:
        """Return the predicted velocity; `stretches` (B,) are needed if the settings have some."""
        half = self.begin.out_channels // 2
        speeds = torch.exp(-math.log(10_000) * torch.arange(half, device=steps.device) / half)
        angles = steps[:, None] * speeds
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        known = functional.pad(waves, (0, self.begin.out_channels - waves.shape[1]))
        shift = self.time(known)
        if stretches is not None:
            shift = shift + self.stretches[stretches]
        x = self.begin(noisy)
        for block in self.blocks:
            x = block(x, shift[..., None])
        velocity: Tensor = self.end(x)
        return velocity


def hide_counts(
    counts: Tensor, settings: LatentSettings, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return counts of which a random part is hidden and the rest made up for it, and the part."""
    hidden = torch.rand(counts.shape, generator=random, device=counts.device) < settings.masked
    return counts * ~hidden / (1 - settings.masked), hidden


def score_autoencoder(
    autoencoder: SpikeAutoencoder, counts: Tensor, settings: LatentSettings, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the negative log likelihood of masked counts, and the penalties of the latents.

    The autoencoder predicts a random part of the counts from the others (coordinated dropout,
    Keshtkaran and Pandarinath, 2019): it cannot learn to copy.
    """
    shown, hidden = hide_counts(counts, settings, random)
    latents = autoencoder.encode(shown)
    rates = autoencoder.decode(latents)
    likelihood = functional.poisson_nll_loss(rates, counts, log_input=False, reduction="none")
    error = (likelihood * hidden).sum() / hidden.sum().clamp_min(1) * counts.shape[1]
    penalty = settings.small * latents.square().sum(dim=1).mean()
    for lag in range(1, min(SMOOTH_LAGS, latents.shape[-1] - 1) + 1):
        apart = (latents[..., lag:] - latents[..., :-lag]).square().sum(dim=1).mean()
        penalty = penalty + settings.smooth / (1 + lag) * apart
    return error, penalty


def make_schedule(settings: LatentSettings, device: torch.device) -> Tensor:
    """Return the part of the latents' variance that is left after 1, 2, ... steps of diffusion."""
    scale = 1000 / settings.diffusion
    first, last = (min(scale * variance, 0.999) for variance in NOISE_VARIANCES)
    betas = torch.linspace(first, last, settings.diffusion, device=device)
    return torch.cumprod(1 - betas, dim=0)


def score_denoiser(
    denoiser: LatentDenoiser,
    latents: Tensor,
    left: Tensor,
    random: torch.Generator,
    stretches: Tensor | None = None,
) -> Tensor:
    """Return the error of the velocity that is predicted at random steps of diffusion."""
    steps = torch.randint(len(left), (len(latents),), generator=random, device=latents.device)
    noise = torch.randn(latents.shape, generator=random, device=latents.device)
    kept = left[steps][:, None, None]
    predicted = denoiser(kept.sqrt() * latents + (1 - kept).sqrt() * noise, steps, stretches)
    velocity = kept.sqrt() * noise - (1 - kept).sqrt() * latents
    # A smooth absolute error, as published, would lead to medians: bursts would be too rare.
    return functional.mse_loss(predicted, velocity)


@torch.inference_mode()
def sample_latents(
    denoiser: LatentDenoiser,
    settings: LatentSettings,
    count: int,
    frames: int,
    random: torch.Generator,
    stretches: Tensor | None = None,
) -> Tensor:
    """Return latents (count, latents, frames), which are white in the training stretch."""
    device = random.device
    left = make_schedule(settings, device)
    x = torch.randn(count, settings.latents, frames, generator=random, device=device)
    clean = x
    for step in reversed(range(settings.diffusion)):
        steps = torch.full((count,), step, device=device)
        velocity = denoiser(x, steps, stretches)
        clean = left[step].sqrt() * x - (1 - left[step]).sqrt() * velocity
        clean = clean.clamp(-FARTHEST_LATENT, FARTHEST_LATENT)
        if step == 0:
            break
        before = left[step - 1]
        beta = 1 - left[step] / before
        mean = before.sqrt() * beta * clean + (1 - beta).sqrt() * (1 - before) * x
        # This variance, the larger one of Ho et al. (2020), is exact for white latents; with the
        # smaller one samples vary too little.
        fresh = torch.randn(x.shape, generator=random, device=device)
        x = mean / (1 - left[step]) + beta.sqrt() * fresh
    return clean
