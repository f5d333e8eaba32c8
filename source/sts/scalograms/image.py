"""Images of cells: their settings, and their sources: scalograms, published ones, or traces."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sts.base.errors import StsError, one_of
from sts.base.settings import MAX_PIXELS, MAX_SIDE, Bounds, check_fields
from sts.base.types import Floats, Ints
from sts.scalograms.fused import FusedOperator
from sts.scalograms.wavelet import (
    BASELINE_SAMPLES,
    FREQS_HZ,
    PARITIES,
    check_traces,
    move_rows,
)
from sts.signals.resample import SAMPLES

# Rheobase, rheobase + 40 pA, and the rheobase sweep again, as in the published networks.
CHANNELS: Final = 3
SWEEPS_PER_CELL: Final = 2
# Working memory of a piece on a GPU; with less, the GPU would wait. On a CPU a piece is one cell:
# it stays in the cache, and the result is the same to the last bit in any batch.
PIECE_BYTES: Final = {"cuda": 2**29}
# Cells whose traces are copied together.
_CELLS_AT_ONCE: Final = 256
PUBLISHED_DATASETS: Final = ("PatchClamp", "PatchSeq")
# The published README and the published code spell the folder differently.
SCALOGRAM_FOLDERS: Final = ("{dataset}GouwensCWT", "{dataset}Gouwens_CWT")
# What an image shows: the scalograms of both sweeps, or the sweeps themselves as single rows.
CONTENTS: Final = ("scalogram", "trace")
# Shape of a published file.
SHAPE: Final = (len(FREQS_HZ), SAMPLES, SWEEPS_PER_CELL)

RowNumbers = Sequence[int] | Ints
Channels = tuple[float, float, float]
_Side = Annotated[int, Bounds(1, MAX_SIDE)]
_Level = Annotated[float, Bounds(-1e9, 1e9)]
# Smaller deviations make the images overflow in float32.
Deviation = Annotated[float, Bounds(1e-9, 1e9)]


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """The settings of images of scalograms, stored with every model."""

    height: _Side = 224
    width: _Side = 224
    # Off, as in the published networks. Coefficients are signed and change sign within a column:
    # antialiasing averages over a column, so it darkens all rows above the Nyquist frequency of the
    # columns (93 Hz for 224), however strong they are.
    antialias: bool = False
    parity: str = "direct"
    content: str = "scalogram"
    """One of CONTENTS; a trace has height 1 and keeps all its samples."""
    one_sweep: bool = False
    """Show the rheobase sweep alone, in all colours."""
    mean: tuple[_Level, _Level, _Level] | None = None
    deviation: tuple[Deviation, Deviation, Deviation] | None = None

    def __post_init__(self) -> None:
        one_of(self.parity, PARITIES, "parity")
        one_of(self.content, CONTENTS, "content of images")
        check_fields(self)
        if self.content == "trace" and (self.height, self.width) != (1, SAMPLES):
            raise StsError(f"images of traces are 1 x {SAMPLES}, not {self.height} x {self.width}")
        if self.height * self.width > MAX_PIXELS:
            raise StsError(
                f"an image of {self.height} x {self.width} pixels is too large: at most "
                f"{MAX_PIXELS:,} are allowed"
            )
        if (self.mean is None) != (self.deviation is None):
            raise StsError("an image's mean and deviation go together: give both or neither")
        if {len(each) for each in (self.mean, self.deviation) if each is not None} - {CHANNELS}:
            raise StsError(f"an image's mean and deviation are {CHANNELS} numbers each")

    @property
    def colours(self) -> tuple[int, int, int]:
        """Return the channel, or sweep, that each colour of an image shows."""
        return (0, 0, 0) if self.one_sweep else (0, 1, 0)

    @property
    def plain(self) -> "ImageSettings":
        """Return the settings of the same images, not standardised."""
        return replace(self, mean=None, deviation=None)


class ImageSource(Protocol):
    """Cells whose images are computed or read, by row."""

    @property
    def settings(self) -> ImageSettings:
        """Return the settings of the images."""

    @property
    def kept(self) -> Tensor | None:
        """Return both channels (n, 2, H, W) of all cells if they are in memory, else None."""

    def __len__(self) -> int:
        """Return the number of cells."""

    def channels(self, rows: RowNumbers) -> Iterator[Tensor]:
        """Yield both channels (n, 2, H, W) of a few `rows` at a time, not standardised.

        Each piece may be overwritten by the next.
        """


class TraceSource:
    """Images computed from traces (n, 2, 4800) that stay on the device.

    On CUDA the products have the precision that torch is set to: float32, unless
    `torch.set_float32_matmul_precision` was called. TF32 gives errors of a tenth of a percent.
    """

    kept = None

    def __init__(
        self, traces_mv: Floats, settings: ImageSettings, device: torch.device | str = "cpu"
    ) -> None:
        self.settings, self._device = settings, torch.device(device)
        self._traces = _check_and_move(traces_mv, self._device)
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
    def channels(self, rows: RowNumbers) -> Iterator[Tensor]:
        """Yield both channels (n, 2, H, W) of a few `rows` at a time, not standardised.

        Each piece is overwritten by the next.
        """
        sweeps = self._traces[move_rows(rows, self._device)].reshape(-1, SAMPLES)
        room = PIECE_BYTES.get(self._device.type, 0)
        cells = max(1, room // (SWEEPS_PER_CELL * self._operator.bytes_a_trace))
        for coefficients in self._operator.chunks(sweeps, SWEEPS_PER_CELL * cells):
            height, count, width = coefficients.shape
            by_cell = coefficients.view(height, count // SWEEPS_PER_CELL, SWEEPS_PER_CELL, width)
            yield by_cell.permute(1, 2, 0, 3)


class PlainSource:
    """Traces (n, 2, 4800) as images of one row, in mV from the mean before the stimulus.

    Like scalograms they do not show the resting potential: it depends on the electrode, too.
    """

    def __init__(
        self, traces_mv: Floats, settings: ImageSettings, device: torch.device | str = "cpu"
    ) -> None:
        self.settings = settings
        traces = _check_and_move(traces_mv, torch.device(device))
        self.kept = (traces - traces[..., :BASELINE_SAMPLES].mean(dim=2, keepdim=True))[:, :, None]

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.kept)

    def channels(self, rows: RowNumbers) -> Iterator[Tensor]:
        """Yield both sweeps (n, 2, 1, 4800) of `rows`, in batches."""
        for some in torch.split(move_rows(rows, self.kept.device), _CELLS_AT_ONCE):
            yield self.kept[some]


def _check_and_move(traces_mv: Floats, device: torch.device) -> Tensor:
    traces = torch.from_numpy(np.ascontiguousarray(traces_mv, dtype=np.float32))
    check_traces(traces, (SWEEPS_PER_CELL, SAMPLES))
    return traces.to(device)


class PublishedSource:
    """Images of published scalograms, each read and resized once; 14 MB become 0.4 MB.

    `settings.parity` has no effect here.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        settings: ImageSettings,
        device: torch.device | str = "cpu",
        *,
        on_cell: Callable[[], None] = lambda: None,
    ) -> None:
        """Read the files; `on_cell` is called after each of them."""
        self.settings = settings
        self.faults: dict[int, StsError] = {}
        """By place in `paths`, the error of each file that could not be read and has no cell."""
        size, read = (settings.height, settings.width), 0
        channels = torch.empty(len(paths), SWEEPS_PER_CELL, *size)
        for place, path in enumerate(paths):
            try:
                channels[read] = functional.interpolate(
                    torch.from_numpy(read_published(path))[None],
                    size=size,
                    mode="bilinear",
                    antialias=settings.antialias,
                )[0]
                read += 1
            except StsError as error:
                self.faults[place] = error
            on_cell()
        self.kept = channels[:read].to(device)

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.kept)

    def channels(self, rows: RowNumbers) -> Iterator[Tensor]:
        """Yield both channels (1, 2, H, W) of each of `rows`, not standardised."""
        for row in map(int, rows):
            yield self.kept[row : row + 1]


