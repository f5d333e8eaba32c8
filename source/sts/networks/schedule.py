"""The learning rate and the batches of an epoch, each a function of the settings and the epoch.

Nothing here carries state from one epoch to the next, so a fit that was interrupted goes on as if
it had not been.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Ints
from sts.networks.settings import TrainSettings

# A single image has no statistics to normalise it by, and InceptionV3 cannot train on one.
LEAST: Final = 2

# One cycle as Smith and Topin (2018) have it and torch's OneCycleLR defaults to.
RISE: Final = 0.3
START: Final = 1 / 25
END: Final = START / 1e4
HIGH_MOMENTUM: Final = 0.95
LOW_MOMENTUM: Final = 0.85


def learning_rate(settings: TrainSettings, epoch: int, progress: float) -> float:
    """Return the rate in `epoch` (from 0), of which the part `progress` is done."""
    if settings.schedule == "step":
        return settings.learning_rate * settings.factor ** (epoch // settings.every)
    return settings.learning_rate * _one_cycle(settings, epoch, progress, START, 1.0, END)


def momentum(settings: TrainSettings, epoch: int, progress: float) -> float:
    """Return Adam's first beta, which one cycle lowers while the rate is high."""
    if settings.schedule == "step":
        return 0.9
    high, low = HIGH_MOMENTUM, LOW_MOMENTUM
    return _one_cycle(settings, epoch, progress, high, low, high)


def _one_cycle(
    settings: TrainSettings, epoch: int, progress: float, start: float, top: float, end: float
) -> float:
    done = min((epoch + progress) / settings.epochs, 1.0)
    if done < RISE:
        return _cosine(start, top, done / RISE)
    return _cosine(top, end, (done - RISE) / (1 - RISE))


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def epoch_batches(rows: Ints, settings: TrainSettings, epoch: int) -> list[Ints]:
    """Return the rows of every batch of `epoch`, in an order of that epoch's own.

    A last batch of a single row joins the one before it.
    """
    if len(rows) < LEAST:
        raise StsError(f"training needs at least {LEAST} cells, {len(rows)} came: give it more")
    order = np.random.default_rng((settings.seed, epoch)).permutation(rows)
    batches = in_order(order, settings.batch)
    if len(batches) > 1 and len(batches[-1]) < LEAST:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def in_order(rows: Ints | Sequence[int], size: int) -> list[Ints]:
    """Return `rows` cut into batches of `size`, the last one perhaps smaller."""
    whole = np.asarray(rows, dtype=np.int64)
    return [whole[start : start + size] for start in range(0, len(whole), size)]
