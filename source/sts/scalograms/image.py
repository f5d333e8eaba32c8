"""Traces to images for a network: three channels of one size, standardised or not."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from sts.base.errors import StsError, one_of
from sts.scalograms.fused import FusedOperator
from sts.scalograms.traces import PARITIES, check_traces, on_device
from sts.signals.resample import SAMPLES

# Rheobase, rheobase + 40 pA, and the rheobase sweep again, as the published networks have it.
CHANNELS: Final = 3
SWEEPS: Final = 2
# Working memory of a piece on a GPU, which less would leave idle. On a CPU a piece is one cell: it
# stays in the cache, and comes out the same to the last bit in whatever batch.
PIECE_BYTES: Final = {"cuda": 2**29}

Channels = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How a scalogram becomes an image; stored with every model."""

    height: int = 224
    width: int = 224
    # Off, as the published networks had it. Coefficients are signed and swing faster than columns
    # follow each other: averaging over a column, as antialiasing does, darkens all rows above the
    # columns' Nyquist frequency (93 Hz for 224) instead of showing how strong they are.
    antialias: bool = False
    parity: str = "direct"
    mean: Channels | None = None
    deviation: Channels | None = None

    def __post_init__(self) -> None:
        one_of(self.parity, PARITIES, "parity")
        for name, side in (("height", self.height), ("width", self.width)):
            if side < 1:
                raise StsError(f"an image's {name} must be at least 1 pixel, not {side}")
        if (self.mean is None) != (self.deviation is None):
            raise StsError("an image's mean and deviation go together: give both or neither")
        for name, values in (("mean", self.mean), ("deviation", self.deviation)):
            _check_channels(name, values)


class Imager:
    """Images of traces, made on the device for the batch at hand.

    On CUDA the products run at the precision torch is set to, which is float32 unless
    `torch.set_float32_matmul_precision` was called: TF32 costs a tenth of a percent.
    """

    def __init__(self, settings: ImageSettings, device: torch.device | str = "cpu") -> None:
        self.settings = settings
        self.device = torch.device(device)
        self._operator = FusedOperator(
            settings.height,
            settings.width,
            antialias=settings.antialias,
            parity=settings.parity,
            device=self.device,
        )

    @torch.no_grad()
    def __call__(self, traces_mv: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return images (n, 3, H, W) of traces (n, 2, 4800), in `out` where one is given."""
        images = image_buffer(len(traces_mv), self.settings, self.device, out)
        start = 0
        for channels in self.channels(traces_mv):
            fill(images[start : start + len(channels)], channels, self.settings)
            start += len(channels)
        return images

    @torch.no_grad()
    def channels(self, traces_mv: Tensor) -> Iterator[Tensor]:
        """Yield both channels (n, 2, H, W) of some traces at a time, not standardised.

        Each piece is overwritten by the next.
        """
        check_traces(traces_mv, (SWEEPS, SAMPLES))
        sweeps = on_device(traces_mv, self.device).reshape(-1, SAMPLES)
        room = PIECE_BYTES.get(self.device.type, 0)
        cells = max(1, room // (SWEEPS * self._operator.bytes_a_trace))
        for coefficients in self._operator.chunks(sweeps, SWEEPS * cells):
            height, count, width = coefficients.shape
            by_cell = coefficients.view(height, count // SWEEPS, SWEEPS, width)
            yield by_cell.permute(1, 2, 0, 3)


def image_buffer(
    count: int, settings: ImageSettings, device: torch.device, out: Tensor | None = None
) -> Tensor:
    """Return room for `count` images: `out` if it fits, else a new tensor."""
    shape = (count, CHANNELS, settings.height, settings.width)
    if out is None:
        return torch.empty(shape, device=device)
    if tuple(out.shape) != shape:
        raise ValueError(f"out must be of shape {shape}, not {tuple(out.shape)}")
    return out


def fill(images: Tensor, channels: Tensor, settings: ImageSettings) -> None:
    """Write two channels (n, 2, H, W) into images (n, 3, H, W), the first one twice."""
    images[:, :SWEEPS] = channels
    images[:, SWEEPS] = channels[:, 0]
    if settings.mean is not None and settings.deviation is not None:
        images -= images.new_tensor(settings.mean)[:, None, None]
        images /= images.new_tensor(settings.deviation)[:, None, None]


def _check_channels(name: str, values: Channels | None) -> None:
    if values is None:
        return
    if len(values) != CHANNELS or not all(math.isfinite(value) for value in values):
        raise StsError(f"an image's {name} must be {CHANNELS} finite numbers, not {values}")
    if name == "deviation" and min(values) <= 0:
        raise StsError(f"an image's deviation must be above 0, not {values}: is a channel dark?")
