"""Published scalograms, read from `data/<set>/cell_<specimen_id>.npy` instead of being computed."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.scalograms.image import SWEEPS, ImageSettings, fill, image_buffer
from sts.scalograms.sources import Rows
from sts.scalograms.wavelet import FREQS_HZ
from sts.signals.resample import SAMPLES

# The published README and the published code spell the folder differently.
FOLDERS: Final = ("{dataset}GouwensCWT", "{dataset}Gouwens_CWT")
SHAPE: Final = (len(FREQS_HZ), SAMPLES, SWEEPS)


class PublishedSource:
    """Images of published scalograms, resized only; `settings.parity` says nothing here."""

    def __init__(
        self,
        paths: Sequence[Path],
        settings: ImageSettings,
        device: torch.device | str = "cpu",
    ) -> None:
        self._settings = settings
        self._device = torch.device(device)
        self._paths = tuple(paths)
        for path in self._paths:
            open_published(path)

    @property
    def settings(self) -> ImageSettings:
        """Return how the images are made."""
        return self._settings

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self._paths)

    @torch.no_grad()
    def images(self, rows: Rows) -> Tensor:
        """Return images (len(rows), 3, H, W), in the order of `rows`."""
        images = image_buffer(len(rows), self._settings, self._device)
        for at, row in enumerate(rows):
            # One cell at a time: 7 MB of coefficients become 0.6 MB of image.
            channels = self._channels(self._paths[row])
            fill(images[at : at + 1], channels, self._settings)
        return images

    def _channels(self, path: Path) -> Tensor:
        """Return (1, 2, H, W) of one cell."""
        coefficients = np.array(open_published(path), dtype=np.float32)
        full = torch.from_numpy(coefficients).to(self._device).permute(2, 0, 1)[None]
        size = (self._settings.height, self._settings.width)
        channels = functional.interpolate(
            full, size=size, mode="bilinear", antialias=self._settings.antialias
        )
        if not torch.isfinite(channels).all():
            raise StsError(f"{path} holds values that are not finite: fetch it again")
        return channels


def find_published(data: Path, cells: Iterable[tuple[str, str]]) -> list[Path]:
    """Return the files of cells (data set, specimen id) under the folder `data`, in order."""
    return [_find(data, dataset, specimen_id) for dataset, specimen_id in cells]


def open_published(path: Path) -> Floats:
    """Return the scalograms of a cell, (180, 4800, 2), memory-mapped."""
    try:
        scalograms = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise StsError(
            f"no published scalogram at {path}: fetch it or leave the cell out"
        ) from None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StsError(f"{path} is no .npy array ({reason}): fetch it again") from error
    if scalograms.shape != SHAPE or scalograms.dtype.kind != "f":
        came = f"{scalograms.shape} of {scalograms.dtype}"
        raise StsError(f"{path} must hold {SHAPE} of floating-point numbers, not {came}")
    return scalograms


def _find(data: Path, dataset: str, specimen_id: str) -> Path:
    if not specimen_id.isalnum():
        raise StsError(f"{specimen_id!r} is no specimen id: letters and digits only")
    name = f"cell_{specimen_id}.npy"
    places = [data / folder.format(dataset=dataset) / name for folder in FOLDERS]
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise StsError(f"no published scalogram of cell {specimen_id}: looked for {looked}")
