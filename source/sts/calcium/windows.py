"""Stretches of a recording and the windows cut from them, scaled to 0..1."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np

from sts.base.errors import StsError
from sts.base.settings import Bounds, Count, NotNegative, Share, check_fields
from sts.base.types import Floats, Ints

Part = Literal["training", "validation", "test"]
PARTS: Final[tuple[Part, ...]] = ("training", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """How a recording is cut."""

    length: Annotated[int, Bounds(32, 2**20)] = 2048
    """Frames of a window."""
    stride: Count = 2
    """Frames from one training window to the next; others do not overlap."""
    validation: Share = 0.15
    """Part of the time that chooses the best model."""
    test: Share = 0.15
    """Part of the time, the last one, that the best model is tested on."""
    gap_s: NotNegative = 5.0
    """Left out between the stretches."""

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to train on."""
        check_fields(self)
        if self.validation + self.test >= 1:
            raise StsError(
                f"validation and test take parts above 0 that leave some of the time, not "
                f"{self.validation} and {self.test}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scale:
    """What takes the traces of each neuron to 0..1 and back."""

    low: Floats
    """(neurons,), smallest value in the training stretch."""
    high: Floats

    def apply(self, traces: Floats) -> Floats:
        """Return traces (..., neurons, frames) as 0..1."""
        return np.asarray(
            (traces - self.low[:, None]) / (self.high - self.low)[:, None], dtype=np.float32
        )

    def undo(self, scaled: Floats) -> Floats:
        """Return physical units."""
        return np.asarray(
            scaled * (self.high - self.low)[:, None] + self.low[:, None], dtype=np.float32
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Windows of one stretch; they share the memory of the recording."""

    traces: Floats
    """(neurons, frames) of the whole recording."""
    starts: Ints
    """(n,) first frame of each window."""
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    def at(self, which: Ints | slice = slice(None)) -> Floats:
        """Return windows (n, neurons, length)."""
        frames = self.starts[which][:, None] + np.arange(self.length)
        return np.ascontiguousarray(self.traces[:, frames].transpose(1, 0, 2))

    def without_overlap(self) -> "Windows":
        """Return windows that do not overlap."""
        kept, free = [], -1
        for start in self.starts.tolist():
            if start >= free:
                kept.append(start)
                free = start + self.length
        return Windows(traces=self.traces, starts=np.array(kept), length=self.length)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """The windows of the three stretches, in physical units, and the scale of the first."""

    windows: dict[Part, Windows]
    scale: Scale


def split_time(
    frames: int, rate_hz: float, settings: WindowSettings
) -> dict[Part, tuple[int, int]]:
    """Return begin and end of the three stretches: disjoint, in order, with gaps between them."""
    gap = round(settings.gap_s * rate_hz)
    left = frames - 2 * gap
    sizes = {"validation": settings.validation * left, "test": settings.test * left}
    if min(*sizes.values(), left - sum(sizes.values())) < settings.length:
        smallest = min(settings.validation, settings.test, 1 - settings.validation - settings.test)
        needed = int(np.ceil((settings.length + 1) / smallest)) + 2 * gap
        raise StsError(
            f"{frames} frames are too few for three stretches of a window of {settings.length} "
            f"frames or more and two gaps of {gap}: give {needed} frames, or a smaller --length"
        )
    test = frames - int(sizes["test"])
    validation = test - gap - int(sizes["validation"])
    return {
        "training": (0, validation - gap),
        "validation": (validation, test - gap),
        "test": (test, frames),
    }


def cut_windows(traces: Floats, rate_hz: float, settings: WindowSettings) -> Cut:
    """Cut traces (neurons, frames) into training, validation and test windows."""
    ends = split_time(traces.shape[1], rate_hz, settings)
    windows = {}
    for part, (begin, end) in ends.items():
        stride = settings.stride if part == "training" else settings.length
        starts = np.arange(begin, end - settings.length + 1, stride)
        windows[part] = Windows(traces=traces, starts=starts, length=settings.length)
    return Cut(windows=windows, scale=measure_scale(traces[:, slice(*ends["training"])]))


def measure_scale(traces: Floats) -> Scale:
    """Return smallest and largest value of each neuron; a constant one is refused."""
    low, high = traces.min(axis=1), traces.max(axis=1)
    if constant := np.flatnonzero(high <= low).tolist():
        raise StsError(
            f"neuron {constant[0]} is constant in the training stretch "
            f"({len(constant)} such neurons): leave it out"
        )
    return Scale(low=low.astype(np.float32), high=high.astype(np.float32))
