"""Training of generator against critic: settings, steps, moments of the traces, and the loop."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
from torch import Tensor

from sts.base.errors import StsError, one_of
from sts.base.progress import progress
from sts.base.settings import BelowOne, Bounds, Count, NotNegative, Seed, Share, check_fields
from sts.base.types import PRECISIONS, Floats, Precision
from sts.calcium.networks import (
    NetworkSettings,
    WindowCritic,
    WindowGenerator,
    draw_fresh,
    draw_shifts,
    make_networks,
    sample_windows,
)
from sts.calcium.windows import Scale, Windows
from sts.learning.device import cast_to, mix_seeds, multiply_in
from sts.learning.training import (
    MovingAverage,
    TrainingFile,
    TrainingProgress,
    TrainingState,
    gradient_penalty,
    make_key,
)

logger = logging.getLogger("sts")

# Lags in frames of the covariances of traces, and of the differences between their frames.
SLOW: Final = (0, 2, 4, 8, 16, 32)
FAST: Final = (0, 1, 2, 4)
# Weights of the errors of means and of third moments of differences, relative to those of
# covariances: both decide the rates of spikes.
MEANS: Final = 3.0
THIRDS: Final = 3.0
# Time between two writes of a training's state; a write at the published size takes a second.
KEEP_GENERATOR_EVERY_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class GanTrainSettings:
    """Settings of a training; defaults as published, betas as in Gulrajani et al. (2017)."""

    steps: Count = 20_000
    """Of the generator."""
    critic_steps: Annotated[int, Bounds(1, 1000)] = 5
    """For each step of the generator."""
    batch: Annotated[int, Bounds(1, 65536)] = 128
    learning_rate: Share = 1e-4
    critic_rate: Share | None = None
    """Learning rate of the critic; None: `learning_rate`."""
    cooling: BelowOne = 0.0
    """Fraction of the steps, at the end, over which both rates fall to 0."""
    beta1: BelowOne = 0.0
    beta2: BelowOne = 0.9
    penalty: NotNegative = 10.0
    moments: NotNegative = 0.0
    """Weight of means, third moments and lagged covariances in the generator's loss."""
    average: BelowOne = 0.999
    """Decay of the moving average of the generator; the average is the result of the training."""
    check_every: Count = 500
    """Steps from one validation to the next."""
    seed: Seed = 0
    precision: Precision = "tf32"
    """Precision of products on a GPU; the penalty uses TF32 unless this is float32."""
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        check_fields(self)
        one_of(self.precision, PRECISIONS, "precision")
        if self.moments and self.batch < 2:
            raise StsError("moments above 0 need a batch of at least 2")


