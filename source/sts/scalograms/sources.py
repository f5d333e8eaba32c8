"""Where images come from: one interface over traces and over what others have computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.scalograms.image import SWEEPS, Channels, Imager, ImageSettings
from sts.scalograms.traces import check_traces, indices_on, on_device
from sts.signals.resample import SAMPLES

Rows = Sequence[int] | Ints

# Images whose statistics are taken at a time.
BATCH: Final = 64


class ImageSource(Protocol):
    """Cells whose images can be had by row."""

    @property
    def settings(self) -> ImageSettings:
        """Return how the images are made."""

    def __len__(self) -> int:
        """Return the number of cells."""

    def images(self, rows: Rows) -> Tensor:
        """Return images (len(rows), 3, H, W), in the order of `rows`."""

    def channels(self, rows: Rows) -> Iterator[Tensor]:
        """Yield both channels (n, 2, H, W) of some of `rows` at a time, not standardised.

        Each piece may be overwritten by the next.
        """


class TraceSource:
    """Images computed from traces (n, 2, 4800) that stay on the device."""

    def __init__(
        self, traces_mv: Floats, settings: ImageSettings, device: torch.device | str = "cpu"
    ) -> None:
        self._imager = Imager(settings, device)
        traces = torch.from_numpy(np.ascontiguousarray(traces_mv, dtype=np.float32))
        check_traces(traces, (SWEEPS, SAMPLES))
        self._traces = on_device(traces, self._imager.device)

    @property
    def settings(self) -> ImageSettings:
        """Return how the images are made."""
        return self._imager.settings

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self._traces)

    def images(self, rows: Rows) -> Tensor:
        """Return images (len(rows), 3, H, W), in the order of `rows`."""
        return self._imager(self._taken(rows))

    def channels(self, rows: Rows) -> Iterator[Tensor]:
        """Yield both channels (n, 2, H, W) of some of `rows` at a time, not standardised."""
        return self._imager.channels(self._taken(rows))

    def _taken(self, rows: Rows) -> Tensor:
        return self._traces[indices_on(rows, self._traces.device)]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Mean and deviation of each channel, as `ImageSettings` takes them."""

    mean: Channels
    deviation: Channels


def measure_statistics(source: ImageSource, rows: Rows) -> Statistics:
    """Return mean and deviation of each channel over the images of `rows`.

    Only rows that a model is fitted on belong here: statistics of a test row are a leak.
    """
    if source.settings.mean is not None:
        raise ValueError("statistics are measured on images that are not standardised yet")
    if len(rows) == 0:
        raise StsError("no rows to measure mean and deviation of: give at least one")
    # Batches joined by their count, mean and squares (Chan et al., 1983): sums of squares would
    # cancel where a mean is far from 0.
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for values in _batches(source, rows):
        size = values.shape[1]
        shift = values.mean(axis=1) - mean
        squares = squares + values.var(axis=1) * size + shift**2 * count * size / (count + size)
        mean = mean + shift * size / (count + size)
        count += size
    return Statistics(mean=_channels(mean), deviation=_channels(np.sqrt(squares / count)))


def _batches(source: ImageSource, rows: Rows) -> Iterator[Floats]:
    """Yield values (channels, pixels of a batch) in float64."""
    for start in range(0, len(rows), BATCH):
        images = source.images(rows[start : start + BATCH]).double()
        yield np.asarray(images.transpose(0, 1).flatten(1).cpu().numpy())


def _channels(values: Floats) -> Channels:
    first, second, third = values.tolist()
    return first, second, third
