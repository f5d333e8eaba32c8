"""Images of cells, by the only path in the program: computed batch by batch, or kept in memory."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sts.base.errors import StsError
from sts.base.parallel import free_memory_bytes
from sts.base.types import Floats, Ints
from sts.datasets.store import SweepStore
from sts.scalograms.image import (
    CHANNELS,
    SWEEPS_PER_CELL,
    Channels,
    ImageSettings,
    ImageSource,
    PlainSource,
    RowNumbers,
    TraceSource,
)
from sts.scalograms.wavelet import move_rows

# Fraction of free memory in which images are kept: all 5,590 cells at 224 pixels take 2.2 GB.
KEPT_PART: Final = {"cpu": 1 / 4, "cuda": 1 / 8}
# Images that are computed together, even if a batch is smaller: a GPU is slow to start work.
IMAGES_AT_ONCE: Final = {"cpu": 1, "cuda": 1024}


class ImageBank:
    """The images of all cells of a store, on the device, standardised or not.

    `bank.standardise(rows)` and `bank.like(settings)` share the images of `bank`.
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
            source = PlainSource if settings.content == "trace" else TraceSource
            store = source(store.traces, settings.plain, device)
        if store.settings != settings.plain:
            raise ValueError("a source needs the settings of the bank, without mean and deviation")
        self._set(_Channels(store, device, budget_bytes), settings)

    def _set(self, raw: "_Channels", settings: ImageSettings) -> None:
        self._raw, self.settings = raw, settings
        means = settings.mean or (0.0,) * CHANNELS
        deviations = settings.deviation or (1.0,) * CHANNELS
        shifts = [-mean / deviation for mean, deviation in zip(means, deviations, strict=True)]
        self._shifts = torch.tensor(shifts, device=raw.device)
        self._scales = [1 / deviation for deviation in deviations]

    @property
    def device(self) -> torch.device:
        """Return the device of the images."""
        return self._raw.device

    def __len__(self) -> int:
        return len(self._raw.source)

    def standardise(self, rows: RowNumbers) -> "ImageBank":
        """Return a bank whose images have mean 0 and deviation 1 over `rows`, in each channel.

        Give only rows that a model is fitted on: statistics of test rows would be a leak.
        """
        mean, deviation = self._raw.statistics(np.asarray(rows, dtype=np.int64))
        return self.like(replace(self.settings, mean=mean, deviation=deviation))

    def like(self, settings: ImageSettings) -> "ImageBank":
        """Return a bank of the same images with the mean and deviation of `settings`."""
        if settings.plain != self.settings.plain:
            raise ValueError(f"the images have {self.settings.plain}, not {settings.plain}")
        other = object.__new__(ImageBank)
        other._set(self._raw, settings)
        return other

    def images(self, rows: RowNumbers) -> Tensor:
        """Return images (len(rows), 3, H, W), in the order of `rows`."""
        images = self._allocate(len(rows))
        self._fill(images, np.asarray(rows, dtype=np.int64))
        return images

    def dark(self) -> Tensor:
        """Return the image (1, 3, H, W) of a constant trace."""
        images = self._allocate(1)
        self._write(images, images.new_zeros(1, SWEEPS_PER_CELL, *images.shape[2:]))
        return images

    def batches(self, rows: Sequence[Ints]) -> Iterator[Tensor]:
        """Yield the images of every batch of rows; on a CPU each is overwritten by the next.

        On a CPU new memory costs more time than writing into it.
        """
        reused = None
        if self.device.type == "cpu":
            reused = self._allocate(max(map(len, rows), default=0))
        for some in _join_batches(
            rows, IMAGES_AT_ONCE.get(self.device.type, IMAGES_AT_ONCE["cpu"])
        ):
            block = np.concatenate(some)
            images = self._allocate(len(block)) if reused is None else reused[: len(block)]
            self._fill(images, block)
            yield from torch.split(images, [len(batch) for batch in some])

    def _allocate(self, count: int) -> Tensor:
        """Return memory for images (count, 3, H, W), colours last: the fastest for convolutions."""
        shape = (count, self.settings.height, self.settings.width, CHANNELS)
        return torch.empty(shape, device=self.device).permute(0, 3, 1, 2)

    def _fill(self, images: Tensor, rows: Ints) -> None:
        """Write the images of `rows`."""
        start = 0
        with _use_one_of_two_threads():
            for channels in self._raw.channels(rows):
                self._write(images[start : start + len(channels)], channels)
                start += len(channels)

    @torch.no_grad()
    def _write(self, images: Tensor, channels: Tensor) -> None:
        """Write channels (n, 2, H, W), standardised, into images (n, 3, H, W)."""
        for colour, channel in enumerate(self.settings.colours):
            torch.add(
                self._shifts[colour],
                channels[:, channel],
                alpha=self._scales[colour],
                out=images[:, colour],
            )


