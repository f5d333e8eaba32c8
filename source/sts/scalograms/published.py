"""Published scalograms, read from `data/<set>/cell_<specimen_id>.npy` instead of being computed."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.scalograms.image import SWEEPS, ImageSettings, Rows
from sts.scalograms.wavelet import FREQS_HZ
from sts.signals.resample import SAMPLES

DATASETS: Final = ("PatchClamp", "PatchSeq")
# The published README and the published code spell the folder differently.
FOLDERS: Final = ("{dataset}GouwensCWT", "{dataset}Gouwens_CWT")
SHAPE: Final = (len(FREQS_HZ), SAMPLES, SWEEPS)


class PublishedSource:
    """Images of published scalograms, each read and resized once; 14 MB become 0.4 MB.

    `settings.parity` says nothing here.
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
        """By place in `paths`, why one could not be read; the cells are those of the others."""
        channels = torch.empty(len(paths), SWEEPS, settings.height, settings.width)
        read = 0
        for place, path in enumerate(paths):
            try:
                channels[read] = _resized(read_published(path), settings)
                read += 1
            except StsError as error:
                self.faults[place] = error
            on_cell()
        self._channels = channels[:read].to(device)

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self._channels)

    def channels(self, rows: Rows) -> Iterator[Tensor]:
        """Yield both channels (1, 2, H, W) of each of `rows`, not standardised."""
        for row in map(int, rows):
            yield self._channels[row : row + 1]


def has_published(data: Path) -> bool:
    """Tell whether a folder of data holds a folder of published scalograms."""
    return any(place.is_dir() for dataset in DATASETS for place in _folders(data, dataset))


def find_published(data: Path, dataset: str, specimen_id: str) -> Path:
    """Return the file of a cell under the folder `data`; an unknown data set is looked for."""
    if not specimen_id.isalnum():
        raise StsError(f"{specimen_id!r} is no specimen id: letters and digits only")
    name = f"cell_{specimen_id}.npy"
    datasets = (dataset,) if dataset else DATASETS
    places = [folder / name for each in datasets for folder in _folders(data, each)]
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise StsError(f"no published scalogram of cell {specimen_id}: looked for {looked}")


def read_published(path: Path) -> Floats:
    """Return the scalograms of a cell, (2, 180, 4800) float32, row 0 of the rheobase sweep."""
    try:
        # Mapped, only the header is read: what claims to be larger is refused before it is taken.
        _check(path, np.lib.format.open_memmap(path, mode="r"))
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
        raise StsError(f"{path} holds values that are not finite: fetch it again")
    return np.ascontiguousarray(scalograms.transpose(2, 0, 1))


def _check(path: Path, scalograms: Floats) -> None:
    if scalograms.shape != SHAPE or scalograms.dtype.kind != "f":
        came = f"{scalograms.shape} of {scalograms.dtype}"
        raise StsError(f"{path} must hold {SHAPE} of floating-point numbers, not {came}")


def _resized(scalograms: Floats, settings: ImageSettings) -> Tensor:
    """Return (2, H, W)."""
    full = torch.from_numpy(scalograms)[None]
    size = (settings.height, settings.width)
    resized = functional.interpolate(full, size=size, mode="bilinear", antialias=settings.antialias)
    return resized[0]


def _folders(data: Path, dataset: str) -> list[Path]:
    return [data / folder.format(dataset=dataset) for folder in FOLDERS]
