"""NWB 1 files as the Allen Cell Types Database has them, small, by plain h5py."""

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from sts.base.types import Floats
from tests.recordings.files import RATE_HZ, SAMPLES, current_pa, voltage_mv

# The first samples are a test pulse, as the epochs of these files tell.
EXPERIMENT = 300
PULSE = slice(100, 200)


def with_pulse(current: Floats) -> Floats:
    """Return a current that begins with a test pulse."""
    pulsed = np.array(current)
    pulsed[PULSE] -= 25.0
    return pulsed


def write_allen(
    path: Path,
    numbers: Iterable[int] = range(3),
    *,
    pipeline: str | None = "1.0",
    conversion: tuple[float, float] = (1e-3, 1e-12),
    links: bool = True,
) -> Path:
    """Write one sweep a number.

    Parameters
    ----------
    path, numbers
        Where to, and which sweeps.
    pipeline
        Version that made the file; from 1.1 on the data are divided by `conversion`, which earlier
        versions only wrote beside them. None: no version is named.
    conversion
        What stands beside voltage and current.
    links
        Whether the epochs link to the traces, as they do in the archive, or hold them.
    """
    is_true = pipeline is not None and pipeline >= "1.1"
    with h5py.File(path, "w") as file:
        file["nwb_version"] = np.bytes_("NWB-1.0.5")
        general = file.create_group("general")
        general["aibs_specimen_id"] = 464212183
        general["session_id"] = "464212184"
        general["subject/subject_id"] = "donor 7"
        if pipeline is not None:
            words = ["pipeline", "IVSCC", "version", pipeline]
            general["generated_by"] = np.array(words, dtype="S")
        for number in numbers:
            _add_sweep(
                file,
                number,
                volts=voltage_mv(number) * 1e-3 / (conversion[0] if is_true else 1.0),
                amperes=with_pulse(current_pa(number)) * 1e-12 / (conversion[1] if is_true else 1),
                conversion=conversion,
                links=links,
            )
    return path


def _add_sweep(
    file: h5py.File,
    number: int,
    *,
    volts: Floats,
    amperes: Floats,
    conversion: tuple[float, float],
    links: bool,
) -> None:
    for place, side, stored, unit, factor in (
        ("acquisition/timeseries", "response", volts, "Volts", conversion[0]),
        ("stimulus/presentation", "stimulus", amperes, "Amps", conversion[1]),
    ):
        epoch = file.create_group(f"epochs/Sweep_{number}/{side}")
        epoch["idx_start"], epoch["count"] = 0, SAMPLES
        experiment = file.create_group(f"epochs/Experiment_{number}/{side}")
        experiment["idx_start"], experiment["count"] = EXPERIMENT, SAMPLES - EXPERIMENT
        traces = f"/{place}/Sweep_{number}"
        series = file.create_group(traces if links else f"{epoch.name}/timeseries")
        for group in (epoch, experiment):
            if links or group is experiment:
                group["timeseries"] = h5py.SoftLink(series.name)
        series["data"] = np.asarray(stored, np.float32)
        series["data"].attrs.update({"unit": unit, "conversion": factor, "resolution": 0.0})
        series["starting_time"] = 0.5
        series["starting_time"].attrs.update({"rate": RATE_HZ, "unit": "Seconds"})
        series["num_samples"] = SAMPLES
        series["aibs_stimulus_name"] = "Long Square"
        series["aibs_stimulus_amplitude_pa"] = 10.0 * (number + 1)


def response(file: h5py.File, number: int) -> h5py.Group:
    """Return the response of a sweep."""
    return file[f"acquisition/timeseries/Sweep_{number}"]


def stimulus(file: h5py.File, number: int) -> h5py.Group:
    """Return the stimulus of a sweep."""
    return file[f"stimulus/presentation/Sweep_{number}"]
