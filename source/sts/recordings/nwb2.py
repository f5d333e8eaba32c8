"""NWB 2 files read by h5py alone: MIES (DANDI 000020) and other laboratories' current clamp."""

import re
from functools import partial
from pathlib import Path
from typing import Any, Final

from sts.base import guard
from sts.base.errors import CellFailed
from sts.recordings.gather import SweepSource, gather, look_at_current, make_sweep
from sts.recordings.recording import (
    FileIdentity,
    Recording,
    Sweep,
    Wanted,
    every_sweep,
    identify_file,
    says_nothing,
)
from sts.recordings.series import (
    Series,
    bias_pa,
    id_in,
    id_of_name,
    pair,
    rates_hz,
    read_links,
    read_samples,
    series_in,
)
from sts.recordings.traces import MILLIVOLTS, PICOAMPERES, Unusable

RESPONSE: Final = "CurrentClampSeries"
STIMULUS: Final = "CurrentClampStimulusSeries"
# Patch-clamp recordings that are not what is wanted.
OTHER_MODES: Final = {
    "VoltageClampSeries": "voltage clamp",
    "IZeroClampSeries": "zero current (I=0)",
}
MIES_ENDING: Final = re.compile(r"(_DA_\d+|\[\d+\])+$")


def read_nwb2(path: Path, wanted: Wanted = every_sweep) -> Recording:
    """Return the current-clamp sweeps of an NWB 2 file; `CellFailed` says why there are none.

    The current is the stimulus plus `bias_current`, the holding current of the amplifier.
    """
    with guard.open_hdf5(path) as file:
        return recording_in(file, path, wanted)


def recording_in(file: Any, path: Path, wanted: Wanted = every_sweep) -> Recording:
    """Return the recording in an open NWB 2 file, wherever its bytes come from.

    Parameters
    ----------
    file
        The open h5py file.
    path
        How it is called: names a cell whose file names none.
    wanted
        Which sweeps are to be read.
    """
    version = nwb_version(file)
    if not version.startswith("2"):
        raise CellFailed(
            f"is NWB {version}: NWB 2 is wanted" if version else "is no NWB file: it is HDF5"
        )
    series = series_in(file, "acquisition")
    responses = [one for one in series if one.kind == RESPONSE]
    others = [one for one in series if one.kind in OTHER_MODES]
    check_content(responses, [OTHER_MODES[one.kind] for one in others])
    stimuli = pair(responses, series_in(file, "stimulus/presentation"), read_links(file))
    sweeps = (
        SweepSource(
            called=one.called,
            read=partial(_sweep, one, stimuli.get(one.name), place, wanted=wanted),
        )
        for place, one in enumerate(responses)
    )
    modes = (f"{one.called}: {OTHER_MODES[one.kind]}" for one in others)
    return gather(sweeps, who=identity_in(file, path), skipped=modes)


def identity_in(file: Any, path: Path) -> FileIdentity:
    """Return whose recording an open NWB 2 file holds."""
    subject = id_in(file, "general/subject", "subject_id")
    return identify_file(
        path,
        stated=id_in(file, "general", "session_id"),
        named=id_of_name(path, "ses"),
        donor=id_of_name(path, "sub") if says_nothing(subject) else subject,
    )


def nwb_version(file: Any) -> str:
    """Return the NWB version an open HDF5 file names, "" where it names none."""
    return guard.text(file, "nwb_version").removeprefix("NWB-")


def check_content(responses: list[Series], other_modes: list[str]) -> None:
    """Refuse a file without current clamp, and one with more than one cell."""
    if not responses:
        modes = sorted(set(other_modes))
        holds = f"only {' and '.join(modes)}" if modes else "no current clamp"
        raise CellFailed(
            f"holds {holds} sweeps: current clamp is needed"
            + (f" ({len(other_modes)} sweeps)" if modes else "")
        )
    electrodes = {one.electrode for one in responses} - {None}
    if len(electrodes) > 1:
        raise CellFailed(
            f"holds more than one cell: its current clamp sweeps come from {len(electrodes)} "
            "electrodes; give every cell a file of its own"
        )


def _sweep(
    response: Series, stimulus: Series | None, place: int, *, wanted: Wanted
) -> Sweep | None:
    if stimulus is None:
        raise Unusable("no stimulus trace belongs to it")
    if stimulus.kind != STIMULUS:
        raise Unusable(f"its stimulus is of type {stimulus.kind or 'none'}: {STIMULUS} is wanted")
    rate_hz = rates_hz(response, stimulus)
    current_pa = read_samples(stimulus, PICOAMPERES, what="stimulus") + bias_pa(response)
    if not (found := look_at_current(wanted, current_pa, rate_hz)):
        return None
    return make_sweep(
        read_samples(response, MILLIVOLTS, what="response"),
        current_pa,
        rate_hz=rate_hz,
        name=_protocol(response) or _protocol(stimulus),
        number=place if response.number is None else response.number,
        found=found,
    )


def _protocol(one: Series) -> str:
    """Return the stimulus name without the output channel and the set number that MIES adds."""
    return MIES_ENDING.sub("", guard.text(one.group, "stimulus_description"))
