"""Parts of all readers: a recording from what was read, with notes on what had to be chosen."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.types import Floats, Ints
from sts.calcium.recording import CalciumRecording, Reading

# A thousand neurons for five hours at 30 Hz.
MAX_BYTES: Final = 4 * 2**30
# How far two frame rates may be apart that are called the same.
SAME_RATE: Final = 0.01
PERCENT: Final = ("%", "percent", "per cent", "percentage", "percent df/f", "df/f (%)", "% df/f")
# Of one name.
MAX_LETTERS: Final = 80


def build_recording(
    path: Path,
    traces: Any,
    *,
    reading: Reading,
    origin: str,
    rate_hz: float | None = None,
    spikes: Any = None,
    neurons: Sequence[str] = (),
    unit: str = "",
    notes: tuple[str, ...] = (),
    lengths: tuple[int, ...] = (),
) -> CalciumRecording:
    """Return a recording as read, which `check_recording` has yet to judge.

    Parameters
    ----------
    rate_hz
        What the file says, None where it says nothing.
    """
    name = clean_text(path.name)
    array: Floats = _numbers(traces, "traces", name)
    counts: Ints | None = None if spikes is None else _numbers(spikes, "spikes", name)
    if reading.transpose:
        array, counts = array.T, None if counts is None else counts.T
    elif array.ndim == 2 and len(array) > array.shape[1]:
        held = f"{name} is taken to hold {len(array)} neurons of {array.shape[1]} frames"
        notes += (f"{held}: give --transpose if it is the other way round",)
    if unit.lower() in PERCENT:
        array, unit = array / np.float32(100), "dF/F"
        notes += (f"the percent of {name} are divided by 100",)
    count = len(array) if array.ndim else 0
    names = [clean_text(each) for each in neurons]
    return CalciumRecording(
        name=name,
        traces=array,
        rate_hz=_rate(rate_hz, reading),
        neurons=tuple(names if len(names) == count else map(str, range(count))),
        unit=clean_text(unit),
        spikes=counts,
        origin=clean_text(origin),
        notes=notes + _rate_notes(name, rate_hz, reading),
        lengths=lengths,
    )


def _numbers(values: Any, what: str, name: str) -> Any:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise StsError(f"{name} holds no numbers where {what} are wanted")
    return array


def _rate(found: float | None, reading: Reading) -> float:
    return reading.rate_hz or (math.nan if found is None else found)


def _rate_notes(name: str, found: float | None, reading: Reading) -> tuple[str, ...]:
    asked = reading.rate_hz
    if asked is None or found is None or abs(found / asked - 1) <= SAME_RATE:
        return ()
    return (f"{name} says {found:g} frames a second: the {asked:g} of --rate are taken instead",)


def choose_series(names: Sequence[str], reading: Reading, what: str, path: Path) -> str:
    """Return which of several series is wanted: the one asked for, else the first."""
    if reading.series:
        return one_of(reading.series, names, f"{what} of {clean_text(path.name)}")
    return names[0]


def clean_text(text: str) -> str:
    """Return text on one line that does nothing to a terminal."""
    words = " ".join(str(text)[: 4 * MAX_LETTERS].split())
    return "".join(letter for letter in words if letter.isprintable())[:MAX_LETTERS]
