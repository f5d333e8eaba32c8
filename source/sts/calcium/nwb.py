"""Generated traces as an NWB 2 file."""

import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ophys import (
    DfOverF,
    Fluorescence,
    ImageSegmentation,
    OpticalChannel,
    RoiResponseSeries,
)

from sts.base.files import atomic_path
from sts.base.types import Floats

# A fixed day: equal traces give files that tell the same.
START: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
INDICATOR: Final = "none: generated"
# Silence between two windows, which are independent of each other.
BETWEEN_S: Final = 1.0


def write_nwb(path: Path, windows: Floats, *, rate_hz: float, unit: str, description: str) -> None:
    """Write windows (n, neurons, frames), a RoiResponseSeries each, in physical units."""
    file = NWBFile(
        session_description=description,
        identifier=path.stem,
        session_start_time=START,
        institution=INDICATOR,
        lab=INDICATOR,
        keywords=["generated", "calcium imaging"],
    )
    region = _regions(file, windows.shape[1])
    relative = unit == "dF/F"
    container: Any = DfOverF() if relative else Fluorescence()
    module = file.create_processing_module("ophys", "generated traces")
    module.add(container)
    for number, window in enumerate(windows):
        container.add_roi_response_series(
            RoiResponseSeries(
                name=f"window_{number:05d}",
                data=np.ascontiguousarray(window.T),
                rois=region,
                unit="n.a." if relative else unit or "a.u.",
                rate=float(rate_hz),
                starting_time=number * (windows.shape[2] / rate_hz + BETWEEN_S),
            )
        )
    with atomic_path(path) as temporary, NWBHDF5IO(str(temporary), mode="w") as output:
        output.write(file)


def _regions(file: NWBFile, neurons: int) -> Any:
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
    for index in range(neurons):
        table.add_roi(pixel_mask=[(index, 0, 1.0)])
    segmenting = file.create_processing_module("segmentation", "a row a neuron")
    segmenting.add(segmentation)
    return table.create_roi_table_region(
        region=list(range(neurons)), description="all generated neurons"
    )
