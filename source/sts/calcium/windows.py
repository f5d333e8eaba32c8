"""Training, validation and test stretches of a recording, and windows cut from them."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np

from sts.base.errors import StsError
from sts.base.settings import Bounds, Count, NotNegative, Share, check_fields
from sts.base.types import Floats, Ints

_Part = Literal["training", "validation", "test"]
STRETCHES: Final[tuple[_Part, ...]] = ("training", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """Settings of stretches and windows."""

    length: Annotated[int, Bounds(32, 2**20)] = 2048
    """Frames of a window."""
    stride: Count = 2
    """Frames from one training window to the next; validation and test windows do not overlap."""
    validation: Share = 0.15
    """Fraction of the time by which the best model is chosen."""
    test: Share = 0.15
    """Fraction of the time, at the end, on which the best model is tested."""
    gap_s: NotNegative = 5.0
    """Time between the stretches that is not used."""

    def __post_init__(self) -> None:
        """Refuse fractions that leave no time for training."""
        check_fields(self)
        if self.validation + self.test >= 1:
            raise StsError(
                f"validation and test must together be less than 1, not {self.validation} and "
                f"{self.test}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scale:
    """A linear map of the traces of each neuron to 0..1 and back."""

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
    """Windows of one stretch, without a copy of the traces."""

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
    """The windows of the three stretches in physical units, and the scale of the training one."""

    windows: dict[_Part, Windows]
    scale: Scale
    ends: dict[_Part, tuple[tuple[int, int], ...]]
    """Start and end of every piece of a stretch: one for each stretch without a pause."""

    def pieces(self, part: _Part, values: Ints) -> list[Ints]:
        """Return the frames of a part in values (neurons, frames), a piece at a time."""
        return [values[:, begin:end] for begin, end in self.ends[part]]

    def take(self, part: _Part, values: Ints) -> Ints:
        """Return the windows of a part that do not overlap, (n, neurons, length) of values."""
        windows = self.windows[part].without_overlap()
        frames = windows.starts[:, None] + np.arange(windows.length)
        return np.ascontiguousarray(values[:, frames].transpose(1, 0, 2))


def join_windows(trains: Floats | Ints) -> Floats:
    """Return the windows of each neuron joined one after the other, (neurons, n * frames)."""
    return np.asarray(np.swapaxes(trains, 0, 1).reshape(trains.shape[1], -1))


def split_time(
    frames: int, rate_hz: float, settings: WindowSettings
) -> dict[_Part, tuple[int, int]]:
    """Return start and end of the three stretches, with gaps between them."""
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


def cut_windows(
    traces: Floats, rate_hz: float, settings: WindowSettings, stretches: tuple[int, ...] = ()
) -> Cut:
    """Cut traces (neurons, frames) into training, validation and test windows.

    Each stretch that was recorded without a pause is divided separately: no window spans a pause.

    Parameters
    ----------
    stretches
        Frames of each stretch, in order; (): all frames are one.
    """
    ends: dict[_Part, list[tuple[int, int]]] = {part: [] for part in STRETCHES}
    first = 0
    for frames in stretches or (traces.shape[1],):
        for part, (begin, end) in split_time(frames, rate_hz, settings).items():
            ends[part].append((first + begin, first + end))
        first += frames
    windows = {}
    for part, pieces in ends.items():
        stride = settings.stride if part == "training" else settings.length
        starts = [np.arange(begin, end - settings.length + 1, stride) for begin, end in pieces]
        windows[part] = Windows(
            traces=traces, starts=np.concatenate(starts), length=settings.length
        )
    training = np.concatenate([traces[:, begin:end] for begin, end in ends["training"]], axis=1)
    low, high = training.min(axis=1), training.max(axis=1)
    if constant := np.flatnonzero(high <= low).tolist():
        raise StsError(
            f"neuron {constant[0]} is constant in the training stretch "
            f"({len(constant)} such neurons): leave it out"
        )
    return Cut(
        windows=windows,
        scale=Scale(low=low.astype(np.float32), high=high.astype(np.float32)),
        ends={part: tuple(pieces) for part, pieces in ends.items()},
    )
