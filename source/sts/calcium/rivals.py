"""Generator and critic while they train: one step of each, and all that must survive a kill."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from sts.base.bounds import Bounds, Count, NotNegative, Part, Seed, Share, check_fields
from sts.base.errors import StsError, one_of
from sts.base.types import PRECISIONS, Precision
from sts.calcium.moments import Moments, moments_of
from sts.calcium.networks import (
    Critic,
    Generator,
    NetworkSettings,
    draw_fresh,
    draw_shifts,
    initialise,
)
from sts.learning.device import cast_to

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
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


class Rivals:
    """Both networks with their optimisers and the average of the generator."""

    def __init__(
        self,
        sizes: NetworkSettings,
        settings: TrainSettings,
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
                self._moments = moments_of(stretch, sizes.length)
            if self.generator.ending is not None:
                self.generator.ending.begin_from(stretch.cpu())
        self.generator.to(device)
        self.critic.to(device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        betas = (settings.beta1, settings.beta2)
        self._rates = {
            "generator": settings.learning_rate,
            "critic": settings.critic_rate or settings.learning_rate,
        }
        self._optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=self._rates[name], betas=betas)
            for name, network in self._learning().items()
        }
        self._generate, self._judge = self._prepared()

    def _prepared(self) -> "tuple[Callable[..., Tensor], Callable[..., Tensor]]":
        if self.settings.compile and self.device.type == "cuda":
            # The penalty differentiates twice, which compiled networks cannot: it takes the plain.
            return torch.compile(self.generator), torch.compile(self.critic)
        return self.generator, self.critic

    def _learning(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "critic": self.critic}

    def cool(self, step: int) -> None:
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
        """Train the critic on a batch and return how far apart it holds real and generated."""
        with torch.no_grad(), cast_to(self.settings.precision, self.device):
            fake = self._generate(*self._noise(len(real), random)).float()
        shifts = draw_shifts(self.sizes, 2 * len(real), random)
        with cast_to(self.settings.precision, self.device):
            judged = self._judge(torch.cat([real, fake]), shifts).float()
        apart = judged[: len(real)].mean() - judged[len(real) :].mean()
        loss = self.settings.penalty * gradient_penalty(
            self.critic, real, fake, shifts=shifts[:, : len(real)], random=random
        )
        self._update("critic", loss - apart)
        return apart.detach()

    def generator_step(self, random: torch.Generator) -> Tensor:
        """Train the generator and return its loss."""
        self.critic.requires_grad_(False)
        shifts = draw_shifts(self.sizes, self.settings.batch, random)
        with cast_to(self.settings.precision, self.device):
            fake = self._generate(*self._noise(self.settings.batch, random))
            loss = -self._judge(fake, shifts).float().mean()
        if self._moments is not None:
            loss = loss + self.settings.moments * self._moments.distance(fake)
        self._update("generator", loss)
        self.critic.requires_grad_(True)
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
            for mean, now in pairs:
                mean.lerp_(now, 1 - self.settings.average)
        return loss.detach()

    def _update(self, name: str, loss: Tensor) -> None:
        optimiser = self._optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch says no type
        optimiser.step()

    def _noise(self, batch: int, random: torch.Generator) -> tuple[Tensor, tuple[Tensor, ...]]:
        noise = torch.randn(batch, self.sizes.noise, generator=random, device=self.device)
        return noise, draw_fresh(self.sizes, batch, random)

    def tensors(self) -> Tensors:
        """Return everything that learns, by name."""
        found: Tensors = {}
        networks = {**self._learning(), "average": self.average}
        for name, network in networks.items():
            found |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimiser in self._optimisers.items():
            for index, state in optimiser.state_dict()["state"].items():
                found |= {f"adam.{name}.{index}.{key}": each for key, each in state.items()}
        return {name: value.detach().cpu() for name, value in found.items()}

    def restore(self, tensors: Tensors) -> None:
        """Take back what `tensors` returned."""
        for name, network in {**self._learning(), "average": self.average}.items():
            network.load_state_dict(_under(f"{name}.", tensors))
        for name, optimiser in self._optimisers.items():
            states: dict[int, Tensors] = {}
            for key, value in _under(f"adam.{name}.", tensors).items():
                index, _, field = key.partition(".")
                states.setdefault(int(index), {})[field] = value
            whole = optimiser.state_dict()
            optimiser.load_state_dict({**whole, "state": states})


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def make_networks(sizes: NetworkSettings, seed: int) -> tuple[Generator, Critic]:
    """Return both networks, their weights drawn from a seed."""
    # What torch draws on its own is drawn again: its global generator must be left alone.
    with torch.random.fork_rng(devices=[]):
        generator, critic = Generator(sizes), Critic(sizes)
    initialise((generator, critic), torch.Generator().manual_seed(seed))
    return generator, critic


def gradient_penalty(
    critic: nn.Module,
    real: Tensor,
    fake: Tensor,
    *,
    shifts: Tensor | None = None,
    random: torch.Generator,
) -> Tensor:
    """Return the mean of (norm of the critic's gradient - 1) squared (Gulrajani et al., 2017).

    The gradient is taken half way, at a random place between a real and a generated window, in
    float32 whatever the rest is computed in.
    """
    share = torch.rand(len(real), 1, 1, generator=random, device=real.device)
    between = (share * real.float() + (1 - share) * fake.float()).requires_grad_(True)
    with torch.autocast(real.device.type, enabled=False):
        judged = critic(between, shifts)
        (slope,) = torch.autograd.grad(judged.sum(), between, create_graph=True)
    norms = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    penalty: Tensor = ((norms - 1) ** 2).mean()
    return penalty
