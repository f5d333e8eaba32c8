"""Means, third moments and lagged covariances that generated windows share with the training ones.

A critic sees one window at a time and is slow to notice what only many of them show together; a
generator may be told these directly (after McGAN, Mroueh et al., 2017).
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

# Frames apart, for the traces themselves and for their differences from frame to frame.
SLOW: Final = (0, 2, 4, 8, 16, 32)
FAST: Final = (0, 1, 2, 4)
# Of an error of the means and of the third moments of differences, against one of a covariance:
# rates of spikes hang on both.
MEANS: Final = 3.0
THIRDS: Final = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What is true of the training stretch, each trace in units of its deviation."""

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
        found = zip(moments(scaled[:half]), moments(scaled[half:]), strict=True)
        total = torch.zeros((), device=windows.device)
        for (first, second), value, weight in zip(found, self.values, self.weights, strict=True):
            total = total + ((first - value) * (second - value) * weight).sum()
        return total


def moments_of(traces: Tensor, length: int) -> Moments:
    """Return the moments of the training stretch (neurons, frames), for windows of a length."""
    mean, deviation = traces.mean(dim=1, keepdim=True), traces.std(dim=1, keepdim=True)
    values = moments(((traces - mean) / deviation)[None], length)
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


def moments(scaled: Tensor, length: int | None = None) -> tuple[Tensor, ...]:
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
    """Return the lags that windows of a length tell enough of."""
    return tuple(lag for lag in lags if lag <= length // 2)
