"""The parts of generator and critic: what doubles frames, normalises, pads and shuffles them."""

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE: Final = 2


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, W)."""
        normed: Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return normed


class Repeated(nn.Module):
    """Doubles frames by repeating each, then convolves: all frames are made by the same weights."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel)
        self.ends = ((kernel - 1) // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, after, 2 W)."""
        doubled = x.repeat_interleave(STRIDE, dim=-1)
        made: Tensor = self.conv(functional.pad(doubled, self.ends))
        return made


def doubling(before: int, after: int, kernel: int, *, repeat: bool) -> nn.Module:
    """Return a layer that doubles frames: by repeating them, or by a transposed convolution."""
    if repeat:
        return Repeated(before, after, kernel)
    # Even kernels are centred between two frames, odd ones on a frame.
    odd = kernel % 2
    padding = (kernel - STRIDE + odd) // 2
    return nn.ConvTranspose1d(before, after, kernel, STRIDE, padding, output_padding=odd)


def padded(x: Tensor, kernel: int) -> Tensor:
    """Return x with zeros at both ends, so that a convolution halves its length, rounded up."""
    frames = x.shape[-1]
    missing = max((math.ceil(frames / STRIDE) - 1) * STRIDE + kernel - frames, 0)
    return functional.pad(x, (missing // 2, missing - missing // 2))


def phase_shuffle(x: Tensor, shifts: Tensor) -> Tensor:
    """Return x (B, C, W) with each sample moved by its own shift, its ends mirrored."""
    last = x.shape[-1] - 1
    if last == 0:
        return x
    frames = torch.arange(last + 1, device=x.device)
    # A short layer is moved by no more than it can mirror.
    at = frames + shifts.clamp(-last, last)[:, None]
    at = last - (last - at.abs()).abs()
    return x.gather(2, at[:, None, :].expand(-1, x.shape[1], -1))
