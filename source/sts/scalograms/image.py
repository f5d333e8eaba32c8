"""What an image of a cell is, and where it comes from: one interface over all sources."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from sts.base.errors import StsError, one_of
from sts.base.settings import MAX_PIXELS, MAX_SIDE, Bounds, check_fields
from sts.base.types import Floats, Ints
from sts.scalograms.fused import FusedOperator
from sts.scalograms.traces import PARITIES, check_traces, indices_on, on_device
from sts.signals.resample import SAMPLES

# Rheobase, rheobase + 40 pA, and the rheobase sweep again, as the published networks have it.
CHANNELS: Final = 3
SWEEPS: Final = 2
# Working memory of a piece on a GPU, which less would leave idle. On a CPU a piece is one cell: it
# stays in the cache, and comes out the same to the last bit in whatever batch.
PIECE_BYTES: Final = {"cuda": 2**29}

Rows = Sequence[int] | Ints
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


def plain(settings: ImageSettings) -> ImageSettings:
    """Return the settings of images that are not standardised."""
    return replace(settings, mean=None, deviation=None)


class ImageSource(Protocol):
    """Cells whose images can be had by row: computed, or read where others have computed them."""

    @property
    def settings(self) -> ImageSettings:
        """Return how the images are made."""

    def __len__(self) -> int:
        """Return the number of cells."""

    def channels(self, rows: Rows) -> Iterator[Tensor]:
        """Yield both channels (n, 2, H, W) of some of `rows` at a time, not standardised.

        Each piece may be overwritten by the next.
        """


class TraceSource:
    """Images computed from traces (n, 2, 4800) that stay on the device.

    On CUDA the products run at the precision torch is set to, which is float32 unless
    `torch.set_float32_matmul_precision` was called: TF32 costs a tenth of a percent.
    """

    def __init__(
        self, traces_mv: Floats, settings: ImageSettings, device: torch.device | str = "cpu"
    ) -> None:
        self.settings, self._device = settings, torch.device(device)
        traces = torch.from_numpy(np.ascontiguousarray(traces_mv, dtype=np.float32))
        check_traces(traces, (SWEEPS, SAMPLES))
        self._traces = on_device(traces, self._device)
        self._operator = FusedOperator(
            settings.height,
            settings.width,
            antialias=settings.antialias,
            parity=settings.parity,
            device=self._device,
        )

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self._traces)

    @torch.no_grad()
    def channels(self, rows: Rows) -> Iterator[Tensor]:
        """Yield both channels (n, 2, H, W) of some of `rows` at a time, not standardised.

        Each piece is overwritten by the next.
        """
        sweeps = self._traces[indices_on(rows, self._device)].reshape(-1, SAMPLES)
        room = PIECE_BYTES.get(self._device.type, 0)
        cells = max(1, room // (SWEEPS * self._operator.bytes_a_trace))
        for coefficients in self._operator.chunks(sweeps, SWEEPS * cells):
            height, count, width = coefficients.shape
            by_cell = coefficients.view(height, count // SWEEPS, SWEEPS, width)
            yield by_cell.permute(1, 2, 0, 3)
