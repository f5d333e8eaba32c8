"""Generator and critic while they train: settings, a step of each, and moments to aim at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import torch
from torch import Tensor

from sts.base.errors import StsError, one_of
from sts.base.settings import Bounds, Count, NotNegative, Part, Seed, Share, check_fields
from sts.base.types import PRECISIONS, Precision
from sts.calcium.networks import NetworkSettings, draw_fresh, draw_shifts, make_networks
from sts.learning.checkpoint import TrainingState
from sts.learning.device import cast_to
from sts.learning.updates import MovingAverage, gradient_penalty

# Frames apart, for the traces themselves and for their differences from frame to frame.
SLOW: Final = (0, 2, 4, 8, 16, 32)
FAST: Final = (0, 1, 2, 4)
# Of an error of the means and of the third moments of differences, against one of a covariance:
# rates of spikes hang on both.
MEANS: Final = 3.0
THIRDS: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class GanTrainSettings:
    """How the networks are trained; defaults as published, betas as in Gulrajani et al. (2017)."""

    steps: Count = 20_000
    """Of the generator."""
    critic_steps: Annotated[int, Bounds(1, 1000)] = 5
    """For each step of the generator."""
    batch: Annotated[int, Bounds(1, 65536)] = 128
    learning_rate: Share = 1e-4
    critic_rate: Share | None = None
    """Learning rate of the critic; None: the same."""
    cooling: Part = 0.0
    """Part of the steps, at the end, over which both rates fall to 0."""
    beta1: Part = 0.0
    beta2: Part = 0.9
    penalty: NotNegative = 10.0
    moments: NotNegative = 0.0
    """Weight of means, third moments and lagged covariances in the generator's loss."""
    average: Part = 0.999
    """Decay of the moving average of the generator, which is what is kept."""
    check_every: Count = 500
    """Steps from one validation to the next."""
    seed: Seed = 0
    precision: Precision = "tf32"
    """What layers multiply in on a GPU, where the penalty takes TF32 unless this is float32."""
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        check_fields(self)
        one_of(self.precision, PRECISIONS, "precision")
        if self.moments and self.batch < 2:
            raise StsError("moments above 0 take a batch of at least 2")


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
            (neurons, frames) that the training windows come from, scaled: needed for moments, and
            where spikes begin.
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
        self._optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=self._rates[name], betas=betas)
            for name, network in (("generator", self.generator), ("critic", self.critic))
        }
        self.state = TrainingState(
            networks={
                "generator": self.generator,
                "critic": self.critic,
                "average": self.average,
            },
            optimisers=self._optimisers,
        )
        self._generate, self._rate = self._prepare()

    def _prepare(self) -> "tuple[Callable[..., Tensor], Callable[..., Tensor]]":
        if self.settings.compile and self.device.type == "cuda":
            # The penalty differentiates twice, which compiled networks cannot: it takes the plain.
            return torch.compile(self.generator), torch.compile(self.critic)
        return self.generator, self.critic

    def set_rates(self, step: int) -> None:
        """Set the learning rates for a step, counted from 0."""
        left = 1 - step / self.settings.steps
        share = min(left / self.settings.cooling, 1.0) if self.settings.cooling else 1.0
        for name, optimiser in self._optimisers.items():
            optimiser.param_groups[0]["lr"] = share * self._rates[name]

    @property
    def rates(self) -> dict[str, float]:
        """Return the learning rate of each network now."""
        return {
            name: float(optimiser.param_groups[0]["lr"])
            for name, optimiser in self._optimisers.items()
        }

    def critic_step(self, real: Tensor, random: torch.Generator) -> Tensor:
        """Train the critic on a batch and return how far apart it rates real and generated."""
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

    A critic sees one window at a time and is slow to notice what only many of them show together:
    means, third moments and lagged covariances are given to the generator directly (after McGAN,
    Mroueh et al., 2017).
    """

    mean: Tensor
    """(neurons, 1)."""
    deviation: Tensor
    values: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    """One over the square of what an error is measured by, like `values`."""

    def distance(self, windows: Tensor) -> Tensor:
        """Return the squared distance of windows (B, neurons, W) to the training stretch.

        The errors of two halves of the windows are multiplied, not those of all squared: what is
        chance in one half is not in the other, so that few windows are as far as many on average.
        """
        scaled = (windows.float() - self.mean) / self.deviation
        half = len(scaled) // 2
        found = zip(compute_moments(scaled[:half]), compute_moments(scaled[half:]), strict=True)
        total = torch.zeros((), device=windows.device)
        for (first, second), value, weight in zip(found, self.values, self.weights, strict=True):
            total = total + ((first - value) * (second - value) * weight).sum()
        return total


def measure_moments(traces: Tensor, length: int) -> Moments:
    """Return the moments of the training stretch (neurons, frames), for windows of a length."""
    mean, deviation = traces.mean(dim=1, keepdim=True), traces.std(dim=1, keepdim=True)
    values = compute_moments(((traces - mean) / deviation)[None], length)
    neurons = len(traces)
    weights = [torch.full_like(values[0], MEANS / neurons), _thirds(values[1])]
    # Covariances at all lags are measured by those of the same frame, variances apart from them.
    slow = len(lags_within(SLOW, length))
    weights += [_weight(values[2])] * slow + [_weight(values[2 + slow])] * (len(values) - 2 - slow)
    return Moments(mean=mean, deviation=deviation, values=values, weights=tuple(weights))


def _thirds(values: Tensor) -> Tensor:
    # Those of traces without spikes are 0 but for chance.
    return THIRDS / values.square().clamp_min(0.01) / len(values)


def _weight(covariances: Tensor) -> Tensor:
    diagonal = torch.diagonal(covariances)
    between = (covariances - torch.diag(diagonal)).square().sum().clamp_min(1e-6)
    weight = (1 / between).expand_as(covariances).clone()
    weight.fill_diagonal_(0)
    return weight + torch.diag(1 / diagonal.square() / len(diagonal))


def compute_moments(scaled: Tensor, length: int | None = None) -> tuple[Tensor, ...]:
    """Return the mean, third moment of differences, and lagged covariances of (B, neurons, W)."""
    steps = scaled.diff(dim=-1)
    found = [scaled.mean(dim=(0, 2)), (steps**3).mean(dim=(0, 2))]
    for values, lags in ((scaled, SLOW), (steps, FAST)):
        for lag in lags_within(lags, length or scaled.shape[-1]):
            frames = values.shape[-1] - lag
            products = torch.einsum("bnt,bmt->nm", values[..., :frames], values[..., lag:])
            found.append(products / (len(values) * frames))
    return tuple(found)


def lags_within(lags: tuple[int, ...], length: int) -> tuple[int, ...]:
    """Return the lags that are short enough for windows of a length."""
    return tuple(lag for lag in lags if lag <= length // 2)
