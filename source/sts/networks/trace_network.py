"""TraceNet: a small network of sweeps themselves, without scalograms."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from sts.scalograms.image import SWEEPS_PER_CELL

# Taps and stride of the first filters, in samples of 0.25 ms: they cover a spike.
_FIRST_TAPS: Final = 16
_FIRST_STRIDE: Final = 4
_FIRST_CHANNELS: Final = 32
# Taps of all other filters.
_TAPS: Final = 5
# Output channels, stride and dilation of each residual block. At the end a step is 8 ms, and a
# filter of the last block covers 130 ms: the interval between spikes at 8 Hz.
_BLOCKS: Final = ((48, 4, 1), (48, 1, 2), (64, 2, 1), (64, 1, 2), (64, 1, 4))
# Weightings of time with which the last steps are averaged.
_VIEWS: Final = 4


class TraceNet(nn.Module):
    """Residual, dilated convolutions over time, the same for both sweeps, then attention.

    Its input is an image of one row, (n, 3, 1, samples). The third channel repeats the first, as
    in scalograms, and is not used. Layers are two-dimensional with a height of one: this is the
    layout in which convolutions are fastest.
    """

    def __init__(self, *, weights: None = None) -> None:
        super().__init__()
        widths = [_FIRST_CHANNELS, *(channels for channels, _, _ in _BLOCKS)]
        self.first = nn.Sequential(
            nn.Conv2d(1, widths[0], (1, _FIRST_TAPS), (1, _FIRST_STRIDE), bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(
            *(
                _Block(inputs, channels, stride, dilation)
                for inputs, (channels, stride, dilation) in zip(widths[:-1], _BLOCKS, strict=True)
            )
        )
        self.attention = nn.Conv2d(widths[-1], _VIEWS, 1)
        self.head = nn.Linear(SWEEPS_PER_CELL * _VIEWS * widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of images (n, 3, 1, samples)."""
        cells = len(images)
        sweeps = images[:, :SWEEPS_PER_CELL].reshape(cells * SWEEPS_PER_CELL, 1, 1, -1)
        steps = self.blocks(self.first(sweeps))
        # In float32: a sum over all times loses digits in bfloat16.
        shares = torch.softmax(self.attention(steps).flatten(2).float(), dim=2)
        means = shares @ steps.flatten(2).float().transpose(1, 2)
        logits: Tensor = self.head(means.reshape(cells, -1))
        return logits


class _Block(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.first = _convolve(inputs, outputs, _TAPS, stride, dilation)
        self.second = _convolve(outputs, outputs, _TAPS, 1, dilation)
        self.beside: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.beside = _convolve(inputs, outputs, 1, stride, 1)

    def forward(self, steps: Tensor) -> Tensor:
        inner = functional.relu(self.first(steps), inplace=True)
        return functional.relu(self.second(inner) + self.beside(steps), inplace=True)


def _convolve(inputs: int, outputs: int, taps: int, stride: int, dilation: int) -> nn.Sequential:
    # At equal strides all numbers of taps give equally many steps.
    return nn.Sequential(
        nn.Conv2d(
            inputs,
            outputs,
            (1, taps),
            (1, stride),
            (0, dilation * (taps // 2)),
            dilation=(1, dilation),
            bias=False,
        ),
        nn.BatchNorm2d(outputs),
    )
