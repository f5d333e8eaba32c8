"""Which clamp an ABF file was recorded in: by its units, its amplifier, and its traces."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from sts.base.errors import CellFailed
from sts.base.types import Floats
from sts.recordings.abf_head import Head
from sts.recordings.abf_protocol import Output
from sts.recordings.traces import MILLIVOLTS

# What an amplifier that speaks to pCLAMP says of its mode.
CURRENT_CLAMP: Final = 1
# A trace is looked at by blocks that are shorter than a step and longer than its noise.
BLOCK_S: Final = 1e-3
# In shares of what lies between a trace's low and high values.
EDGE: Final = 0.25
FLAT: Final = 0.2
# Transients at edges are shorter; the steps of a protocol are longer.
SPREAD_PERCENT: Final = (2.0, 98.0)
STEPPED_SHARE: Final = 0.95
MAX_EDGES: Final = 12


def voltage_channel(
    abf: Any, head: Head, *, outputs: Sequence[Output], currents: Sequence[int]
) -> int:
    """Return the channel that recorded the cell's voltage in current clamp, or say why none did.

    Parameters
    ----------
    abf
        The open file.
    head
        What was read of it before.
    outputs
        What was commanded.
    currents
        The channels in units of current.
    """
    voltages = channels_in(abf, MILLIVOLTS)
    if not voltages and not currents:
        raise CellFailed(
            f"holds channels in {', '.join(map(repr, abf.adcUnits))}: one in mV is needed"
        )
    _check_clamp(abf, head, outputs=outputs, currents=currents, voltages=voltages)
    if len(voltages) > 1:
        raise CellFailed(
            f"holds more than one cell: {len(voltages)} channels record voltages; give every cell "
            "a file of its own"
        )
    return voltages[0]


def channels_in(abf: Any, units: dict[str, float]) -> list[int]:
    """Return the input channels whose unit is one of `units`."""
    called = [str(unit).strip().casefold() for unit in abf.adcUnits]
    return [channel for channel, unit in enumerate(called) if unit and unit in units]


def _check_clamp(
    abf: Any,
    head: Head,
    *,
    outputs: Sequence[Output],
    currents: Sequence[int],
    voltages: Sequence[int],
) -> None:
    """Refuse voltage clamp, and what is either clamp by some signs and the other by others."""
    active = [each for each in outputs if each.source]
    told = _tells_current_clamp(abf, head, (*voltages, *currents))
    if any(each.is_current for each in active):
        if voltages:
            return
        raise _contradiction("its input and its command are both currents")
    commands_voltage = any(each.is_voltage for each in active)
    if not voltages:
        if told:
            raise _contradiction("its amplifier was in current clamp, its input is a current")
    elif commands_voltage and not currents:
        raise _contradiction("its input and its command are both voltages")
    elif commands_voltage:
        if _injects_steps(abf, currents, voltages):
            return
        if told or (voltages[0] < currents[0] and not _is_stepped(abf, voltages[0])):
            raise _contradiction(
                "its command is a voltage, and no plain steps of a current were recorded"
            )
    elif not currents or voltages[0] < currents[0]:
        return
    raise CellFailed(
        f"holds only voltage clamp sweeps: current clamp is needed ({abf.sweepCount} sweeps)"
    )


def _contradiction(why: str) -> CellFailed:
    return CellFailed(
        f"contradicting units: {why}; in current clamp a cell is recorded in mV and commanded in "
        "pA: correct the units in pCLAMP, or record the current too"
    )


def _tells_current_clamp(abf: Any, head: Head, channels: Sequence[int]) -> bool:
    """Tell whether the amplifier itself has reported that it was in current clamp."""
    if not head.is_long:
        return False
    if head.version == 2:
        section, places = abf._adcSection, list(channels)
    else:
        section = abf._headerV1
        places = [section.nADCSamplingSeq[channel] for channel in channels]
    return any(
        section.nTelegraphEnable[place] == 1 and section.nTelegraphMode[place] == CURRENT_CLAMP
        for place in places
    )


def _injects_steps(abf: Any, currents: Sequence[int], voltages: Sequence[int]) -> bool:
    """Tell whether the one current has plain steps and the one voltage, which comes first, not."""
    return (
        len(currents) == len(voltages) == 1
        and voltages[0] < currents[0]
        and _is_stepped(abf, currents[0])
        and not _is_stepped(abf, voltages[0])
    )


def _is_stepped(abf: Any, channel: int) -> bool:
    """Tell whether the sweep of the largest deflection keeps to a few constant levels."""
    block = max(1, round(BLOCK_S * abf.dataPointsPerMs * 1e3))
    length = abf.sweepPointCount - abf.sweepPointCount % block
    if not length:
        return False
    sweeps = abf.data[channel, : abf.sweepCount * abf.sweepPointCount]
    sweeps = sweeps.reshape(abf.sweepCount, abf.sweepPointCount)[:, :length]
    courses = np.median(sweeps.reshape(len(sweeps), -1, block), axis=2)
    spreads = np.ptp(np.percentile(courses, SPREAD_PERCENT, axis=1), axis=0)
    return _keeps_levels(courses[np.argmax(spreads)], float(spreads.max()))


def _keeps_levels(course: Floats, spread: float) -> bool:
    edges = np.flatnonzero(np.abs(np.diff(course)) > EDGE * spread) + 1
    stretches = [each for each in np.split(course, edges) if len(each) > 2]
    flat = [each for each in stretches if np.ptp(each) <= FLAT * spread]
    return (
        spread > 0
        and 2 <= len(stretches) <= MAX_EDGES
        and len(flat) == len(stretches)
        and sum(map(len, flat)) >= STEPPED_SHARE * len(course)
    )
