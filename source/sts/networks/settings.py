"""Settings of a network's training, the published search space, learning rates and batches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.settings import BelowOne, Bounds, Count, Seed, Share, check_fields
from sts.base.types import PRECISIONS, Ints, Precision

Schedule = Literal["step", "one_cycle"]

# Smallest batch: batch norm needs more than one image.
LEAST_BATCH: Final = 2

# One cycle (Smith and Topin, 2018) with the defaults of torch's OneCycleLR: share of the epochs in
# which the rate increases, rates at both ends relative to the highest rate, and range of momentum.
RISING_SHARE: Final = 0.3
START_RATE: Final = 1 / 25
END_RATE: Final = START_RATE / 1e4
HIGH_MOMENTUM: Final = 0.95
LOW_MOMENTUM: Final = 0.85
# Field of TrainSettings -> kind and its arguments, as in the search of Amprimo et al. (2025).
SPACE: Final[dict[str, tuple[Any, ...]]] = {
    "batch": ("choice", (32, 64)),
    "learning_rate": ("log_float", 1e-3, 8e-2),
    # 1.0: the published "none".
    "factor": ("choice", (1.0, 0.1, 0.01)),
    "every": ("int", 5, 20),
    "patience": ("int", 10, 20),
    "dropout": ("choice", (0.0, 0.3, 0.5, 0.7)),
}


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of a training; the defaults are inside the published space."""

    batch: Annotated[int, Bounds(LEAST_BATCH, 65536)] = 32
    learning_rate: Share = 1e-3
    factor: Share = 1.0
    """The learning rate is multiplied by this every `every` epochs."""
    every: Count = 10
    patience: Count = 15
    """Number of epochs without a better validation loss after which training stops."""
    dropout: BelowOne = 0.0
    epochs: Count = 100
    schedule: Schedule = "step"
    """`one_cycle` increases to `learning_rate` and decreases to almost 0 within `epochs`."""
    class_weights: bool = False
    seed: Seed = 0
    compile: bool = False
    precision: Precision = "auto"
    """Precision of products; `auto`: bfloat16 on a device that has it in hardware. On a GPU
    `float32` also keeps convolutions from using TF32."""

    def __post_init__(self) -> None:
        """Raise an error for settings that cannot train a network."""
        check_fields(self)
        if self.schedule not in ("step", "one_cycle"):
            raise StsError(f"schedule must be step or one_cycle, not {self.schedule!r}")
        one_of(self.precision, PRECISIONS, "precision")


# Rates and batches follow from the settings and the epoch alone and have no state, so that a fit
# which is interrupted and resumed gives the same result.


def learning_rate(settings: TrainSettings, epoch: int, progress: float) -> float:
    """Return the rate in `epoch` (counted from 0) after the fraction `progress` of it."""
    if settings.schedule == "step":
        return settings.learning_rate * settings.factor ** (epoch // settings.every)
    return settings.learning_rate * _one_cycle(settings, epoch, progress, START_RATE, 1.0, END_RATE)


def momentum(settings: TrainSettings, epoch: int, progress: float) -> float:
    """Return the first beta of Adam, which one cycle decreases while the rate is high."""
    if settings.schedule == "step":
        return 0.9
    high, low = HIGH_MOMENTUM, LOW_MOMENTUM
    return _one_cycle(settings, epoch, progress, high, low, high)


def _one_cycle(
    settings: TrainSettings, epoch: int, progress: float, start: float, top: float, end: float
) -> float:
    done = min((epoch + progress) / settings.epochs, 1.0)
    if done < RISING_SHARE:
        return _cosine(start, top, done / RISING_SHARE)
    return _cosine(top, end, (done - RISING_SHARE) / (1 - RISING_SHARE))


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def epoch_batches(rows: Ints, settings: TrainSettings, epoch: int) -> list[Ints]:
    """Return the rows of every batch of `epoch`, in a random order for each epoch.

    A last batch of a single row is joined with the one before it.
    """
    if len(rows) < LEAST_BATCH:
        raise StsError(
            f"training needs at least {LEAST_BATCH} cells, not {len(rows)}: give more cells"
        )
    order = np.random.default_rng((settings.seed, epoch)).permutation(rows)
    batches = cut_batches(order, settings.batch)
    if len(batches) > 1 and len(batches[-1]) < LEAST_BATCH:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def cut_batches(rows: Ints | Sequence[int], size: int) -> list[Ints]:
    """Return `rows` divided into batches of `size`; the last batch can be smaller."""
    whole = np.asarray(rows, dtype=np.int64)
    return [whole[start : start + size] for start in range(0, len(whole), size)]
