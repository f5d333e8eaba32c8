"""Traces to images for a network: three channels of one size, standardised or not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

import torch
from torch import Tensor

from sts.base.bounds import MAX_PIXELS, MAX_SIDE, Bounds, check_fields
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
Side = Annotated[int, Bounds(1, MAX_SIDE)]
Level = Annotated[float, Bounds(-1e9, 1e9)]
# Below this float32 divides by nothing.
Deviation = Annotated[float, Bounds(1e-9, 1e9)]


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How a scalogram becomes an image; stored with every model."""

    height: Side = 224
    width: Side = 224
    # Off, as the published networks had it. Coefficients are signed and swing faster than columns
    # follow each other: averaging over a column, as antialiasing does, darkens all rows above the
    # columns' Nyquist frequency (93 Hz for 224) instead of showing how strong they are.
    antialias: bool = False
    parity: str = "direct"
    mean: tuple[Level, Level, Level] | None = None
    deviation: tuple[Deviation, Deviation, Deviation] | None = None

    def __post_init__(self) -> None:
        one_of(self.parity, PARITIES, "parity")
        check_fields(self)
        if self.height * self.width > MAX_PIXELS:
            raise StsError(
                f"an image of {self.height} x {self.width} pixels is too large: at most "
                f"{MAX_PIXELS:,} are allowed"
            )
        if (self.mean is None) != (self.deviation is None):
            raise StsError("an image's mean and deviation go together: give both or neither")
        if {len(each) for each in (self.mean, self.deviation) if each is not None} - {CHANNELS}:
            raise StsError(f"an image's mean and deviation are {CHANNELS} numbers each")


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