class GanTrainer:
    """Both networks with their optimisers and the moving average of the generator."""

    def __init__(
        self,
        sizes: NetworkSettings,
        settings: GanTrainSettings,
        device: torch.device,
        *,
        stretch: Tensor | None = None,
    ) -> None:
        """Draw the weights.

        Parameters
        ----------
        stretch
            (neurons, frames) of the training windows, scaled: needed for moments, and for the
            initial values of an ending in spikes.
        """
        self.sizes, self.settings, self.device = sizes, settings, device
        self._moments: Moments | None = None
        self.generator, self.critic = make_networks(sizes, settings.seed)
        if stretch is not None:
            if settings.moments:
                self._moments = measure_moments(stretch, sizes.length)
            if self.generator.ending is not None:
                self.generator.ending.begin_from(stretch.cpu())
        self.generator.to(device)
        self.critic.to(device)
        self._moving = MovingAverage(self.generator)
        self.average = self._moving.network
        self._rates = {
            "generator": settings.learning_rate,
            "critic": settings.critic_rate or settings.learning_rate,
        }
        betas = (settings.beta1, settings.beta2)
        networks = {"generator": self.generator, "critic": self.critic}
        # On a CPU updates are a hundredth of a step, and a fused one would round otherwise.
        shared: dict[str, Any] = {"betas": betas, "fused": device.type == "cuda"}
        self._optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=self._rates[name], **shared)
            for name, network in networks.items()
        }
        self.state = TrainingState(
            networks={**networks, "average": self.average}, optimisers=self._optimisers
        )
        self._generate: Callable[..., Tensor] = self.generator
        self._rate: Callable[..., Tensor] = self.critic
        if settings.compile and device.type == "cuda":
            # The penalty uses the critic that is not compiled: it differentiates twice.
            self._generate, self._rate = torch.compile(self.generator), torch.compile(self.critic)

    def set_rates(self, step: int) -> None:
        """Set the learning rates for a step, counted from 0."""
        left = 1 - step / self.settings.steps
        share = min(left / self.settings.cooling, 1.0) if self.settings.cooling else 1.0
        for name, optimiser in self._optimisers.items():
            optimiser.param_groups[0]["lr"] = share * self._rates[name]

    def critic_step(self, real: Tensor, random: torch.Generator) -> Tensor:
        """Train the critic on a batch and return the distance of its ratings, real - generated."""
        with torch.no_grad(), cast_to(self.settings.precision, self.device):
            fake = self._generate(*self._noise(len(real), random)).float()
        shifts = draw_shifts(self.sizes, 2 * len(real), random)
        with cast_to(self.settings.precision, self.device):
            rated = self._rate(torch.cat([real, fake]), shifts).float()
        distance = rated[: len(real)].mean() - rated[len(real) :].mean()
        penalty = gradient_penalty(
            lambda windows: self.critic(windows, shifts[:, : len(real)]), real, fake, random=random
        )
        self._update("critic", self.settings.penalty * penalty - distance)
        return distance.detach()

    def generator_step(self, random: torch.Generator) -> Tensor:
        """Train the generator and return its loss."""
        self.critic.requires_grad_(False)
        shifts = draw_shifts(self.sizes, self.settings.batch, random)
        with cast_to(self.settings.precision, self.device):
            fake = self._generate(*self._noise(self.settings.batch, random))
            loss = -self._rate(fake, shifts).float().mean()
        if self._moments is not None:
            loss = loss + self.settings.moments * self._moments.distance(fake)
        self._update("generator", loss)
        self.critic.requires_grad_(True)
        self._moving.follow(self.settings.average)
        return loss.detach()

    def _update(self, name: str, loss: Tensor) -> None:
        optimiser = self._optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch says no type
        optimiser.step()

    def _noise(self, batch: int, random: torch.Generator) -> tuple[Tensor, tuple[Tensor, ...]]:
        noise = torch.randn(batch, self.sizes.noise, generator=random, device=self.device)
        return noise, draw_fresh(self.sizes, batch, random)


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Moments of the training stretch, each trace in units of its deviation.

    A critic sees one window at a time and is slow to learn differences that show only in many
    windows together. So the generator is also trained on means, third moments and lagged
    covariances (after McGAN, Mroueh et al., 2017).
    """

    mean: Tensor
    """(neurons, 1)."""
    deviation: Tensor
    values: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    """Weights of the squared errors of `values`."""

    def distance(self, windows: Tensor) -> Tensor:
        """Return the squared distance of windows (B, neurons, W) to the training stretch.

        The errors of two halves of the windows are multiplied, instead of squaring those of all:
        random errors of the halves are independent, so that the mean does not depend on B.
        """
        scaled = (windows.float() - self.mean) / self.deviation
        half = len(scaled) // 2
        pairs = zip(compute_moments(scaled[:half]), compute_moments(scaled[half:]), strict=True)
        total = torch.zeros((), device=windows.device)
        for (first, second), value, weight in zip(pairs, self.values, self.weights, strict=True):
            total = total + ((first - value) * (second - value) * weight).sum()
        return total


def measure_moments(traces: Tensor, length: int) -> Moments:
    """Return the moments of the training stretch (neurons, frames), for windows of a length."""
    mean, deviation = traces.mean(dim=1, keepdim=True), traces.std(dim=1, keepdim=True)
    values = compute_moments(((traces - mean) / deviation)[None], length)
    neurons = len(traces)
    # Third moments of traces without spikes are 0, except for random errors.
    thirds = THIRDS / values[1].square().clamp_min(0.01) / neurons
    # Covariances at all lags have the weights of lag 0.
    slow = len(select_lags(SLOW, length))
    slow_weights = [_weigh_covariances(values[2])] * slow
    fast_weights = [_weigh_covariances(values[2 + slow])] * (len(values) - 2 - slow)
    means = torch.full_like(values[0], MEANS / neurons)
    weights = (means, thirds, *slow_weights, *fast_weights)
    return Moments(mean=mean, deviation=deviation, values=values, weights=weights)


def _weigh_covariances(covariances: Tensor) -> Tensor:
    """Return weights relative to all covariances, and relative to each variance."""
    diagonal = torch.diagonal(covariances)
    between = (covariances - torch.diag(diagonal)).square().sum().clamp_min(1e-6)
    weight = (1 / between).expand_as(covariances).clone()
    weight.fill_diagonal_(0)
    return weight + torch.diag(1 / diagonal.square() / len(diagonal))


def compute_moments(scaled: Tensor, length: int | None = None) -> tuple[Tensor, ...]:
    """Return the mean, third moment of differences, and lagged covariances of (B, neurons, W)."""
    steps = scaled.diff(dim=-1)
    moments = [scaled.mean(dim=(0, 2)), (steps**3).mean(dim=(0, 2))]
    for values, lags in ((scaled, SLOW), (steps, FAST)):
        for lag in select_lags(lags, length or scaled.shape[-1]):
            frames = values.shape[-1] - lag
            products = torch.einsum("bnt,bmt->nm", values[..., :frames], values[..., lag:])
            moments.append(products / (len(values) * frames))
    return tuple(moments)


def select_lags(lags: tuple[int, ...], length: int) -> tuple[int, ...]:
    """Return the lags of at most half a window."""
    return tuple(lag for lag in lags if lag <= length // 2)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The record of one validation."""

    step: int
    """Step of the generator, counted from 1."""
    distance: float
    """Mean rating of real windows by the critic, minus that of generated ones."""
    generator_loss: float
    score: float
    """Score of windows from the averaged generator; lower is better."""
    better: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedGan:
    """Both networks on the CPU: the averaged generator of the best validation, the last critic."""

    generator: WindowGenerator
    critic: WindowCritic
    checks: tuple[Validation, ...]
    best: Validation


