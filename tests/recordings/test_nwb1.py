"""Files of the Allen Cell Types Database arrive as mV and pA, whatever stands beside the data."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import CellFailed
from sts.recordings.nwb import read_nwb1
from sts.recordings.readers import content_of, read_recording
from sts.signals.steps import stimulus_of
from tests.recordings.files import RATE_HZ, SAMPLES, current_pa, voltage_mv
from tests.recordings.nwb1_files import (
    EXPERIMENT,
    response,
    stimulus,
    with_pulse,
    write_allen,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_allen(tmp_path / "464212183_ephys.nwb")


def assert_all_true(path: Path) -> None:
    """Compare with what was recorded; float32 holds -70 mV to 4e-6."""
    sweeps = read_nwb1(path).sweeps
    assert [sweep.number for sweep in sweeps] == [0, 1, 2]
    for sweep in sweeps:
        np.testing.assert_allclose(sweep.voltage_mv, voltage_mv(sweep.number), atol=2e-5)
        np.testing.assert_allclose(
            sweep.current_pa, with_pulse(current_pa(sweep.number)), atol=1e-5
        )


@pytest.mark.parametrize("pipeline", ["1.0", None, "1.1", "1.1.2", "2.0"])
@pytest.mark.parametrize("links", [True, False])
def test_a_conversion_holds_from_pipeline_1_1_on(
    tmp_path: Path, pipeline: str | None, links: bool
) -> None:
    assert_all_true(write_allen(tmp_path / "cell.nwb", pipeline=pipeline, links=links))


def test_a_sweep_has_its_rate_its_name_and_its_amplitude(path: Path) -> None:
    sweep = read_nwb1(path).sweeps[1]
    assert (sweep.rate_hz, sweep.name, sweep.stated_pa) == (RATE_HZ, "Long Square", 20.0)


def test_the_experiment_begins_behind_the_test_pulse(path: Path) -> None:
    sweep = read_nwb1(path).sweeps[1]
    assert sweep.begin == EXPERIMENT
    assert [step.onset for step in stimulus_of(sweep).steps] == [500]


def test_what_lies_behind_the_experiment_is_not_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for side in ("stimulus", "response"):
            file[f"epochs/Experiment_1/{side}/count"][()] = 1400
    sweep = read_nwb1(path).sweeps[1]
    assert len(sweep.voltage_mv) == len(sweep.current_pa) == EXPERIMENT + 1400


@pytest.mark.parametrize(("first", "count"), [(-1, 100), (0, 0), (0, -5)])
def test_an_experiment_that_is_none_costs_its_sweep(path: Path, first: int, count: int) -> None:
    with h5py.File(path, "r+") as file:
        file["epochs/Experiment_1/stimulus/idx_start"][()] = first
        file["epochs/Experiment_1/stimulus/count"][()] = count
    recording = read_nwb1(path)
    assert [sweep.number for sweep in recording.sweeps] == [0, 2]
    assert recording.skipped[0].startswith("sweep 1 (Sweep_1): its experiment begins at sample")


def test_a_file_without_experiments_is_read_whole(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for number in range(3):
            del file[f"epochs/Experiment_{number}"]
    assert_all_true(path)
    assert read_nwb1(path).sweeps[0].begin == 0


def test_a_file_without_epochs_is_read_by_its_traces(tmp_path: Path) -> None:
    """Other laboratories' NWB 1: their factors hold."""
    path = write_allen(tmp_path / "cell.nwb", pipeline="1.1")
    with h5py.File(path, "r+") as file:
        del file["epochs"]
        del file["general/generated_by"]
    assert_all_true(path)


def test_the_holding_current_is_part_of_what_was_injected(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        response(file, 0)["bias_current"] = -35e-12
    # float32 holds 35 pA to a millionth
    assert read_nwb1(path).sweeps[0].current_pa[0] == pytest.approx(-35, rel=1e-6)


def test_the_cell_is_known_by_its_specimen_id(path: Path) -> None:
    recording = read_nwb1(path)
    assert (recording.specimen_id, recording.donor_id) == ("464212183", "donor 7")
    with h5py.File(path, "r+") as file:
        del file["general/aibs_specimen_id"]
    assert read_nwb1(path).specimen_id == "464212183", "as the archive names its files"


def test_voltage_clamp_sweeps_are_left_out_by_name(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        response(file, 0)["data"].attrs["unit"] = "Amps"
        stimulus(file, 0)["data"].attrs["unit"] = "Volts"
    recording = read_nwb1(path)
    assert [sweep.number for sweep in recording.sweeps] == [1, 2]
    assert recording.skipped == ("sweep 0 (Sweep_0): voltage clamp",)


def test_a_file_of_voltage_clamp_is_refused_as_such(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for number in range(3):
            response(file, number)["data"].attrs["unit"] = "Amps"
    with pytest.raises(CellFailed, match=r"only voltage clamp sweeps.*\(3 sweeps\)"):
        read_nwb1(path)


def test_unwanted_sweeps_stay_unread(path: Path) -> None:
    """An unreadable response would be spoken of if anything had looked at it."""
    with h5py.File(path, "r+") as file:
        del response(file, 0)["data"]
        response(file, 0)["data"] = np.array([b"none"])
        response(file, 0)["data"].attrs["unit"] = "Volts"
    recording = read_nwb1(path, lambda current, rate_hz: float(current.max()) > 15.0)
    assert [sweep.number for sweep in recording.sweeps] == [1, 2]
    assert (recording.skipped, recording.unread) == ((), 1)


UNSAFE: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "an epoch in another file": (
        lambda file: (
            file.pop("epochs/Sweep_1/response/timeseries"),
            file["epochs/Sweep_1/response"].__setitem__(
                "timeseries", h5py.ExternalLink("secret.h5", "/")
            ),
        ),
        "'timeseries' is a link to another file",
    ),
    "epochs in a circle": (
        lambda file: (
            file.pop("epochs/Sweep_1/response/timeseries"),
            file["epochs/Sweep_1/response"].__setitem__(
                "timeseries", h5py.SoftLink("/epochs/Sweep_1/response/timeseries")
            ),
        ),
        "form a circle",
    ),
    "a claim of 8 TB": (
        lambda file: (
            response(file, 1).pop("data"),
            response(file, 1).create_dataset("data", (10**12,), "f8", chunks=(1024,)),
        ),
        "claims 8000000 MB",
    ),
}


@pytest.mark.parametrize("attempt", UNSAFE)
def test_a_file_that_reaches_out_is_refused(path: Path, attempt: str) -> None:
    edit, reason = UNSAFE[attempt]
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(CellFailed, match=f"is not safe to read: .*{reason}"):
        read_nwb1(path)


def test_nwb_2_is_not_taken_for_nwb_1(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["nwb_version"]
        file.attrs["nwb_version"] = "2.2.4"
    with pytest.raises(CellFailed, match=r"is NWB 2\.2\.4: NWB 1 is needed"):
        read_nwb1(path)


def test_the_content_chooses_this_reader(path: Path) -> None:
    assert content_of(path) == "NWB 1.0.5"
    sweep = read_recording(path).sweeps[2]
    assert len(sweep.voltage_mv) == SAMPLES
