"""A conditional variational autoencoder whose decoder says how sure it is of each feature."""

import math
from typing import Final

import torch
from torch import Tensor, nn

from sts.augment.deep import DeepGenerator
from sts.augment.layers import ResidualStack, noise_like
from sts.augment.settings import VaeSettings
from sts.augment.training import Batch, Network

# Natural logarithms of variances: from a fiftieth of a deviation to four.
SUREST: Final = -8.0
LEAST_SURE: Final = 3.0
# How many codes a held-out row is scored with.
CODES: Final = 8


class Vae(DeepGenerator):
    """Rows decoded from normal codes, with the noise that the decoder has learned."""

    settings: VaeSettings

    def network(self, features: int, classes: int) -> Network:
        """Return a new network."""
        return VaeNetwork(features, classes, self.settings)


class VaeNetwork(Network):
    """Encoder and decoder, both normal, both given the class."""

    def __init__(self, features: int, classes: int, settings: VaeSettings) -> None:
        super().__init__()
        self.settings = settings
        self.classes = nn.Embedding(classes, settings.layers.width)
        self.encoder = ResidualStack(features, 2 * settings.latent, settings.layers)
        self.decoder = ResidualStack(settings.latent, 2 * features, settings.layers)

    def bound(self, batch: Batch, generator: torch.Generator, *, beta: float = 1.0) -> Tensor:
        """Return the lower bound of each row's log likelihood, (B,), from one code a row.

        The divergence of the code from a standard normal one counts `beta` times (Higgins et al.,
        2017); with 1 this is the bound itself.
        """
        condition = self.classes(batch.classes)
        mean, log_variance = _halves(self.encoder(batch.scores, condition))
        code = mean + noise_like(mean, generator) * (log_variance / 2).exp()
        likelihood = _log_normal(batch.scores, *_halves(self.decoder(code, condition)))
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
        return likelihood - beta * divergence

    def loss(self, batch: Batch, generator: torch.Generator, *, done: float) -> Tensor:
        """Return the negative bound a feature, the divergence counting more and more."""
        beta = beta_at(done, self.settings)
        return -self.bound(batch, generator, beta=beta).mean() / batch.scores.shape[1]

    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the negative bound a feature, from several codes a row."""
        bounds = [self.bound(batch, generator).mean() for _ in range(CODES)]
        return -torch.stack(bounds).mean() / batch.scores.shape[1]

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return a row of scores for each class asked for, (B, features)."""
        code = torch.randn(
            (len(classes), self.settings.latent), generator=generator, device=classes.device
        )
        mean, log_variance = _halves(self.decoder(code, self.classes(classes)))
        return mean + noise_like(mean, generator) * (log_variance / 2).exp()


def beta_at(done: float, settings: VaeSettings) -> float:
    """Return what the divergence counts when the part `done` of the training is over."""
    return settings.beta * min(1.0, done / settings.warm_up if settings.warm_up else 1.0)


def _halves(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and logarithms of variances."""
    mean, log_variance = outputs.chunk(2, dim=1)
    return mean, log_variance.clamp(SUREST, LEAST_SURE)


def _log_normal(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    squares = (values - mean).square() / log_variance.exp()
    return -(squares + log_variance + math.log(2 * math.pi)).sum(dim=1) / 2
