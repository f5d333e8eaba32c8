"""A recording as an NWB 2 file: each response with its stimulus, and the tables that pair them.

The traces are kept in mV and pA as float32, so that they are read back as they were. The current
contains the holding current. The tables of recordings tell where the experiment of a sweep begins,
and the amplitude that its source states.
"""

import contextlib
import datetime
import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from pynwb import NWBHDF5IO, H5DataIO, NWBFile
from pynwb.device import Device
from pynwb.file import Subject
from pynwb.icephys import CurrentClampSeries, CurrentClampStimulusSeries, IntracellularElectrode

from sts import __version__
from sts.base.guard import new_hdf5
from sts.base.logs import printable
from sts.base.types import Floats
from sts.recordings.recording import Recording, Sweep
from sts.recordings.series import STATED_PA

# The space of the ids of converted files.
CONVERTED: Final = uuid.uuid5(uuid.NAMESPACE_URL, "spike-train-scalograms/converted")
V_PER_MV: Final = 1e-3
A_PER_PA: Final = 1e-12
# The sweeps follow each other with this pause, since a recording does not say when each began.
PAUSE_S: Final = 1.0
PACKED: Final = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
# The date of a recording whose source names none.
NO_DATE: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def write_recording(recording: Recording, path: Path, *, sources: Mapping[str, str]) -> None:
    """Write a recording; `sources` are the names of its files, each with its sha256."""
    file = _make_file(recording, sources)
    electrode = _add_electrode(file, recording)
    if any(sweep.stated_pa is not None for sweep in recording.sweeps):
        file.get_intracellular_recordings().add_column(
            name=STATED_PA,
            description="the amplitude in pA that the source states beside the trace, NaN if none",
            category="stimuli",
        )
    begin_s = 0.0
    rows: dict[str, list[int]] = {}
    for place, sweep in enumerate(recording.sweeps):
        row = _add_sweep(file, sweep, electrode, place=place, begin_s=begin_s)
        simultaneous = file.add_icephys_simultaneous_recording(recordings=[row])
        rows.setdefault(sweep.name, []).append(simultaneous)
        begin_s += len(sweep.voltage_mv) / sweep.rate_hz + PAUSE_S
    for name, simultaneous in rows.items():
        file.add_icephys_sequential_recording(
            simultaneous_recordings=simultaneous, stimulus_type=name or "not named"
        )
    with new_hdf5(path) as hdf5, NWBHDF5IO(file=hdf5, mode="w") as output:
        output.write(file)


def _make_file(recording: Recording, sources: Mapping[str, str]) -> NWBFile:
    names = ", ".join(printable(name) for name in sources)
    digests = ", ".join(f"{printable(name)} {sha256}" for name, sha256 in sources.items())
    start = _parse_date(recording.recorded_at)
    file = NWBFile(
        identifier=str(uuid.uuid5(CONVERTED, digests + recording.specimen_id)),
        session_description=f"Current-clamp recording of cell {recording.specimen_id}, converted "
        f"from {names}",
        session_start_time=start or NO_DATE,
        # Else the name of the file is the id, as it was.
        session_id=recording.specimen_id if recording.claims_id else None,
        data_collection=f"Converted by spike-train-scalograms {__version__} from files of these "
        f"sha256: {digests}.",
        notes=" ".join(_write_notes(recording, has_date=start is not None)),
    )
    # Every NWB file needs a subject; our reader takes this word for none.
    file.subject = Subject(subject_id=recording.donor_id or "unknown")
    return file


def _parse_date(text: str) -> datetime.datetime | None:
    """Return the time in a text, UTC if it names no zone, None if it is no time."""
    with contextlib.suppress(ValueError):
        time = datetime.datetime.fromisoformat(text)
        return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    return None


def _write_notes(recording: Recording, *, has_date: bool) -> list[str]:
    notes = [
        "The start time of the session is that of the source; UTC stands where it names no zone."
        if has_date
        else "The source names no date: the start time of the session is a placeholder.",
        "The sweeps are in their order, their starting times are not those of the recording.",
        "The stimulus contains the holding current.",
    ]
    left_out = [*recording.notes, *(f"left out {line}" for line in recording.skipped)]
    return notes + [printable(line) + "." for line in left_out]


def _add_electrode(file: NWBFile, recording: Recording) -> IntracellularElectrode:
    device = Device(name="amplifier", description="not named by the source")
    file.add_device(device)
    electrode = IntracellularElectrode(
        name="electrode_0",
        description="the electrode of the recording",
        device=device,
        cell_id=recording.specimen_id,
    )
    file.add_icephys_electrode(electrode)
    return electrode


def _add_sweep(
    file: NWBFile, sweep: Sweep, electrode: IntracellularElectrode, *, place: int, begin_s: float
) -> int:
    """Add a response and its stimulus; return their row in the table of recordings."""
    shared: dict[str, Any] = {
        "electrode": electrode,
        "rate": sweep.rate_hz,
        "starting_time": begin_s,
        "sweep_number": np.uint64(sweep.number),
        "stimulus_description": sweep.name or "not named",
        "description": "converted to float32",
    }
    response = CurrentClampSeries(
        name=f"data_{place:05d}_AD0",
        data=_pack(sweep.voltage_mv),
        conversion=V_PER_MV,
        **shared,
    )
    stimulus = CurrentClampStimulusSeries(
        name=f"data_{place:05d}_DA0",
        data=_pack(sweep.current_pa),
        conversion=A_PER_PA,
        **shared,
    )
    file.add_acquisition(response, use_sweep_table=False)
    file.add_stimulus(stimulus, use_sweep_table=False)
    samples = len(sweep.voltage_mv) - sweep.begin
    stated_pa = math.nan if sweep.stated_pa is None else float(sweep.stated_pa)
    table = file.get_intracellular_recordings().category_tables["stimuli"]
    row: int = file.add_intracellular_recording(
        electrode=electrode,
        response=response,
        response_start_index=sweep.begin,
        response_index_count=samples,
        stimulus=stimulus,
        stimulus_start_index=sweep.begin,
        stimulus_index_count=samples,
        stimulus_metadata={STATED_PA: stated_pa} if STATED_PA in table.colnames else None,
    )
    return row


def _pack(trace: Floats) -> H5DataIO:
    return H5DataIO(trace, **PACKED)
