"""A conditional diffusion model of tables: a network that separates the noise from a row."""

import math

import torch
from torch import Tensor, nn

from sts.augment.deep import DeepGenerator
from sts.augment.layers import ResidualStack, noise_like, uniform
from sts.augment.settings import DIFFUSION_STEPS, DdpmSettings
from sts.augment.training import Batch, Network

# The least noise of a step, as a fraction of the whole (Nichol and Dhariwal, 2021).
OFFSET = 0.008
# The most that one step may take away (likewise).
MOST = 0.999
# How many times and noises a held-out row is scored with.
DRAWS = 8
# Sines and cosines that stand for a time.
WAVES = 16


class Ddpm(DeepGenerator):
    """Rows that are left when noise is taken out of noise, step by step."""

    settings: DdpmSettings

    def network(self, features: int, classes: int) -> Network:
        """Return a new network."""
        return DdpmNetwork(features, classes, self.settings)


def signal_left(steps: int = DIFFUSION_STEPS) -> Tensor:
    """Return the part of the variance that is still a row's own after each step, (steps,)."""
    times = torch.arange(steps + 1, dtype=torch.float64) / steps
    cosine = torch.cos((times + OFFSET) / (1 + OFFSET) * math.pi / 2).square()
    return (1 - (1 - cosine[1:] / cosine[:-1]).clamp(max=MOST)).cumprod(dim=0)


class DdpmNetwork(Network):
    """Predicts the velocity of a row on its way to noise (Salimans and Ho, 2022)."""

    signal: Tensor
    noise: Tensor

    def __init__(self, features: int, classes: int, settings: DdpmSettings) -> None:
        super().__init__()
        self.settings, self.features = settings, features
        width = settings.layers.width
        # The last one stands for all classes.
        self.classes = nn.Embedding(classes + 1, width)
        self.time = nn.Sequential(nn.Linear(2 * WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.stack = ResidualStack(features, features, settings.layers)
        left = signal_left()
        self.register_buffer("signal", left.sqrt().float())
        self.register_buffer("noise", (1 - left).sqrt().float())

    def noised(self, scores: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """Return rows as they are after some steps of the process, counted from 0."""
        return self.signal[times, None] * scores + self.noise[times, None] * noise

    def velocity(self, noised: Tensor, times: Tensor, classes: Tensor) -> Tensor:
        """Return signal x noise - noise x row, of which the network believes it sees the sum."""
        condition = self.classes(classes) + self.time(_waves(times))
        return self.stack(noised, condition)  # type: ignore[no-any-return]

    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the mean square error of the velocity, at several times."""
        errors = [self._error(batch, batch.classes, generator) for _ in range(DRAWS)]
        return torch.stack(errors).mean()

    def loss(self, batch: Batch, generator: torch.Generator, *, done: float) -> Tensor:
        """Return the mean square error of the velocity, some rows without their class."""
        hidden = uniform(len(batch.classes), generator) < self.settings.unlabelled
        classes = batch.classes.masked_fill(hidden, self.classes.num_embeddings - 1)
        return self._error(batch, classes, generator)

    def _error(self, batch: Batch, classes: Tensor, generator: torch.Generator) -> Tensor:
        times = (uniform(len(classes), generator) * len(self.signal)).long()
        noise = noise_like(batch.scores, generator)
        wanted = self.signal[times, None] * noise - self.noise[times, None] * batch.scores
        noised = self.noised(batch.scores, times, noise)
        return (self.velocity(noised, times, classes) - wanted).square().mean()

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return a row of scores for each class asked for, (B, features)."""
        shape = (len(classes), self.features)
        rows = torch.randn(shape, generator=generator, device=classes.device)
        if self.settings.sampler == "ancestral":
            return self._ancestral(rows, classes, generator)
        return self._ddim(rows, classes)

    def _ddim(self, rows: Tensor, classes: Tensor) -> Tensor:
        """Go back in few steps without fresh noise (Song et al., 2021)."""
        last = len(self.signal) - 1
        times = torch.linspace(last, 0, self.settings.sampling_steps).round().long().tolist()
        for time, following in zip(times, [*times[1:], None], strict=True):
            velocity = self._guided(rows, time, classes)
            whole = self.signal[time] * rows - self.noise[time] * velocity
            noise = self.noise[time] * rows + self.signal[time] * velocity
            if following is None:
                return whole
            rows = self.signal[following] * whole + self.noise[following] * noise
        return rows

    def _ancestral(self, rows: Tensor, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Go back through every step with fresh noise (Ho et al., 2020, equations 6 and 7)."""
        left = self.signal.square()
        for time in reversed(range(len(left))):
            velocity = self._guided(rows, time, classes)
            whole = self.signal[time] * rows - self.noise[time] * velocity
            if time == 0:
                return whole
            kept = left[time] / left[time - 1]
            of_whole = left[time - 1].sqrt() * (1 - kept) / (1 - left[time])
            of_rows = kept.sqrt() * (1 - left[time - 1]) / (1 - left[time])
            variance = (1 - kept) * (1 - left[time - 1]) / (1 - left[time])
            rows = of_whole * whole + of_rows * rows + variance.sqrt() * noise_like(rows, generator)
        return rows

    def _guided(self, rows: Tensor, time: int, classes: Tensor) -> Tensor:
        times = torch.full((1,), time, device=rows.device)
        # Rows of one class share their condition, which need not be computed for each.
        given = classes[:1] if bool((classes == classes[:1]).all()) else classes
        velocity = self.velocity(rows, times, given)
        if not self.settings.guidance:
            return velocity
        anyone = torch.full((1,), self.classes.num_embeddings - 1, device=rows.device)
        return velocity + self.settings.guidance * (velocity - self.velocity(rows, times, anyone))


def _waves(times: Tensor) -> Tensor:
    """Return sines and cosines of times, from half a period in the whole process to fifty."""
    rates = torch.logspace(0, 2, WAVES, device=times.device)
    angles = times[:, None] * rates * (math.pi / DIFFUSION_STEPS)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
