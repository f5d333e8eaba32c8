"""Images of cells for a network: computed for the batch at hand, or once and kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.cells.store import SweepStore
from sts.networks.schedule import in_order
from sts.scalograms.image import CHANNELS, SWEEPS, Channels, ImageSettings
from sts.scalograms.sources import ImageSource, Rows, TraceSource

# Images that may be kept. A GPU makes them faster than it would miss the memory.
BUDGET_BYTES: Final = {"cpu": 2**31, "cuda": 0}
# Cells whose images are made at a time; on a GPU launches cost more than sums.
BLOCK: Final = {"cpu": 64, "cuda": 1024}


class Inputs(Protocol):
    """What a network is fed with, by row."""

    @property
    def device(self) -> torch.device:
        """Return where the inputs are."""

    def batches(self, rows: Sequence[Ints]) -> Iterator[Tensor]:
        """Yield the inputs of every batch of rows."""


class ImageBank:
    """The images of all cells of a store, on the device, standardised or not.

    `bank.standardised(rows)` and `bank.like(settings)` share the images of `bank`.
    """

    def __init__(
        self,
        store: SweepStore | ImageSource,
        settings: ImageSettings,
        device: torch.device | str = "cpu",
        *,
        budget_bytes: int | None = None,
    ) -> None:
        device = torch.device(device)
        if isinstance(store, SweepStore):
            store = TraceSource(store.traces, plain(settings), device)
        if store.settings != plain(settings):
            raise ValueError("a source makes images of the bank's settings, without mean and so on")
        budget = BUDGET_BYTES.get(device.type, 0) if budget_bytes is None else budget_bytes
        self._take(_Raw(store, device, budget), settings)

    def _take(self, raw: "_Raw", settings: ImageSettings) -> None:
        self._raw, self.settings = raw, settings
        self._scale: Tensor | None = None
        self._shift: Tensor | None = None
        if settings.mean is not None and settings.deviation is not None:
            pairs = list(zip(settings.mean, settings.deviation, strict=True))
            self._scale = self._every_pixel([1 / deviation for _, deviation in pairs])
            self._shift = self._every_pixel([-mean / deviation for mean, deviation in pairs])

    @property
    def device(self) -> torch.device:
        """Return where the images are."""
        return self._raw.device

    def __len__(self) -> int:
        return len(self._raw.source)

    def standardised(self, rows: Rows) -> "ImageBank":
        """Return the bank whose images have mean 0 and deviation 1 over `rows`, a channel.

        Only rows that a model is fitted on belong here: statistics of a test row are a leak.
        """
        mean, deviation = self._raw.statistics(np.asarray(rows, dtype=np.int64))
        return self.like(replace(self.settings, mean=mean, deviation=deviation))

    def like(self, settings: ImageSettings) -> "ImageBank":
        """Return the bank of the same images with the mean and deviation of `settings`."""
        if plain(settings) != plain(self.settings):
            raise ValueError(f"images are made by {plain(self.settings)}, not {plain(settings)}")
        other = object.__new__(ImageBank)
        other._take(self._raw, settings)
        return other

    def images(self, rows: Rows) -> Tensor:
        """Return images (len(rows), 3, H, W), in the order of `rows`."""
        return self._finish(self._raw.pixels(np.asarray(rows, dtype=np.int64)))

    def dark(self) -> Tensor:
        """Return the image (1, 3, H, W) of a trace in which nothing happens."""
        shape = (1, self.settings.height, self.settings.width, CHANNELS)
        return self._finish(torch.zeros(shape, device=self.device))

    def batches(self, rows: Sequence[Ints]) -> Iterator[Tensor]:
        """Yield the images of every batch of rows."""
        for some in _blocks(rows, self._raw.block):
            pixels = self._raw.pixels(np.concatenate(some))
            start = 0
            for batch in some:
                yield self._finish(pixels[start : start + len(batch)])
                start += len(batch)

    @torch.no_grad()
    def _finish(self, pixels: Tensor) -> Tensor:
        """Standardise pixels (n, H, W, 3) in their place and return them as (n, 3, H, W).

        Colours last is the layout in which convolutions are quickest, on a CPU too.
        """
        if self._scale is not None and self._shift is not None:
            torch.addcmul(self._shift, pixels, self._scale, out=pixels)
        return pixels.permute(0, 3, 1, 2)

    def _every_pixel(self, values: Sequence[float]) -> Tensor:
        """Return (H, W, 3): as large as an image, since short rows of three are slow to go by."""
        colours = torch.tensor(values, dtype=torch.float32, device=self.device)
        return colours.expand(self.settings.height, self.settings.width, CHANNELS).contiguous()


def plain(settings: ImageSettings) -> ImageSettings:
    """Return the settings of images that are not standardised."""
    return replace(settings, mean=None, deviation=None)


@dataclass(eq=False)
class _Raw:
    """Images before they are standardised."""

    source: ImageSource
    device: torch.device
    budget_bytes: int
    _kept: Tensor | None = None
    _moments: tuple[Floats, Floats] | None = None

    @property
    def block(self) -> int:
        """Return how many images are made at a time; 1 where they are there already."""
        return 1 if self._fits else BLOCK.get(self.device.type, BLOCK["cpu"])

    @property
    def _fits(self) -> bool:
        settings = self.source.settings
        one = 4 * CHANNELS * settings.height * settings.width
        return len(self.source) * one <= self.budget_bytes

    def pixels(self, rows: Ints) -> Tensor:
        """Return (len(rows), H, W, 3), free to be changed."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.source):
            raise ValueError(f"rows must lie in 0..{len(self.source) - 1}")
        if not self._fits:
            return self._made(rows)
        if self._kept is None:
            self._kept = self._all()
        return self._kept[torch.as_tensor(rows, device=self.device)]

    def _all(self) -> Tensor:
        settings, count = self.source.settings, len(self.source)
        shape = (count, settings.height, settings.width, CHANNELS)
        kept = torch.empty(shape, device=self.device)
        for rows in in_order(range(count), BLOCK.get(self.device.type, BLOCK["cpu"])):
            kept[int(rows[0]) : int(rows[-1]) + 1] = self._made(rows)
        return kept

    def _made(self, rows: Ints) -> Tensor:
        """Return (len(rows), H, W, 3), computed."""
        with _one_of_two_threads():
            images = self.source.images(rows)
        return images.permute(0, 2, 3, 1).contiguous()

    def statistics(self, rows: Ints) -> tuple[Channels, Channels]:
        """Return mean and deviation of every channel over all pixels of `rows`."""
        if len(rows) == 0:
            raise StsError("no rows to measure mean and deviation of: give at least one")
        if self._moments is None:
            self._moments = self._measure()
        # Every image has as many pixels, so the variance of all is the mean of the variances
        # within images and the variance between their means.
        means, variances = (values[rows] for values in self._moments)
        deviation = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
        return _channels(means.mean(axis=0)), _channels(deviation)

    @torch.no_grad()
    def _measure(self) -> tuple[Floats, Floats]:
        """Return means and variances (cells, 2), each of one image alone."""
        means, variances = [], []
        for rows in in_order(range(len(self.source)), BLOCK["cpu"]):
            pixels = self.pixels(rows).flatten(1, 2)[..., :SWEEPS].double()
            means.append(pixels.mean(dim=1).cpu().numpy())
            variances.append(pixels.var(dim=1, correction=0).cpu().numpy())
        return np.concatenate(means), np.concatenate(variances)


@contextmanager
def _one_of_two_threads() -> Iterator[None]:
    """Let torch use one thread inside the block where it has two.

    A scalogram is many small products. The second thread saves a quarter of the time at best; when
    its core is busy otherwise, the first waits for it at every product, up to 50 times as long.
    """
    before = torch.get_num_threads()
    if before == 2:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before == 2:
            torch.set_num_threads(before)


def _blocks(rows: Sequence[Ints], size: int) -> Iterator[list[Ints]]:
    """Yield runs of batches of about `size` rows together, at least one batch each."""
    some: list[Ints] = []
    for batch in rows:
        some.append(batch)
        if sum(map(len, some)) >= size:
            yield some
            some = []
    if some:
        yield some


def _channels(values: Floats) -> Channels:
    first, second = values.tolist()
    return first, second, first
