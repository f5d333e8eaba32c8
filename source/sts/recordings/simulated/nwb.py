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

from sts.base.files import atomic_path
from sts.base.types import Floats
from sts.recordings.recording import Sweep
from sts.recordings.simulated.cells import SimulatedCell
from sts.recordings.simulated.neuron import MV_PER_COUNT
from sts.recordings.simulated.protocol import PA_PER_COUNT

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "spike-train-scalograms/simulated")
EARLIEST: Final = datetime.datetime(2017, 1, 2, 9, tzinfo=datetime.UTC)
DAYS: Final = 1000
# A sweep is followed by as much rest.
BETWEEN_S: Final = 1.0
COMPRESSED: Final = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def write_nwb(cell: SimulatedCell, folder: Path) -> Path:
    """Write a cell to `folder`/sub-DONOR/sub-DONOR_ses-SPECIMEN_icephys.nwb and return the path.

    Object ids and dates follow from the specimen id, so equal cells give equal files.
    """
    donor, specimen = cell.recording.donor_id, cell.recording.specimen_id
    path = folder / f"sub-{donor}" / f"sub-{donor}_ses-{specimen}_icephys.nwb"
    file = _file(cell)
    with atomic_path(path) as temporary, NWBHDF5IO(str(temporary), mode="w") as output:
        output.write(file)
    return path