def has_published(data: Path) -> bool:
    """Tell whether a data folder contains a folder of published scalograms."""
    folders = (
        folder.format(dataset=dataset)
        for dataset in PUBLISHED_DATASETS
        for folder in SCALOGRAM_FOLDERS
    )
    return any((data / folder).is_dir() for folder in folders)


def find_published(data: Path, dataset: str, specimen_id: str) -> Path:
    """Return the file of a cell under the folder `data`; `dataset` may be empty if not known."""
    if not specimen_id.isalnum():
        raise StsError(f"{specimen_id!r} is no specimen id: letters and digits only")
    datasets = (dataset,) if dataset else PUBLISHED_DATASETS
    folders = (folder.format(dataset=each) for each in datasets for folder in SCALOGRAM_FOLDERS)
    places = [data / folder / f"cell_{specimen_id}.npy" for folder in folders]
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise StsError(f"no published scalogram of cell {specimen_id}: looked for {looked}")


def read_published(path: Path) -> Floats:
    """Return the scalograms of a cell, (2, 180, 4800) float32, the rheobase sweep first."""
    try:
        # A memory map reads only the header: an array that is too large is refused unread.
        header = np.lib.format.open_memmap(path, mode="r")
        if header.shape != SHAPE or header.dtype.kind != "f":
            actual = f"{header.shape} of {header.dtype}"
            raise StsError(f"{path} must contain {SHAPE} of floating-point numbers, not {actual}")
        with np.errstate(over="ignore"):
            scalograms = np.load(path, allow_pickle=False).astype(np.float32)
    except FileNotFoundError:
        raise StsError(
            f"no published scalogram at {path}: fetch it or leave the cell out"
        ) from None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StsError(f"{path} is no .npy array ({reason}): fetch it again") from error
    if not np.isfinite(scalograms).all():
        raise StsError(f"{path} contains values that are not finite: fetch it again")
    return np.ascontiguousarray(scalograms.transpose(2, 0, 1))