class _Channels:
    """The channels of all cells, not standardised; those of the first cells are kept in memory."""

    def __init__(
        self, source: ImageSource, device: torch.device, budget_bytes: int | None = None
    ) -> None:
        self.source, self.device = source, device
        self._budget_bytes = budget_bytes
        self._kept: Tensor | None = None
        self._moments: tuple[Floats, Floats] | None = None

    def channels(self, rows: Ints) -> Iterator[Tensor]:
        """Yield channels (n, 2, H, W) of a few `rows` at a time, overwritten by the next."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.source):
            raise ValueError(f"rows must lie in 0..{len(self.source) - 1}")
        if self._kept is None:
            self._kept = self._keep_first()
        is_kept = rows < len(self._kept)
        for some in np.split(rows, np.flatnonzero(np.diff(is_kept)) + 1):
            if len(some) == 0 or some[0] >= len(self._kept):
                yield from self.source.channels(some)
            elif self.device.type == "cpu":
                yield from (self._kept[row : row + 1] for row in some)
            else:
                yield self._kept[move_rows(some, self.device)]

    def _keep_first(self) -> Tensor:
        """Return the channels of the first cells: those of the source, or as many as fit."""
        if self.source.kept is not None:
            return self.source.kept
        on_gpu = self.device.type == "cuda"
        budget = self._budget_bytes
        if budget is None:
            free = torch.cuda.mem_get_info(self.device)[0] if on_gpu else free_memory_bytes()
            budget = int(KEPT_PART.get(self.device.type, 0) * free)
        settings = self.source.settings
        shape = (SWEEPS_PER_CELL, settings.height, settings.width)
        count = min(len(self.source), budget // (4 * math.prod(shape)))
        if on_gpu and count < len(self.source):
            # Many short pieces, kept or not, would take a GPU longer than to compute all together.
            count = 0
        kept = torch.empty((count, *shape), device=self.device)
        start = 0
        for channels in self.source.channels(range(count)):
            kept[start : start + len(channels)] = channels
            start += len(channels)
        return kept

    def statistics(self, rows: Ints) -> tuple[Channels, Channels]:
        """Return mean and deviation of every channel over all pixels of `rows`."""
        if len(rows) == 0:
            raise StsError("no rows to measure mean and deviation of: give at least one")
        if self._moments is None:
            with _use_one_of_two_threads():
                self._moments = self._measure()
        # All images have equally many pixels: the variance of all pixels is the mean variance
        # within images plus the variance of their means.
        means, variances = (values[rows] for values in self._moments)
        deviation = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
        colours = self.source.settings.colours
        return _spread(means.mean(axis=0), colours), _spread(deviation, colours)

    @torch.no_grad()
    def _measure(self) -> tuple[Floats, Floats]:
        """Return means and variances (cells, 2) of single images."""
        means, variances = [], []
        for channels in self.channels(np.arange(len(self.source))):
            pixels = channels.flatten(2).double()
            means.append(pixels.mean(dim=2).cpu().numpy())
            variances.append(pixels.var(dim=2, correction=0).cpu().numpy())
        return np.concatenate(means), np.concatenate(variances)


@contextmanager
def _use_one_of_two_threads() -> Iterator[None]:
    """Restrict torch to one thread inside the block if it has two.

    A scalogram is many small products. A second thread saves at best a quarter of the time; if its
    core is busy, the first thread waits for it at every product, up to 50 times as long.
    """
    before = torch.get_num_threads()
    if before == 2:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before == 2:
            torch.set_num_threads(before)


def _join_batches(rows: Sequence[Ints], size: int) -> Iterator[list[Ints]]:
    """Yield lists of successive batches with at least `size` rows together."""
    some: list[Ints] = []
    for batch in rows:
        some.append(batch)
        if sum(map(len, some)) >= size:
            yield some
            some = []
    if some:
        yield some


def _spread(values: Floats, colours: tuple[int, int, int]) -> Channels:
    first, second, third = values[list(colours)].tolist()
    return first, second, third
