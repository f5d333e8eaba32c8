"""The channels of a sweep in files that do not say which of them is the response of the cell.

The units say which channel is the voltage and which the current. Whether the cell was in current
clamp follows from the traces: the trace of plain steps is the command.
"""

import math
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed
from sts.base.types import Floats, Ints
from sts.recordings.gather import (
    MILLIVOLTS,
    PICOAMPERES,
    Unusable,
    gather,
    look_at_current,
    make_sweep,
    scale,
    usable_rate_hz,
)
from sts.recordings.recording import FileIdentity, Recording, Sweep, Wanted

# Errors of a reader for a broken file, in addition to those of h5py.
BROKEN_FILE: Final = (
    *guard.BROKEN,
    ArithmeticError,
    AssertionError,
    struct.error,
    NotImplementedError,
)
# What one step of a time axis is multiplied by.
AXIS_SECONDS: Final = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3}
# Letters of an unknown unit that a message shows.
_MAX_UNIT: Final = 40
# Plain steps are detected in medians of blocks, which are longer than the noise and shorter than a
# step.
_STEP_BLOCK_S: Final = 1e-3
# The spread of a trace is the difference of these percentiles, which exclude transients at edges.
_SPREAD_PERCENT: Final = (2.0, 98.0)
# Smallest edge, and largest variation within a level, as shares of the spread.
_LEAST_EDGE: Final = 0.25
_FLAT: Final = 0.2
# Smallest share of the trace in levels, and largest number of levels.
_LEVEL_SHARE: Final = 0.95
_MOST_LEVELS: Final = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Channel:
    """One channel of one sweep."""

    values: Floats
    """In mV or pA."""
    is_voltage: bool
    rate_hz: float


# Returns the channels of one sweep.
ReadChannels = Callable[[], Sequence[Channel]]


def check_interval_s(step: float, unit: str) -> float:
    """Return the sampling interval in seconds."""
    if unit.casefold() not in AXIS_SECONDS:
        raise Unusable(f"its axis is in {unit[:_MAX_UNIT]!r}: {', '.join(AXIS_SECONDS)} are wanted")
    seconds = float(step) * AXIS_SECONDS[unit.casefold()]
    if not (math.isfinite(seconds) and seconds > 0):
        raise Unusable(f"its sampling interval is {seconds:g} s")
    return seconds


def make_channel(
    stored: Floats | Ints,
    unit: str,
    *,
    interval_s: float,
    conversion: float = 1.0,
    offset: float = 0.0,
) -> Channel:
    """Return the channel with values `stored * conversion + offset` in a unit."""
    units = MILLIVOLTS if unit.casefold() in MILLIVOLTS else PICOAMPERES
    # Without a unit it is not known which of the channels it is.
    if not unit or unit.casefold() not in units:
        raise Unusable(f"its values are in {unit[:_MAX_UNIT]!r}: volts or amperes are wanted")
    per_unit = units[unit.casefold()]
    return Channel(
        values=scale(stored, per_unit=per_unit, conversion=conversion, offset=offset),
        is_voltage=units is MILLIVOLTS,
        rate_hz=usable_rate_hz(1 / interval_s),
    )


def pair_channels(
    channels: Sequence[Channel], *, number: int, name: str, wanted: Wanted
) -> Sweep | None:
    """Return the sweep of one voltage and one current, None if it is not wanted."""
    voltages = [channel for channel in channels if channel.is_voltage]
    currents = [channel for channel in channels if not channel.is_voltage]
    if len(voltages) != 1 or len(currents) != 1:
        raise Unusable(
            f"{len(voltages)} of its channels are voltages and {len(currents)} are currents: one "
            "of each is wanted"
        )
    voltage, current = voltages[0], currents[0]
    if not math.isclose(voltage.rate_hz, current.rate_hz, rel_tol=1e-6):
        raise Unusable(
            f"its response is sampled at {voltage.rate_hz:g} Hz, its stimulus at "
            f"{current.rate_hz:g} Hz"
        )
    if not (known := look_at_current(wanted, current.values, voltage.rate_hz)):
        return None
    return make_sweep(
        voltage.values,
        current.values,
        rate_hz=voltage.rate_hz,
        name=name,
        number=number,
        known_stimulus=known,
    )


def read_channels(
    sweeps: Mapping[int, ReadChannels], *, wanted: Wanted, identity: FileIdentity, name: str = ""
) -> Recording:
    """Return the recording in a file; `CellFailed` says why there is none.

    Parameters
    ----------
    sweeps
        By their numbers.
    wanted
        Chooses the sweeps by their current.
    identity
        The cell and the donor.
    name
        The name of the stimulus.
    """
    _refuse_voltage_clamp(sweeps.values())

    def read(number: int) -> Sweep | None:
        return pair_channels(sweeps[number](), number=number, name=name, wanted=wanted)

    return gather(
        ((f"sweep {number}", partial(read, number)) for number in sweeps), identity=identity
    )


def _refuse_voltage_clamp(sweeps: Collection[ReadChannels]) -> None:
    """Refuse a file in which the voltage consists of plain steps, and the current does not."""
    widest: dict[bool, tuple[float, Floats]] = {}
    for read in sweeps:
        try:
            channels = read()
        except (Unusable, *BROKEN_FILE):
            # The sweep is left out later, with its reason.
            continue
        for channel in channels:
            course, spread = _measure_course(channel.values, channel.rate_hz)
            if spread > widest.get(channel.is_voltage, (0.0, course))[0]:
                widest[channel.is_voltage] = spread, course
    stepped = {side for side, (spread, course) in widest.items() if _keeps_levels(course, spread)}
    if stepped == {True} and False in widest:
        raise CellFailed(
            f"contains only voltage clamp sweeps: current clamp is needed ({len(sweeps)} sweeps)"
        )


def is_stepped(sweeps: Iterable[Floats], rate_hz: float) -> bool:
    """Tell whether the sweep with the largest deflection consists of a few constant levels."""
    courses = [_measure_course(sweep, rate_hz) for sweep in sweeps]
    if not courses:
        return False
    course, spread = max(courses, key=lambda pair: pair[1])
    return _keeps_levels(course, spread)


def _measure_course(values: Floats, rate_hz: float) -> tuple[Floats, float]:
    """Return the medians of the blocks of a trace, and their spread."""
    block = max(1, round(_STEP_BLOCK_S * rate_hz))
    length = len(values) - len(values) % block
    if not length:
        return np.zeros(0), 0.0
    course: Floats = np.median(values[:length].reshape(-1, block), axis=1)
    spread = float(np.ptp(np.percentile(course, _SPREAD_PERCENT)))
    return course, spread if math.isfinite(spread) else 0.0


def _keeps_levels(course: Floats, spread: float) -> bool:
    """Tell whether a trace consists of a few constant levels."""
    if not spread > 0:
        return False
    edges = np.flatnonzero(np.abs(np.diff(course)) > _LEAST_EDGE * spread) + 1
    levels = [level for level in np.split(course, edges) if len(level) > 2]
    flat = [level for level in levels if np.ptp(level) <= _FLAT * spread]
    return (
        2 <= len(levels) <= _MOST_LEVELS
        and len(flat) == len(levels)
        and sum(map(len, flat)) >= _LEVEL_SHARE * len(course)
    )
