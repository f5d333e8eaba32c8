"""A conditional Wasserstein GAN with gradient penalty."""

import torch
from torch import Tensor, nn

from sts.augment.deep import (
    Batch,
    DeepGenerator,
    Network,
    Trainer,
    make_adam,
    set_learning_rate,
)
from sts.augment.settings import GanSettings, LayerSettings
from sts.learning.training import gradient_penalty

# Number of rows that are drawn for each held-out row.
ROWS_PER_HELD_OUT = 4
# Slope of the layers for negative values.
LEAK = 0.2
# Decay rates of Adam. The critic changes, so that old gradients are wrong (Gulrajani et al., 2017).
BETAS = (0.5, 0.9)


class Gan(DeepGenerator):
    """Rows that a critic cannot distinguish from real ones."""

    settings: GanSettings

    def make_network(self, features: int, classes: int) -> Network:
        """Return a new network."""
        return GanNetwork(features, classes, self.settings)

    def make_trainer(self, network: Network, features: int, classes: int) -> Trainer:
        """Return what trains the network, against a critic."""
        critic = Critic(features, classes, self.settings).to(next(network.parameters()).device)
        return CriticTrainer(network, critic, self.settings)


class PlainLayers(nn.Module):
    """Layers without shortcuts or norms, with a condition."""

    def __init__(self, inputs: int, outputs: int, settings: LayerSettings) -> None:
        super().__init__()
        width = settings.width
        self.first = nn.Linear(inputs, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(settings.depth))
        self.dropout = nn.Dropout(settings.dropout)
        self.last = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor, condition: Tensor) -> Tensor:
        """Return outputs (B, outputs) of inputs (B, inputs) and condition (B or 1, width)."""
        hidden: Tensor = self.first(inputs) + condition
        for layer in self.inner:
            hidden = layer(self.dropout(nn.functional.leaky_relu(hidden, LEAK)))
        outputs: Tensor = self.last(nn.functional.leaky_relu(hidden, LEAK))
        return outputs


class GanNetwork(Network):
    """Transforms noise to rows."""

    def __init__(self, features: int, classes: int, settings: GanSettings) -> None:
        super().__init__()
        self.features, self.noise = features, settings.noise
        self.number = classes
        self.classes = nn.Embedding(classes, settings.layers.width)
        self.layers = PlainLayers(features + settings.noise, features, settings.layers)
        # A new network returns its noise, which the frame transforms to a Gaussian copula.
        nn.init.zeros_(self.layers.last.weight)
        nn.init.zeros_(self.layers.last.bias)

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return one row of scores for each class in `classes`, (B, features)."""
        shape = (len(classes), self.features + self.noise)
        noise = torch.randn(shape, generator=generator, device=classes.device)
        change: Tensor = self.layers(noise, self.classes(classes))
        return noise[:, : self.features] + change

    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the energy distance between drawn and held-out rows, classes included."""
        classes = batch.classes.repeat(ROWS_PER_HELD_OUT)
        drawn = self.draw(classes, generator)
        # A difference in class has the weight of the mean distance between two rows.
        distance = self.features**0.5
        one_hot = nn.functional.one_hot
        real = torch.cat([batch.scores, distance * one_hot(batch.classes, self.number)], dim=1)
        synthetic = torch.cat([drawn, distance * one_hot(classes, self.number)], dim=1)
        return energy_distance(real, synthetic)


class Critic(nn.Module):
    """Rates how realistic a row of a class is."""

    def __init__(self, features: int, classes: int, settings: GanSettings) -> None:
        super().__init__()
        self.classes = nn.Embedding(classes, settings.layers.width)
        self.layers = PlainLayers(features, 1, settings.layers)

    def forward(self, scores: Tensor, classes: Tensor) -> Tensor:
        """Return one rating for each row, (B,)."""
        ratings: Tensor = self.layers(scores, self.classes(classes))
        return ratings[:, 0]


class CriticTrainer:
    """Trains a generator against a critic, which is trained for more steps."""

    def __init__(self, network: Network, critic: Critic, settings: GanSettings) -> None:
        self._network, self._critic, self._settings = network, critic, settings
        self._optimiser = make_adam(network, settings.loop, BETAS)
        self._critic_optimiser = make_adam(critic, settings.loop, BETAS)

    def step(self, batch: Batch, generator: torch.Generator, *, done: float) -> None:
        """Train the critic on the batch, each time against new rows, then the generator."""
        for optimiser in (self._optimiser, self._critic_optimiser):
            set_learning_rate(optimiser, self._settings.loop, done)
        for _ in range(self._settings.critic_steps):
            with torch.no_grad():
                drawn = self._network.draw(batch.classes, generator)
            self._critic_optimiser.zero_grad()
            penalty = gradient_penalty(
                lambda rows: self._critic(rows, batch.classes),
                batch.scores,
                drawn,
                random=generator,
            )
            both = torch.cat([drawn, batch.scores])
            of_drawn, of_real = self._critic(both, batch.classes.repeat(2)).chunk(2)
            gap = of_drawn.mean() - of_real.mean()
            (gap + self._settings.penalty * penalty).backward()
            self._critic_optimiser.step()
        self._optimiser.zero_grad()
        drawn = self._network.draw(batch.classes, generator)
        (-self._critic(drawn, batch.classes).mean()).backward()
        self._optimiser.step()


def energy_distance(one: Tensor, other: Tensor) -> Tensor:
    """Return twice the mean distance between two samples minus those within (Szekely, 2003)."""
    return 2 * torch.cdist(one, other).mean() - _mean_distance(one) - _mean_distance(other)


def _mean_distance(rows: Tensor) -> Tensor:
    """Return the mean distance between two of the rows."""
    total: Tensor = torch.cdist(rows, rows).sum()
    return total / max(len(rows) * (len(rows) - 1), 1)
