"""Generated traces as an NWB 2 file."""

import datetime
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject
from pynwb.ophys import (
    DfOverF,
    Fluorescence,
    ImageSegmentation,
    OpticalChannel,
    RoiResponseSeries,
)

from sts.base.guard import new_hdf5
from sts.base.types import Floats

# A fixed day: equal traces give equal files.
START: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "spike-train-scalograms/generated")
INDICATOR: Final = "none: generated"
# What NCBI calls an organism that is not known.
SPECIES: Final = "http://purl.obolibrary.org/obo/NCBITaxon_32644"
# Silence between two windows, which are independent of each other.
BETWEEN_S: Final = 1.0


def write_generated_nwb(
    path: Path,
    windows: Floats,
    *,
    rate_hz: float,
    unit: str,
    description: str,
    neurons: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write windows (n, neurons, frames), a RoiResponseSeries each, in physical units.

    Parameters
    ----------
    neurons
        Their names, a column of the table of regions.
    provenance
        What made them, kept as JSON in the notes.
    """
    origin = json.dumps(provenance or {}, sort_keys=True, default=str)
    file = NWBFile(
        session_description=description,
        identifier=str(uuid.uuid5(NAMESPACE, f"{path.stem} {origin}")),
        session_id=path.stem,
        session_start_time=START,
        file_create_date=START,
        institution=INDICATOR,
        lab=INDICATOR,
        experimenter=["Generator, A"],
        experiment_description="Calcium traces from a generative adversarial network",
        keywords=["generated", "calcium imaging"],
        notes=origin,
        subject=Subject(
            subject_id="generated",
            species=SPECIES,
            sex="U",
            age="P0D/",
            description="no animal: a generative adversarial network",
        ),
    )
    module = file.create_processing_module("ophys", "generated traces")
    region = _regions(file, module, neurons or [str(index) for index in range(windows.shape[1])])
    relative = unit == "dF/F"
    container: Any = DfOverF() if relative else Fluorescence()
    module.add(container)
    for number, window in enumerate(windows):
        container.add_roi_response_series(
            RoiResponseSeries(
                name=f"window_{number:05d}",
                description="generated, independent of the other windows",
                data=np.ascontiguousarray(window.T),
                rois=region,
                unit="n.a." if relative else unit or "a.u.",
                rate=float(rate_hz),
                starting_time=number * (windows.shape[2] / rate_hz + BETWEEN_S),
            )
        )
    with new_hdf5(path) as hdf5, NWBHDF5IO(file=hdf5, mode="w") as output:
        output.write(file)


def _regions(file: NWBFile, module: Any, neurons: Sequence[str]) -> Any:
    device = file.create_device(name="Generator", description="a generative adversarial network")
    plane = file.create_imaging_plane(
        name="ImagingPlane",
        optical_channel=OpticalChannel(
            name="OpticalChannel", description=INDICATOR, emission_lambda=500.0
        ),
        description=INDICATOR,
        device=device,
        excitation_lambda=900.0,
        indicator=INDICATOR,
        location=INDICATOR,
    )
    segmentation = ImageSegmentation()
    table = segmentation.create_plane_segmentation(
        name="PlaneSegmentation", description="generated neurons have no place", imaging_plane=plane
    )
    table.add_column("neuron", "name of the neuron that it stands for")
    for index, name in enumerate(neurons):
        table.add_roi(pixel_mask=[(index, 0, 1.0)], neuron=name)
    module.add(segmentation)
    return table.create_roi_table_region(
        region=list(range(len(neurons))), description="all generated neurons"
    )
