"""Small recordings of made-up cells whose rheobase is known, as NWB 2 files."""

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from sts.base.types import Floats
from tests.recordings.files import AMPERES_PER_BIT, VOLTS_PER_BIT, add_series

RATE_HZ = 20_000.0
# The sweep lasts this long after the step.
AFTER_S = 0.2
ONSET_S, STEP_S = 0.3, 1.0
AMPLITUDES_PA = (-50, -30, 30, 50, 70, 90, 110)
RHEOBASE_PA = 50


def write_cell(
    folder: Path,
    specimen: str,
    *,
    amplitudes_pa: Iterable[float] = AMPLITUDES_PA,
    rheobase_pa: float = RHEOBASE_PA,
    step_s: float = STEP_S,
    amperes: float = 1e-12,
    holding_pa: float = 0.0,
) -> Path:
    """Write a cell that fires from `rheobase_pa` on, more often the stronger the step.

    Its voltage is the same at every holding current.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sub-7_ses-{specimen}_icephys.nwb"
    with h5py.File(path, "w") as file:
        file.attrs.update({"nwb_version": "2.2.4", "neurodata_type": "NWBFile"})
        file["general/session_id"] = specimen
        file["general/subject/subject_id"] = "mouse 7"
        for number, amplitude_pa in enumerate(amplitudes_pa):
            spikes = max(0, int(1 + (amplitude_pa - rheobase_pa) // 20))
            _add_sweep(
                file,
                number,
                voltage_mv=voltage_mv(amplitude_pa, spikes, step_s),
                current_a=(current_pa(amplitude_pa, step_s) + holding_pa) * amperes,
            )
    return path


def current_pa(amplitude_pa: float, step_s: float = STEP_S) -> Floats:
    """Return one step."""
    time_s = np.arange(round((ONSET_S + step_s + AFTER_S) * RATE_HZ)) / RATE_HZ
    return np.where((time_s >= ONSET_S) & (time_s < ONSET_S + step_s), float(amplitude_pa), 0.0)


def voltage_mv(amplitude_pa: float, spikes: int, step_s: float = STEP_S) -> Floats:
    """Return a passive response (100 MOhm, 10 ms) with spikes of a millisecond on it."""
    time_s = np.arange(round((ONSET_S + step_s + AFTER_S) * RATE_HZ)) / RATE_HZ
    since_s = np.clip(time_s - ONSET_S, 0, step_s)
    after_s = np.clip(time_s - ONSET_S - step_s, 0, None)
    voltage = -70 + 0.1 * amplitude_pa * (1 - np.exp(-since_s / 0.01)) * np.exp(-after_s / 0.01)
    for peak_s in ONSET_S + step_s * (np.arange(spikes) + 0.5) / max(spikes, 1):
        voltage += 90 * np.exp(-0.5 * ((time_s - peak_s) / 3e-4) ** 2)
    return voltage


def _add_sweep(file: h5py.File, number: int, *, voltage_mv: Floats, current_a: Floats) -> None:
    for place, side, kind, values, bit, unit in (
        ("acquisition", "AD", "CurrentClampSeries", voltage_mv * 1e-3, VOLTS_PER_BIT, "volts"),
        (
            "stimulus/presentation",
            "DA",
            "CurrentClampStimulusSeries",
            current_a,
            AMPERES_PER_BIT,
            "amperes",
        ),
    ):
        series = file.create_group(f"{place}/data_{number:05d}_{side}0")
        stored = np.round(values / bit).astype(np.float32)
        add_series(series, kind, stored, {"unit": unit, "conversion": bit})
        series["starting_time"].attrs["rate"] = RATE_HZ
        series.attrs["sweep_number"] = np.uint64(number)