def train_generator(
    windows: Windows,
    scale: Scale,
    *,
    sizes: NetworkSettings,
    settings: GanTrainSettings,
    score: Callable[[Floats], float],
    count: int,
    device: torch.device | str = "cpu",
    state: Path | None = None,
    on_check: Callable[[Validation, Floats], None] | None = None,
) -> FittedGan:
    """Train on windows and return the best generator; one seed gives one result on a CPU.

    Parameters
    ----------
    score
        A function of generated windows (count, neurons, frames) in physical units; lower is better.
    count
        Number of windows that are generated for a validation.
    state
        A file that the training writes from time to time and resumes from.
    on_check
        Called after every validation, with the scored windows.
    """
    device = torch.device(device)
    if len(windows) == 0:
        raise ValueError("no window to train on")
    key = make_key(sizes, settings, windows.traces, windows.starts)
    file = TrainingFile(state, key, Validation, every_s=KEEP_GENERATOR_EVERY_S)
    data = _TrainingWindows(windows, scale, device)
    trainer = GanTrainer(sizes, settings, device, stretch=data.stretch)
    done = file.restore(trainer.state)
    if done.steps:
        logger.info("the training resumes after step %d", done.steps)
    with multiply_in(settings.precision, device), progress(settings.steps, "trained steps") as bar:
        bar.advance(done.steps)
        while done.steps < settings.steps:
            distance, loss = _train_step(trainer, data, done.steps)
            done = replace(done, steps=done.steps + 1)
            if done.steps % settings.check_every == 0 or done.steps == settings.steps:
                seed = (settings.seed, done.steps)
                fake = scale.undo(sample_windows(trainer.average, count, seed=seed))
                done = _validate(done, trainer, float(distance), float(loss), float(score(fake)))
                if on_check is not None:
                    on_check(done.records[-1], fake)
            file.keep(trainer.state, done)
            bar.advance(note=f"score {done.best_score:.3f}" if done.records else "")
    return _finish(trainer, done)


class _TrainingWindows:
    """The traces in 0..1 on the device, and the first frames of the training windows."""

    def __init__(self, windows: Windows, scale: Scale, device: torch.device) -> None:
        self._traces = torch.from_numpy(scale.apply(windows.traces)).to(device)
        self._starts = torch.from_numpy(windows.starts).to(device)
        self._length = windows.length
        # The frames of all training windows; pauses between them are left out.
        changes = np.zeros(windows.traces.shape[1] + 1, dtype=np.int64)
        np.add.at(changes, windows.starts, 1)
        np.add.at(changes, windows.starts + windows.length, -1)
        inside = torch.from_numpy(np.cumsum(changes)[:-1] > 0)
        self.stretch = self._traces[:, inside.to(device)]

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Return random windows (count, neurons, length)."""
        device = self._traces.device
        drawn = torch.randint(len(self._starts), (count,), generator=random, device=device)
        frames = self._starts[drawn][:, None] + torch.arange(self._length, device=device)
        return self._traces[:, frames].transpose(0, 1).contiguous()


def _train_step(trainer: GanTrainer, data: _TrainingWindows, step: int) -> tuple[Tensor, Tensor]:
    """Run a step, counted from 0; return the critic's distance and the generator's loss."""
    settings = trainer.settings
    # Every step has its own random generator, so that a resumed training gives the same result.
    seed = mix_seeds(settings.seed, step, dtype=np.uint64) >> 1
    random = torch.Generator(trainer.device).manual_seed(seed)
    trainer.set_rates(step)
    for _ in range(settings.critic_steps):
        distance = trainer.critic_step(data.draw(settings.batch, random), random)
    return distance, trainer.generator_step(random)


def _validate(
    done: TrainingProgress[Validation],
    trainer: GanTrainer,
    distance: float,
    loss: float,
    score: float,
) -> TrainingProgress[Validation]:
    """Return the progress with one more validation."""
    if not (math.isfinite(distance) and math.isfinite(loss)):
        raise StsError(f"the training diverged before step {done.steps}: lower the learning rate")
    record = Validation(
        step=done.steps,
        distance=distance,
        generator_loss=loss,
        score=score,
        better=done.is_better(score),
    )
    return done.add(record, better=record.better, score=score, network=trainer.average)


def _finish(trainer: GanTrainer, done: TrainingProgress[Validation]) -> FittedGan:
    if done.best is None:
        raise StsError("the score was never a number: lower the learning rate")
    trainer.average.load_state_dict(done.best_state)
    return FittedGan(
        generator=trainer.average.cpu().eval(),
        critic=trainer.critic.cpu().eval(),
        checks=done.records,
        best=done.best,
    )
