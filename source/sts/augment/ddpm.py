"""A conditional diffusion model of tables: a network that removes the noise from a row."""

import math

import torch
from torch import Tensor, nn

from sts.augment.deep import Batch, DeepGenerator, Network, ResidualStack, noise_like
from sts.augment.settings import DIFFUSION_STEPS, DdpmSettings

# Offset of the cosine schedule, which keeps some noise in the first step (Nichol and Dhariwal,
# 2021).
OFFSET = 0.008
# Largest share of the signal that one step removes (from the same paper).
MOST_REMOVED = 0.999
# Number of times and noises with which a held-out row is scored.
SCORE_DRAWS = 8
# Number of sines, and of cosines, that encode a time.
WAVES = 16


class Ddpm(DeepGenerator):
    """Rows that a network obtains from pure noise by removing noise step by step."""

    settings: DdpmSettings

    def make_network(self, features: int, classes: int) -> Network:
        """Return a new network."""
        return DdpmNetwork(features, classes, self.settings)


def remaining_signal() -> Tensor:
    """Return the share of signal in the variance after each step, (DIFFUSION_STEPS,)."""
    times = torch.arange(DIFFUSION_STEPS + 1, dtype=torch.float64) / DIFFUSION_STEPS
    cosine = torch.cos((times + OFFSET) / (1 + OFFSET) * math.pi / 2).square()
    return (1 - (1 - cosine[1:] / cosine[:-1]).clamp(max=MOST_REMOVED)).cumprod(dim=0)


class DdpmNetwork(Network):
    """Predicts the velocity of a row on its way to noise (Salimans and Ho, 2022).

    A noisy row is s x row + n x noise, where s and n are what remains of the signal and what the
    noise has reached; its velocity is s x noise - n x row.
    """

    signal: Tensor
    noise: Tensor

    def __init__(self, features: int, classes: int, settings: DdpmSettings) -> None:
        super().__init__()
        self.settings, self.features = settings, features
        width = settings.layers.width
        # The last embedding represents all classes.
        self.classes = nn.Embedding(classes + 1, width)
        self.time = nn.Sequential(nn.Linear(2 * WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.stack = ResidualStack(features, features, settings.layers)
        left = remaining_signal()
        self.register_buffer("signal", left.sqrt().float())
        self.register_buffer("noise", (1 - left).sqrt().float())

    def add_noise(self, scores: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """Return rows with the noise of the given steps, counted from 0."""
        return self.signal[times, None] * scores + self.noise[times, None] * noise

    def velocity(self, noisy: Tensor, times: Tensor, classes: Tensor) -> Tensor:
        """Return the velocity of noisy rows, (B, features)."""
        condition = self.classes(classes) + self.time(_encode_times(times))
        return self.stack(noisy, condition)  # type: ignore[no-any-return]

    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the mean square error of the velocity, at several times."""
        errors = [self._error(batch, batch.classes, generator) for _ in range(SCORE_DRAWS)]
        return torch.stack(errors).mean()

    def loss(self, batch: Batch, generator: torch.Generator, *, done: float) -> Tensor:
        """Return the mean square error of the velocity, with the class hidden in some rows."""
        chances = torch.rand(len(batch.classes), generator=generator, device=generator.device)
        hidden = chances < self.settings.unlabelled
        classes = batch.classes.masked_fill(hidden, self.classes.num_embeddings - 1)
        return self._error(batch, classes, generator)

    def _error(self, batch: Batch, classes: Tensor, generator: torch.Generator) -> Tensor:
        chances = torch.rand(len(classes), generator=generator, device=generator.device)
        times = (chances * len(self.signal)).long()
        noise = noise_like(batch.scores, generator)
        wanted = self.signal[times, None] * noise - self.noise[times, None] * batch.scores
        noisy = self.add_noise(batch.scores, times, noise)
        return (self.velocity(noisy, times, classes) - wanted).square().mean()

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return one row of scores for each class in `classes`, (B, features)."""
        shape = (len(classes), self.features)
        rows = torch.randn(shape, generator=generator, device=classes.device)
        if self.settings.sampler == "ancestral":
            return self._draw_all_steps(rows, classes, generator)
        return self._draw_few_steps(rows, classes)

    def _draw_few_steps(self, rows: Tensor, classes: Tensor) -> Tensor:
        """Remove the noise in few steps, without new noise (Song et al., 2021)."""
        last = len(self.signal) - 1
        times = torch.linspace(last, 0, self.settings.sampling_steps).round().long().tolist()
        for time, following in zip(times, [*times[1:], None], strict=True):
            velocity = self._guide_velocity(rows, time, classes)
            whole = self.signal[time] * rows - self.noise[time] * velocity
            noise = self.noise[time] * rows + self.signal[time] * velocity
            if following is None:
                return whole
            rows = self.signal[following] * whole + self.noise[following] * noise
        return rows

    def _draw_all_steps(self, rows: Tensor, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Reverse every step, with new noise (Ho et al., 2020, equations 6 and 7)."""
        left = self.signal.square()
        for time in reversed(range(len(left))):
            velocity = self._guide_velocity(rows, time, classes)
            whole = self.signal[time] * rows - self.noise[time] * velocity
            if time == 0:
                return whole
            kept = left[time] / left[time - 1]
            of_whole = left[time - 1].sqrt() * (1 - kept) / (1 - left[time])
            of_rows = kept.sqrt() * (1 - left[time - 1]) / (1 - left[time])
            variance = (1 - kept) * (1 - left[time - 1]) / (1 - left[time])
            rows = of_whole * whole + of_rows * rows + variance.sqrt() * noise_like(rows, generator)
        return rows

    def _guide_velocity(self, rows: Tensor, time: int, classes: Tensor) -> Tensor:
        """Return the velocity, driven away from what all classes share."""
        times = torch.full((1,), time, device=rows.device)
        # Rows of the same class have the same condition, which is computed once.
        labels = classes[:1] if bool((classes == classes[:1]).all()) else classes
        velocity = self.velocity(rows, times, labels)
        if not self.settings.guidance:
            return velocity
        all_classes = torch.full((1,), self.classes.num_embeddings - 1, device=rows.device)
        shared = self.velocity(rows, times, all_classes)
        return velocity + self.settings.guidance * (velocity - shared)


def _encode_times(times: Tensor) -> Tensor:
    """Return sines and cosines of times, from half a period to fifty in the whole process."""
    rates = torch.logspace(0, 2, WAVES, device=times.device)
    angles = times[:, None] * rates * (math.pi / DIFFUSION_STEPS)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
