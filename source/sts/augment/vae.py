"""A conditional variational autoencoder whose decoder also gives the variance of each feature."""

import math
from typing import Final

import torch
from torch import Tensor, nn

from sts.augment.deep import Batch, DeepGenerator, Network, ResidualStack, noise_like
from sts.augment.settings import VaeSettings

# Natural logarithms of the smallest and the largest variance.
SMALLEST_LOG_VARIANCE: Final = -8.0
LARGEST_LOG_VARIANCE: Final = 3.0
# Number of codes with which a held-out row is scored.
CODES: Final = 8


class Vae(DeepGenerator):
    """Rows decoded from normal codes, with the noise from the decoder."""

    settings: VaeSettings

    def make_network(self, features: int, classes: int) -> Network:
        """Return a new network."""
        return VaeNetwork(features, classes, self.settings)


class VaeNetwork(Network):
    """An encoder and a decoder, both normal, both with the class as condition."""

    def __init__(self, features: int, classes: int, settings: VaeSettings) -> None:
        super().__init__()
        self.settings = settings
        self.classes = nn.Embedding(classes, settings.layers.width)
        self.encoder = ResidualStack(features, 2 * settings.latent, settings.layers)
        self.decoder = ResidualStack(settings.latent, 2 * features, settings.layers)

    def bound(self, batch: Batch, generator: torch.Generator, *, beta: float = 1.0) -> Tensor:
        """Return the lower bound of the log likelihood of each row, (B,), from one code per row.

        The divergence of the code from a standard normal one counts `beta` times (Higgins et al.,
        2017); with 1 this is the bound itself.
        """
        condition = self.classes(batch.classes)
        mean, log_variance = _split_outputs(self.encoder(batch.scores, condition))
        code = mean + noise_like(mean, generator) * (log_variance / 2).exp()
        likelihood = _log_normal(batch.scores, *_split_outputs(self.decoder(code, condition)))
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
        return likelihood - beta * divergence

    def loss(self, batch: Batch, generator: torch.Generator, *, done: float) -> Tensor:
        """Return the negative bound per feature; the weight of the divergence increases."""
        beta = schedule_beta(done, self.settings)
        return -self.bound(batch, generator, beta=beta).mean() / batch.scores.shape[1]

    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the negative bound per feature, from several codes per row."""
        bounds = [self.bound(batch, generator).mean() for _ in range(CODES)]
        return -torch.stack(bounds).mean() / batch.scores.shape[1]

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return one row of scores for each class in `classes`, (B, features)."""
        code = torch.randn(
            (len(classes), self.settings.latent), generator=generator, device=classes.device
        )
        mean, log_variance = _split_outputs(self.decoder(code, self.classes(classes)))
        return mean + noise_like(mean, generator) * (log_variance / 2).exp()


def schedule_beta(done: float, settings: VaeSettings) -> float:
    """Return the weight of the divergence after the share `done` of all steps."""
    return settings.beta * min(1.0, done / settings.warm_up if settings.warm_up else 1.0)


def _split_outputs(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and logarithms of variances, which are the two halves of the outputs."""
    mean, log_variance = outputs.chunk(2, dim=1)
    return mean, log_variance.clamp(SMALLEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)


def _log_normal(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    squares = (values - mean).square() / log_variance.exp()
    return -(squares + log_variance + math.log(2 * math.pi)).sum(dim=1) / 2
