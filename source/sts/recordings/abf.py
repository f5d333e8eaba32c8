"""ABF 1 and 2 files of pCLAMP, read through pyabf once their claims have been checked."""

import importlib
import struct
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed
from sts.base.types import Floats
from sts.recordings.abf_clamp import channels_in, voltage_channel
from sts.recordings.abf_head import Head, check_head
from sts.recordings.abf_protocol import (
    Output,
    commands_of,
    find_command,
    outputs_of,
    rebuild_pa,
    stated_pa,
)
from sts.recordings.gather import SweepSource, gather, look_at_current, make_sweep
from sts.recordings.recording import Recording, Sweep, Wanted, every_sweep, identify_file
from sts.recordings.traces import MILLIVOLTS, PICOAMPERES, Unusable, factor, usable_rate_hz

# What pyabf raises over a broken file, beside what h5py does.
BROKEN: Final = (*guard.BROKEN, ArithmeticError, AssertionError, struct.error, NotImplementedError)
VARIABLE_LENGTH: Final = 1
ENABLED: Final = 1
# The current of a sweep by its number, and the amplitude that was commanded if that is known.
Current = Callable[[int], tuple[Floats, float | None]]


def read_abf(path: Path, wanted: Wanted = every_sweep) -> Recording:
    """Return the current-clamp sweeps of an ABF file; `CellFailed` says why there are none.

    The current is the input channel that recorded one, else what the epoch table commanded.
    """
    head = check_head(path)
    try:
        abf = _pyabf().ABF(str(path), cacheStimulusFiles=False)
        return _recording(abf, head, path, wanted)
    except Unusable as reason:
        raise CellFailed(f"holds no usable current clamp sweep: {reason}") from reason
    except BROKEN as error:
        raise CellFailed(f"is truncated or damaged: {guard.describe_error(error)}") from error
    except MemoryError as error:
        raise CellFailed("cannot be read: it takes more memory than there is") from error


def _pyabf() -> Any:
    # pyabf puts a folder of its authors before all others that modules are looked for in.
    before = list(sys.path)
    try:
        return importlib.import_module("pyabf")
    finally:
        sys.path[:] = before


def _recording(abf: Any, head: Head, path: Path, wanted: Wanted) -> Recording:
    _check_form(abf, head)
    outputs = outputs_of(abf, head)
    currents = channels_in(abf, PICOAMPERES)
    voltage = voltage_channel(abf, head, outputs=outputs, currents=currents)
    current_of = _recorded if len(currents) == 1 else _commanded
    current = current_of(abf, head, outputs, currents)
    rate_hz = usable_rate_hz(_rate_hz(abf, head))
    read = partial(_sweep, abf, voltage, current, rate_hz=rate_hz, wanted=wanted)
    sweeps = (
        SweepSource(called=f"sweep {number}", read=partial(read, number))
        for number in abf.sweepList
    )
    return gather(sweeps, who=identify_file(path, stated=""))


def _check_form(abf: Any, head: Head) -> None:
    lengths = set(abf._synchArraySection.lLength) if head.version == 2 else set()
    if abf.nOperationMode == VARIABLE_LENGTH or (abf.sweepCount > 1 and len(lengths) > 1):
        raise CellFailed("holds sweeps of different lengths: fixed lengths are needed")
    if not head.is_long:
        own = abf._headerV1
        used = [own.nTelegraphEnable[own.nADCSamplingSeq[channel]] for channel in abf.channelList]
        if ENABLED in used:
            raise CellFailed("is ABF 1 with a short head whose gain cannot be told: save it anew")


def _rate_hz(abf: Any, head: Head) -> float:
    # pyabf rounds the rate down to a whole number.
    if head.version == 1:
        return float(1e6 / abf._headerV1.fADCSampleInterval / abf.channelCount)
    return float(1e6 / abf._protocolSection.fADCSequenceInterval)


def _samples(abf: Any, channel: int, number: int) -> Floats:
    first = number * abf.sweepPointCount
    values: Floats = abf.data[channel, first : first + abf.sweepPointCount]
    return values


def _recorded(abf: Any, head: Head, outputs: list[Output], currents: list[int]) -> Current:
    """Return what an input channel recorded, beside what was commanded if that is known."""
    (channel,) = currents
    per_unit = np.float32(factor(str(abf.adcUnits[channel]).strip(), PICOAMPERES, what="stimulus"))
    try:
        command = _commanded(abf, head, outputs, currents)
    except Unusable:
        return lambda number: (_samples(abf, channel, number) * per_unit, None)
    return lambda number: (_samples(abf, channel, number) * per_unit, command(number)[1])


def _commanded(abf: Any, head: Head, outputs: list[Output], currents: list[int]) -> Current:
    """Return the current that the epoch table commanded."""
    del currents
    output = find_command(outputs, abf, head)
    waveforms = commands_of(abf, output, head)

    def current(number: int) -> tuple[Floats, float | None]:
        command_pa = rebuild_pa(waveforms[number], output.unit)
        return command_pa, stated_pa(command_pa)

    return current


def _sweep(
    abf: Any, voltage: int, current: Current, number: int, *, rate_hz: float, wanted: Wanted
) -> Sweep | None:
    current_pa, amplitude_pa = current(number)
    if not (found := look_at_current(wanted, current_pa, rate_hz)):
        return None
    per_unit = np.float32(factor(str(abf.adcUnits[voltage]).strip(), MILLIVOLTS, what="response"))
    return make_sweep(
        _samples(abf, voltage, number) * per_unit,
        current_pa,
        rate_hz=rate_hz,
        name=str(abf.protocol),
        number=number,
        stated_pa=amplitude_pa,
        found=found,
    )
