"""NWB 2 files as MIES writes them, small, by plain h5py, and ready to be spoilt."""

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from sts.base.types import Floats

RATE_HZ = 10_000.0
SAMPLES = 2_000
VOLTS_PER_BIT = 4e-6
AMPERES_PER_BIT = 1e-13


def voltage_mv(number: int) -> Floats:
    """Return a response like none of the other sweeps'."""
    time_s = np.arange(SAMPLES) / RATE_HZ
    return -65.0 + 5.0 * np.sin(2 * np.pi * (20.0 + number) * time_s)


def current_pa(number: int) -> Floats:
    """Return a step of 0.1 s with an amplitude of its own for each sweep."""
    current = np.zeros(SAMPLES)
    current[500:1500] = 10.0 * (number + 1)
    return current


def write_mies(path: Path, numbers: Iterable[int] = range(3), *, electrode: bool = True) -> Path:
    """Write one sweep a number, int16 with conversion, and what else such files hold."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"nwb_version": "2.2.4", "neurodata_type": "NWBFile"})
        file["general/session_id"] = "601506492"
        file["general/subject/subject_id"] = "599387254"
        file["general/labnotebook/ITC18USB_Dev_0/numericalValues"] = np.zeros((3, 4))
        file["general/intracellular_ephys/electrode_0/description"] = "Headstage 0"
        file.create_group("acquisition")
        file.create_group("stimulus/presentation")
        for number in numbers:
            add_sweep(file, number, electrode=electrode)
    return path


def add_sweep(file: h5py.File, number: int, *, channel: int = 0, electrode: bool = True) -> None:
    """Add a response and its stimulus."""
    add_series(
        file["acquisition"].create_group(f"data_{number:05d}_AD{channel}"),
        "CurrentClampSeries",
        np.round(voltage_mv(number) * 1e-3 / VOLTS_PER_BIT).astype(np.int16),
        {"unit": "volts", "conversion": VOLTS_PER_BIT},
    )
    add_series(
        file["stimulus/presentation"].create_group(f"data_{number:05d}_DA{channel}"),
        "CurrentClampStimulusSeries",
        np.round(current_pa(number) * 1e-12 / AMPERES_PER_BIT).astype(np.int16),
        {"unit": "amperes", "conversion": AMPERES_PER_BIT},
    )
    for place in ("acquisition", "stimulus/presentation"):
        side = "AD" if place == "acquisition" else "DA"
        series = file[f"{place}/data_{number:05d}_{side}{channel}"]
        series.attrs["sweep_number"] = np.uint64(number)
        series.attrs["stimulus_description"] = "X4PS_SupraThresh_DA_0"
        if electrode:
            target = f"/general/intracellular_ephys/electrode_{channel}"
            file.require_group(target)
            series["electrode"] = h5py.SoftLink(target)


def add_series(
    group: h5py.Group, kind: str, stored: np.ndarray, attributes: dict[str, object]
) -> None:
    """Fill a group with a time series."""
    group.attrs["neurodata_type"] = kind
    group.create_dataset("data", data=stored).attrs.update(attributes)
    group["starting_time"] = 12.5
    group["starting_time"].attrs.update({"rate": RATE_HZ, "unit": "seconds"})


def replace_data(series: h5py.Group, stored: np.ndarray) -> None:
    """Put other numbers in the place of a series' data, under the same attributes."""
    attributes = dict(series["data"].attrs)
    del series["data"]
    series.create_dataset("data", data=stored).attrs.update(attributes)
