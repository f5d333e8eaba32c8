"""The layers that generators are built from, and random numbers from a generator of their own."""

from typing import Final

import torch
from torch import Tensor, nn

from sts.augment.settings import LayerSettings

# What is let through of what is negative.
LEAK: Final = 0.2


class _Block(nn.Module):
    """A residual layer that a condition leans one way or another."""

    def __init__(self, settings: LayerSettings) -> None:
        super().__init__()
        width = settings.width
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.lean = nn.Linear(width, width, bias=False)
        self.outer = nn.Linear(width, width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        inner = nn.functional.silu(self.inner(self.norm(hidden)) + self.lean(condition))
        outer: Tensor = self.outer(self.dropout(inner))
        return hidden + outer


class ResidualStack(nn.Module):
    """Residual layers under a condition, which says nothing before it has learned to.

    Its last layer starts at zero, so that a network begins at what it adds its answer to.
    """

    def __init__(self, inputs: int, outputs: int, settings: LayerSettings) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, settings.width)
        self.blocks = nn.ModuleList(_Block(settings) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width)
        self.last = nn.Linear(settings.width, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, inputs: Tensor, condition: Tensor) -> Tensor:
        """Return outputs (B, outputs) of inputs (B, inputs) and condition (B or 1, width)."""
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = block(hidden, condition)
        outputs: Tensor = self.last(self.norm(hidden))
        return outputs


class PlainLayers(nn.Module):
    """Layers without shortcuts or norms, whose slope is quick to learn from, under a condition."""

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


def noise_like(values: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal numbers in the shape of `values`."""
    return torch.randn(values.shape, generator=generator, device=values.device, dtype=values.dtype)


def uniform(count: int, generator: torch.Generator) -> Tensor:
    """Return `count` numbers in [0, 1)."""
    return torch.rand(count, generator=generator, device=generator.device)
