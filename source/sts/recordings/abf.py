"""ABF 1 and 2 files of pCLAMP, read by pyabf after their header has been checked.

The voltage is the only input in mV of a file in current clamp. Whether a file is in current clamp
follows from the units of inputs and commands, from the mode that the amplifier reports, and
otherwise from the traces: the trace of plain steps is the command. The current is a recorded input
if there is one, else it is rebuilt from the table of epochs.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed
from sts.base.types import Floats
from sts.recordings.abf_head import (
    Head,
    Output,
    check_head,
    find_command,
    read_commands,
    read_outputs,
    rebuild_pa,
    stated_pa,
)
from sts.recordings.channels import BROKEN_FILE, is_stepped
from sts.recordings.gather import (
    MILLIVOLTS,
    PICOAMPERES,
    Unusable,
    factor,
    gather,
    look_at_current,
    make_sweep,
    usable_rate_hz,
)
from sts.recordings.recording import Recording, Sweep, Wanted, identify_file, want_every_sweep

# Codes in a file: an operation mode, and the switch and the mode that an amplifier reports.
VARIABLE_LENGTH: Final = 1
ENABLED: Final = 1
CURRENT_CLAMP: Final = 1
# Returns the current of a sweep by its number, and the commanded amplitude if it is known.
Current = Callable[[int], tuple[Floats, float | None]]


def read_abf(path: Path, wanted: Wanted = want_every_sweep) -> Recording:
    """Return the current-clamp sweeps of an ABF file; `CellFailed` says why there are none."""
    head = check_head(path)
    try:
        abf = _pyabf().ABF(str(path), cacheStimulusFiles=False)
        return _read_recording(abf, head, path, wanted)
    except Unusable as reason:
        raise CellFailed(f"contains no usable current clamp sweep: {reason}") from reason
    except BROKEN_FILE as error:
        raise CellFailed(f"is truncated or damaged: {guard.describe_error(error)}") from error
    except MemoryError as error:
        raise CellFailed("cannot be read: there is not enough memory") from error


def _pyabf() -> Any:
    # pyabf adds a folder of its authors to the front of sys.path.
    before = list(sys.path)
    try:
        return importlib.import_module("pyabf")
    finally:
        sys.path[:] = before


def _read_recording(abf: Any, head: Head, path: Path, wanted: Wanted) -> Recording:
    _check_form(abf, head)
    outputs = read_outputs(abf, head)
    currents = _channels_in(abf, PICOAMPERES)
    voltage = _voltage_channel(abf, head, outputs=outputs, currents=currents)
    if len(currents) == 1:
        current = _recorded_current(abf, head, outputs, currents[0])
    else:
        current = _commanded_current(abf, head, outputs)
    # pyabf rounds the rate down to a whole number.
    if head.version == 1:
        rate_hz = float(1e6 / abf._headerV1.fADCSampleInterval / abf.channelCount)
    else:
        rate_hz = float(1e6 / abf._protocolSection.fADCSequenceInterval)
    rate_hz = usable_rate_hz(rate_hz)
    read = partial(_read_sweep, abf, voltage, current, rate_hz=rate_hz, wanted=wanted)
    sweeps = ((f"sweep {number}", partial(read, number)) for number in abf.sweepList)
    identity = identify_file(path, stated="", recorded_at=_recorded_at(abf, head))
    return gather(sweeps, identity=identity)


def _recorded_at(abf: Any, head: Head) -> str:
    """Return when the recording began; pyabf puts dates of its own where the file has none."""
    own = abf._headerV1.lFileStartDate if head.version == 1 else abf._headerV2.uFileStartDate
    return abf.abfDateTime.isoformat() if own and abf.abfDateTimeString != "ERROR" else ""


def _check_form(abf: Any, head: Head) -> None:
    lengths = set(abf._synchArraySection.lLength) if head.version == 2 else set()
    if abf.nOperationMode == VARIABLE_LENGTH or (abf.sweepCount > 1 and len(lengths) > 1):
        raise CellFailed("contains sweeps of different lengths: fixed lengths are needed")
    if not head.is_long:
        own = abf._headerV1
        used = [own.nTelegraphEnable[own.nADCSamplingSeq[channel]] for channel in abf.channelList]
        if ENABLED in used:
            raise CellFailed("is ABF 1 with a short header without the gain: save it again")


def _channels_in(abf: Any, units: dict[str, float]) -> list[int]:
    """Return the input channels whose unit is one of `units`."""
    names = [str(unit).strip().casefold() for unit in abf.adcUnits]
    return [channel for channel, unit in enumerate(names) if unit and unit in units]


def _samples(abf: Any, channel: int, number: int) -> Floats:
    first = number * abf.sweepPointCount
    values: Floats = abf.data[channel, first : first + abf.sweepPointCount]
    return values


def _per_unit(abf: Any, channel: int, units: dict[str, float], *, what: str) -> np.float32:
    return np.float32(factor(str(abf.adcUnits[channel]).strip(), units, what=what))


def _recorded_current(abf: Any, head: Head, outputs: list[Output], channel: int) -> Current:
    """Return the current of an input channel, with the commanded amplitude if that is known."""
    per_unit = _per_unit(abf, channel, PICOAMPERES, what="stimulus")
    try:
        command = _commanded_current(abf, head, outputs)
    except Unusable:
        return lambda number: (_samples(abf, channel, number) * per_unit, None)
    return lambda number: (_samples(abf, channel, number) * per_unit, command(number)[1])


def _commanded_current(abf: Any, head: Head, outputs: list[Output]) -> Current:
    """Return the current that the epoch table commanded."""
    output = find_command(outputs, abf, head)
    waveforms = read_commands(abf, output, head)

    def current(number: int) -> tuple[Floats, float | None]:
        command_pa = rebuild_pa(waveforms[number], output.unit)
        return command_pa, stated_pa(command_pa)

    return current


def _read_sweep(
    abf: Any, voltage: int, current: Current, number: int, *, rate_hz: float, wanted: Wanted
) -> Sweep | None:
    current_pa, amplitude_pa = current(number)
    if not (known := look_at_current(wanted, current_pa, rate_hz)):
        return None
    per_unit = _per_unit(abf, voltage, MILLIVOLTS, what="response")
    return make_sweep(
        _samples(abf, voltage, number) * per_unit,
        current_pa,
        rate_hz=rate_hz,
        name=str(abf.protocol),
        number=number,
        stated_pa=amplitude_pa,
        known_stimulus=known,
    )


def _voltage_channel(
    abf: Any, head: Head, *, outputs: Sequence[Output], currents: Sequence[int]
) -> int:
    """Return the channel of the cell's voltage in current clamp, or raise if there is none."""
    voltages = _channels_in(abf, MILLIVOLTS)
    if not voltages and not currents:
        raise CellFailed(
            f"contains channels in {', '.join(map(repr, abf.adcUnits))}: one in mV is needed"
        )
    _check_clamp(abf, head, outputs=outputs, currents=currents, voltages=voltages)
    if len(voltages) > 1:
        raise CellFailed(
            f"contains more than one cell: {len(voltages)} channels record voltages; give every "
            "cell its own file"
        )
    return voltages[0]


