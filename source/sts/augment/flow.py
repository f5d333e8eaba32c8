"""A conditional masked autoregressive flow: each feature depends on all features before it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from zuko.flows import MAF

from sts.augment.deep import Batch, DeepGenerator, Network
from sts.augment.settings import FlowSettings


class Flow(DeepGenerator):
    """Rows that a flow computes from normal noise."""

    settings: FlowSettings

    def make_network(self, features: int, classes: int) -> Network:
        """Return a new network."""
        return FlowNetwork(features, classes, self.settings)


class FlowNetwork(Network):
    """Affine autoregressive transformations, every other one in reverse order."""

    def __init__(self, features: int, classes: int, settings: FlowSettings) -> None:
        super().__init__()
        self.features, self.classes = features, classes
        self.maf = MAF(
            features,
            context=classes,
            transforms=settings.transforms,
            hidden_features=(settings.width,) * settings.depth,
            activation=nn.SiLU,
            # The number of passes is the number of features: two passes are a coupling flow.
            passes=None,
        )
        for transform in self.maf.transform.transforms:
            # A new transformation is the identity.
            nn.init.zeros_(transform.hyper[-1].weight)
            nn.init.zeros_(transform.hyper[-1].bias)

    def log_likelihood(self, batch: Batch) -> Tensor:
        """Return the log likelihood of each row, (B,)."""
        return self.distribution(batch.classes).log_prob(batch.scores)  # type: ignore[no-any-return]

    def to_scores(self, noise: Tensor, classes: Tensor) -> Tensor:
        """Return the rows for this noise, one feature after the other."""
        return self.distribution(classes).transform.inv(noise)  # type: ignore[no-any-return]

    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the negative log likelihood per feature."""
        return -self.log_likelihood(batch).mean() / self.features

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return one row of scores for each class in `classes`, (B, features)."""
        shape = (len(classes), self.features)
        noise = torch.randn(shape, generator=generator, device=classes.device)
        return self.to_scores(noise, classes)

    def distribution(self, classes: Tensor) -> Any:
        """Return zuko's distribution of rows for these classes."""
        return self.maf(functional.one_hot(classes, self.classes).float())
