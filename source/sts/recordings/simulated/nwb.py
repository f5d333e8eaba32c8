"""A simulated cell as an NWB 2 file in the layout of DANDI 000020."""

import datetime
import hashlib
import uuid
from pathlib import Path
from typing import Any, Final

import numpy as np
from pynwb import NWBHDF5IO, H5DataIO, NWBFile
from pynwb.device import Device
from pynwb.file import Subject
from pynwb.icephys import CurrentClampSeries, CurrentClampStimulusSeries, IntracellularElectrode

from sts.base.guard import new_hdf5
from sts.base.types import Floats
from sts.recordings.recording import Recording, Sweep
from sts.recordings.simulated.cells import Entry, SimulatedCell
from sts.recordings.simulated.neuron import A_PER_COUNT, MV_PER_COUNT, PA_PER_COUNT, V_PER_COUNT

SIMULATED_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "spike-train-scalograms/simulated")
# Recordings have a date within DAYS days from the earliest date.
EARLIEST: Final = datetime.datetime(2017, 1, 2, 9, tzinfo=datetime.UTC)
DAYS: Final = 1000
# Pause between two sweeps.
SWEEP_PAUSE_S: Final = 1.0
COMPRESSED: Final = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def path_of(cell: Recording | Entry, folder: Path) -> Path:
    """Return the path of a cell's file in a folder, named as on DANDI."""
    donor, specimen = cell.donor_id, cell.specimen_id
    return folder / f"sub-{donor}" / f"sub-{donor}_ses-{specimen}_icephys.nwb"


def write_nwb(cell: SimulatedCell, folder: Path) -> Path:
    """Write a cell to its place in `folder` and return the path.

    Object ids and dates follow from the specimen id, so equal cells give equal files.
    """
    path = path_of(cell.recording, folder)
    file = _file(cell)
    with new_hdf5(path) as hdf5, NWBHDF5IO(file=hdf5, mode="w") as output:
        output.write(file)
    return path


def _file(cell: SimulatedCell) -> NWBFile:
    specimen = cell.recording.specimen_id
    digest = hashlib.sha256(specimen.encode()).digest()
    start = EARLIEST + datetime.timedelta(days=int.from_bytes(digest[:4], "big") % DAYS)
    file = _create(
        NWBFile,
        specimen,
        "file",
        identifier=str(uuid.uuid5(SIMULATED_NAMESPACE, specimen)),
        session_description=(
            f"Simulated current-clamp recording of a {cell.label} neuron, as in {cell.dataset}"
        ),
        session_start_time=start,
        file_create_date=start,
        session_id=specimen,
        institution="none: simulated",
        lab="none: simulated",
        experimenter=["Simulation, A"],
        experiment_description="Minimal Hodgkin-Huxley neurons after Pospischil et al. (2008)",
        keywords=["simulated", "current clamp", "cell types"],
        subject=_subject(cell),
    )
    electrode = _electrode(file, specimen)
    begin_s = 0.0
    for sweep in cell.recording.sweeps:
        _add_sweep(file, sweep, electrode, specimen=specimen, begin_s=begin_s)
        begin_s += sweep.voltage_mv.size / sweep.rate_hz + SWEEP_PAUSE_S
    return file


def _subject(cell: SimulatedCell) -> Subject:
    donor = hashlib.sha256(cell.recording.donor_id.encode()).digest()
    return _create(
        Subject,
        cell.recording.specimen_id,
        "subject",
        subject_id=cell.recording.donor_id,
        species="Mus musculus",
        sex="MF"[donor[0] % 2],
        age=f"P{50 + donor[1] % 20}D",
        genotype="none: simulated",
        description="a simulated mouse",
    )


def _electrode(file: NWBFile, specimen: str) -> IntracellularElectrode:
    device = _create(
        Device, specimen, "device", name="Simulator", description="numerical integration at 50 kHz"
    )
    file.add_device(device)
    electrode = _create(
        IntracellularElectrode,
        specimen,
        "electrode",
        name="electrode_0",
        description="a noiseless electrode without series resistance",
        device=device,
        cell_id=specimen,
    )
    file.add_icephys_electrode(electrode)
    return electrode


def _add_sweep(
    file: NWBFile,
    sweep: Sweep,
    electrode: IntracellularElectrode,
    *,
    specimen: str,
    begin_s: float,
) -> None:
    shared: dict[str, Any] = {
        "electrode": electrode,
        "gain": 1.0,
        "rate": sweep.rate_hz,
        "starting_time": begin_s,
        "sweep_number": np.uint32(sweep.number),
        "stimulus_description": f"{sweep.name}_DA_0",
        "description": "simulated",
    }
    response = _create(
        CurrentClampSeries,
        specimen,
        f"response {sweep.number}",
        name=f"data_{sweep.number:05d}_AD0",
        data=_counts(sweep.voltage_mv, MV_PER_COUNT),
        conversion=V_PER_COUNT,
        bias_current=0.0,
        bridge_balance=0.0,
        capacitance_compensation=0.0,
        **shared,
    )
    stimulus = _create(
        CurrentClampStimulusSeries,
        specimen,
        f"stimulus {sweep.number}",
        name=f"data_{sweep.number:05d}_DA0",
        data=_counts(sweep.current_pa, PA_PER_COUNT),
        conversion=A_PER_COUNT,
        **shared,
    )
    file.add_acquisition(response, use_sweep_table=False)
    file.add_stimulus(stimulus, use_sweep_table=False)


def _counts(trace: Floats, per_count: float) -> H5DataIO:
    counts = np.rint(trace / np.float64(per_count)).astype(np.int16)
    return H5DataIO(counts, **COMPRESSED)


def _create(kind: Any, specimen: str, what: str, **fields: Any) -> Any:
    """Create a pynwb object whose id follows from the specimen, where pynwb takes a random one."""
    one = kind.__new__(kind, object_id=str(uuid.uuid5(SIMULATED_NAMESPACE, f"{specimen} {what}")))
    one.__init__(**fields)
    return one
