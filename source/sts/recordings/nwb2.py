"""NWB 2 files read by h5py alone: MIES (DANDI 000020) and other laboratories' current clamp."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import h5py

from sts.base.errors import CellFailed
from sts.base.types import Floats
from sts.recordings import guard
from sts.recordings.pairing import Series, linked, pair, series_in
from sts.recordings.recording import Recording, Sweep
from sts.recordings.traces import (
    MILLIVOLTS,
    PICOAMPERES,
    Unusable,
    check_potential,
    factor,
    recorded_part,
    scaled,
)

RESPONSE: Final = "CurrentClampSeries"
STIMULUS: Final = "CurrentClampStimulusSeries"
# Patch-clamp recordings that are not what is wanted.
OTHER_MODES: Final = {
    "VoltageClampSeries": "voltage clamp",
    "IZeroClampSeries": "zero current (I=0)",
}
# Amplifiers hold a cell with at most this much; more is in another unit than amperes.
MAX_BIAS_PA: Final = 1e4
# Below it the band of the scalograms, 20 to 200 Hz, would be badly sampled or not there.
MIN_RATE_HZ: Final = 1e3
MIES_ENDING: Final = re.compile(r"(_DA_\d+|\[\d+\])+$")


def read_nwb2(path: Path) -> Recording:
    """Return the current-clamp sweeps of an NWB 2 file; `CellFailed` says why there are none.

    The current is the stimulus plus `bias_current`, the holding current of the amplifier.
    """
    with guard.open_hdf5(path) as file:
        version = nwb_version(file)
        if not version.startswith("2"):
            raise CellFailed(
                f"is NWB {version}: NWB 2 is wanted" if version else "is no NWB file: it is HDF5"
            )
        series = series_in(file, "acquisition")
        responses = [one for one in series if one.kind == RESPONSE]
        others = [one for one in series if one.kind in OTHER_MODES]
        _check_content(responses, others)
        stimuli = pair(responses, series_in(file, "stimulus/presentation"), linked(file))
        sweeps, skipped = _read_all(responses, stimuli)
        skipped += [f"{one.called}: {OTHER_MODES[one.kind]}" for one in others]
        return Recording(
            specimen_id=_id(file, "general", "session_id") or _id_in(path, "ses") or path.stem,
            donor_id=_id(file, "general/subject", "subject_id") or _id_in(path, "sub"),
            sweeps=tuple(sorted(sweeps, key=lambda sweep: sweep.number)),
            skipped=tuple(skipped),
        )


def nwb_version(file: Any) -> str:
    """Return the NWB version an open HDF5 file names, "" where it names none."""
    return guard.text(file, "nwb_version").removeprefix("NWB-")


def _id(file: Any, place: str, name: str) -> str:
    group = guard.follow(file, place)
    return guard.text(group, name) if isinstance(group, h5py.Group) else ""


def _id_in(path: Path, key: str) -> str:
    """Return what a file name of DANDI says, as in sub-599387254_ses-601506492_icephys.nwb."""
    found = re.search(rf"(?:^|_){key}-([^_]+)", path.stem)
    return found[1] if found else ""


def _check_content(responses: list[Series], others: list[Series]) -> None:
    if not responses:
        modes = sorted({OTHER_MODES[one.kind] for one in others})
        holds = f"only {' and '.join(modes)}" if modes else "no current clamp"
        raise CellFailed(
            f"holds {holds} sweeps: current clamp is needed"
            + (f" ({len(others)} sweeps)" if others else "")
        )
    electrodes = {one.electrode for one in responses} - {None}
    if len(electrodes) > 1:
        raise CellFailed(
            f"holds more than one cell: its current clamp sweeps come from {len(electrodes)} "
            "electrodes; give every cell a file of its own"
        )


def _read_all(responses: list[Series], stimuli: dict[str, Series]) -> tuple[list[Sweep], list[str]]:
    sweeps, reasons = [], {}
    for place, response in enumerate(responses):
        number = place if response.number is None else response.number
        try:
            sweeps.append(_read_sweep(response, stimuli.get(response.name), number=number))
        except Unusable as reason:
            reasons[response.called] = str(reason)
        except guard.BROKEN as error:
            reasons[response.called] = f"cannot be read: {guard.said(error)}"
    if not sweeps:
        told = [
            f"{reason} ({times} x)" for reason, times in Counter(reasons.values()).most_common()
        ]
        raise CellFailed(f"holds no usable current clamp sweep: {'; '.join(told[:3])}")
    return sweeps, [f"{name}: {reason}" for name, reason in reasons.items()]


def _read_sweep(response: Series, stimulus: Series | None, *, number: int) -> Sweep:
    if stimulus is None:
        raise Unusable("no stimulus trace belongs to it")
    if stimulus.kind != STIMULUS:
        raise Unusable(f"its stimulus is of type {stimulus.kind or 'none'}: {STIMULUS} is wanted")
    rate_hz, other_hz = _rate_hz(response), _rate_hz(stimulus)
    if not math.isclose(rate_hz, other_hz, rel_tol=1e-6):
        raise Unusable(
            f"its response is sampled at {rate_hz:g} Hz, its stimulus at {other_hz:g} Hz"
        )
    voltage_mv = _trace(response, MILLIVOLTS, what="response")
    current_pa = _trace(stimulus, PICOAMPERES, what="stimulus") + _bias_pa(response)
    voltage_mv, current_pa = recorded_part(voltage_mv, current_pa, rate_hz=rate_hz)
    check_potential(voltage_mv)
    return Sweep(
        voltage_mv=voltage_mv,
        current_pa=current_pa,
        rate_hz=rate_hz,
        name=_protocol(response) or _protocol(stimulus),
        number=number,
    )


def _rate_hz(one: Series) -> float:
    start = guard.member(one.group, "starting_time")
    rate_hz = None if start is None else guard.number(start, "rate")
    if rate_hz is None:
        raise Unusable("it has no sampling rate")
    if not MIN_RATE_HZ <= rate_hz < math.inf:
        raise Unusable(f"its sampling rate of {rate_hz:g} Hz is not usable: 1 kHz is the least")
    # 50000.00000000001 Hz is what dividing by a sampling interval leaves behind.
    return round(rate_hz, 6)


def _trace(one: Series, units: Mapping[str, float], *, what: str) -> Floats:
    data = guard.member(one.group, "data")
    if data is None:
        raise Unusable(f"its {what} holds no data")
    conversion, offset = guard.number(data, "conversion"), guard.number(data, "offset")
    return scaled(
        guard.array(data),
        per_unit=factor(guard.text(data, "unit"), units, what=what),
        conversion=1.0 if conversion is None else conversion,
        offset=offset or 0.0,
    )


def _bias_pa(response: Series) -> float:
    bias_a = guard.number(response.group, "bias_current")
    # MIES writes NaN where the amplifier held no current.
    bias_pa = 0.0 if bias_a is None or math.isnan(bias_a) else bias_a * 1e12
    if abs(bias_pa) > MAX_BIAS_PA:
        raise Unusable(f"its bias_current of {bias_a:g} A is no holding current")
    return bias_pa


def _protocol(one: Series) -> str:
    """Return the stimulus name without the output channel and the set number that MIES adds."""
    return MIES_ENDING.sub("", guard.text(one.group, "stimulus_description"))