def _check_clamp(
    abf: Any,
    head: Head,
    *,
    outputs: Sequence[Output],
    currents: Sequence[int],
    voltages: Sequence[int],
) -> None:
    """Refuse voltage clamp, and a file whose units contradict its clamp."""
    active = [output for output in outputs if output.source]
    is_reported = _reports_current_clamp(abf, head, (*voltages, *currents))
    if any(output.is_current for output in active):
        if voltages:
            return
        raise _contradiction("its input and its command are both currents")
    commands_voltage = any(output.is_voltage for output in active)
    if not voltages:
        if is_reported:
            raise _contradiction("its amplifier was in current clamp, its input is a current")
    elif commands_voltage and not currents:
        raise _contradiction("its input and its command are both voltages")
    elif commands_voltage:
        if _injects_steps(abf, currents, voltages):
            return
        if is_reported or (voltages[0] < currents[0] and not _is_stepped(abf, voltages[0])):
            raise _contradiction(
                "its command is a voltage, and no plain steps of a current were recorded"
            )
    elif not currents or voltages[0] < currents[0]:
        return
    raise CellFailed(
        f"contains only voltage clamp sweeps: current clamp is needed ({abf.sweepCount} sweeps)"
    )


def _contradiction(why: str) -> CellFailed:
    return CellFailed(
        f"contradicting units: {why}; in current clamp a cell is recorded in mV and commanded in "
        "pA: correct the units in pCLAMP, or record the current too"
    )


def _reports_current_clamp(abf: Any, head: Head, channels: Sequence[int]) -> bool:
    """Tell whether the amplifier reported that it was in current clamp."""
    if not head.is_long:
        return False
    if head.version == 2:
        section, places = abf._adcSection, list(channels)
    else:
        section = abf._headerV1
        places = [section.nADCSamplingSeq[channel] for channel in channels]
    return any(
        section.nTelegraphEnable[place] == ENABLED
        and section.nTelegraphMode[place] == CURRENT_CLAMP
        for place in places
    )


def _injects_steps(abf: Any, currents: Sequence[int], voltages: Sequence[int]) -> bool:
    """Tell whether, of one voltage and one current after it, only the current has plain steps."""
    return (
        len(currents) == len(voltages) == 1
        and voltages[0] < currents[0]
        and _is_stepped(abf, currents[0])
        and not _is_stepped(abf, voltages[0])
    )


def _is_stepped(abf: Any, channel: int) -> bool:
    """Tell whether the sweep with the largest deflection consists of a few constant levels."""
    sweeps = abf.data[channel, : abf.sweepCount * abf.sweepPointCount]
    rows = sweeps.reshape(abf.sweepCount, abf.sweepPointCount)
    return is_stepped(rows, abf.dataPointsPerMs * 1e3)
