"""A conditional Wasserstein GAN with gradient penalty."""

import torch
from torch import Tensor, nn

from sts.augment.deep import DeepGenerator
from sts.augment.layers import PlainLayers
from sts.augment.settings import GanSettings
from sts.augment.training import Batch, Network, Trainer, adam, set_rate
from sts.learning.training import gradient_penalty

# How many rows are drawn for each held-out one.
DRAWS = 4
# Against a critic that changes, old gradients mislead (Gulrajani et al., 2017: 0 or 0.5).
BETAS = (0.5, 0.9)


class Gan(DeepGenerator):
    """Draws rows that a critic cannot tell from real ones."""

    settings: GanSettings

    def network(self, features: int, classes: int) -> Network:
        """Return a new network."""
        return GanNetwork(features, classes, self.settings)

    def trainer(self, network: Network, features: int, classes: int) -> Trainer:
        """Return what trains the network against a critic."""
        critic = Critic(features, classes, self.settings).to(next(network.parameters()).device)
        return CriticTrainer(network, critic, self.settings)


class GanNetwork(Network):
    """Turns noise into rows."""

    def __init__(self, features: int, classes: int, settings: GanSettings) -> None:
        super().__init__()
        self.features, self.noise = features, settings.noise
        self.number = classes
        self.classes = nn.Embedding(classes, settings.layers.width)
        self.layers = PlainLayers(features + settings.noise, features, settings.layers)
        # It begins at plain noise, which the frame turns into a Gaussian copula.
        nn.init.zeros_(self.layers.last.weight)
        nn.init.zeros_(self.layers.last.bias)

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return a row of scores for each class asked for, (B, features)."""
        shape = (len(classes), self.features + self.noise)
        noise = torch.randn(shape, generator=generator, device=classes.device)
        bent: Tensor = self.layers(noise, self.classes(classes))
        return noise[:, : self.features] + bent

    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the energy distance of drawn from held-out rows, each beside its class."""
        classes = batch.classes.repeat(DRAWS)
        drawn = self.draw(classes, generator)
        # Rows of two classes are as far apart as rows are on average.
        distance = self.features**0.5
        one_hot = nn.functional.one_hot
        real = torch.cat([batch.scores, distance * one_hot(batch.classes, self.number)], dim=1)
        made = torch.cat([drawn, distance * one_hot(classes, self.number)], dim=1)
        return energy_distance(real, made)


class Critic(nn.Module):
    """Rates how real a row of a class looks."""

    def __init__(self, features: int, classes: int, settings: GanSettings) -> None:
        super().__init__()
        self.classes = nn.Embedding(classes, settings.layers.width)
        self.layers = PlainLayers(features, 1, settings.layers)

    def forward(self, scores: Tensor, classes: Tensor) -> Tensor:
        """Return a number a row, (B,)."""
        said: Tensor = self.layers(scores, self.classes(classes))
        return said[:, 0]


class CriticTrainer:
    """Trains a generator against a critic, which learns more often."""

    def __init__(self, network: Network, critic: Critic, settings: GanSettings) -> None:
        self._network, self._critic, self._settings = network, critic, settings
        self._optimiser = adam(network, settings.loop, BETAS)
        self._critics = adam(critic, settings.loop, BETAS)

    def step(self, batch: Batch, generator: torch.Generator, *, done: float) -> None:
        """Let the critic learn from the batch, each time against new rows, then the generator."""
        for optimiser in (self._optimiser, self._critics):
            set_rate(optimiser, self._settings.loop, done)
        for _ in range(self._settings.critic_steps):
            with torch.no_grad():
                drawn = self._network.draw(batch.classes, generator)
            self._critics.zero_grad()
            penalty = gradient_penalty(
                lambda rows: self._critic(rows, batch.classes),
                batch.scores,
                drawn,
                random=generator,
            )
            both = torch.cat([drawn, batch.scores])
            said = self._critic(both, batch.classes.repeat(2)).chunk(2)
            gap = said[0].mean() - said[1].mean()
            (gap + self._settings.penalty * penalty).backward()
            self._critics.step()
        self._optimiser.zero_grad()
        drawn = self._network.draw(batch.classes, generator)
        (-self._critic(drawn, batch.classes).mean()).backward()
        self._optimiser.step()


def energy_distance(one: Tensor, other: Tensor) -> Tensor:
    """Return twice the mean distance between two samples less those within (Szekely, 2003)."""
    return 2 * torch.cdist(one, other).mean() - _within(one) - _within(other)


def _within(rows: Tensor) -> Tensor:
    """Return the mean distance between two of the rows."""
    total: Tensor = torch.cdist(rows, rows).sum()
    return total / max(len(rows) * (len(rows) - 1), 1)
