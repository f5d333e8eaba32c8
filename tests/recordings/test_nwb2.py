"""What an NWB 2 file says arrives as mV and pA, sweep by sweep, paired and named."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import CellFailed
from sts.recordings.nwb import read_nwb2
from sts.recordings.recording import Recording
from tests.recordings.files import (
    AMPERES_PER_BIT,
    RATE_HZ,
    VOLTS_PER_BIT,
    add_sweep,
    current_pa,
    replace_data,
    voltage_mv,
    write_mies,
)

# Half a bit of the converter, and some for float32.
VOLTAGE_TOLERANCE_MV = 0.51 * VOLTS_PER_BIT * 1e3
CURRENT_TOLERANCE_PA = 0.51 * AMPERES_PER_BIT * 1e12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_mies(tmp_path / "sub-1_ses-2_icephys.nwb")


def response(file: h5py.File, number: int) -> h5py.Group:
    return file[f"acquisition/data_{number:05d}_AD0"]


def stimulus(file: h5py.File, number: int) -> h5py.Group:
    return file[f"stimulus/presentation/data_{number:05d}_DA0"]


def amplitudes_pa(recording: Recording) -> dict[int, float]:
    """Return the value by which a test knows the stimulus of a sweep."""
    return {sweep.number: round(float(np.ptp(sweep.current_pa)), 3) for sweep in recording.sweeps}


def test_stored_numbers_arrive_as_millivolts_and_picoamperes(path: Path) -> None:
    for sweep in read_nwb2(path).sweeps:
        expected = voltage_mv(sweep.number), current_pa(sweep.number)
        np.testing.assert_allclose(sweep.voltage_mv, expected[0], atol=VOLTAGE_TOLERANCE_MV)
        np.testing.assert_allclose(sweep.current_pa, expected[1], atol=CURRENT_TOLERANCE_PA)
        assert sweep.voltage_mv.dtype == sweep.current_pa.dtype == np.float32
        assert sweep.rate_hz == RATE_HZ


def test_sweeps_come_in_the_order_of_their_numbers_whatever_they_are_called(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.move("acquisition/data_00002_AD0", "acquisition/a_first_by_name_2")
    assert [sweep.number for sweep in read_nwb2(path).sweeps] == [0, 1, 2]


def test_what_mies_adds_to_a_stimulus_name_is_taken_off(path: Path) -> None:
    endings = ("_DA_0", "_DA_0[3]", "[3]_DA_0")
    with h5py.File(path, "r+") as file:
        for number, ending in enumerate(endings):
            response(file, number).attrs["stimulus_description"] = f"C1LSCOARSE150112{ending}"
    assert {sweep.name for sweep in read_nwb2(path).sweeps} == {"C1LSCOARSE150112"}


def test_the_holding_current_of_the_amplifier_is_part_of_what_was_injected(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        response(file, 0)["bias_current"] = -30e-12
        response(file, 1).attrs["bias_current"] = np.nan
    held, free, _ = read_nwb2(path).sweeps
    # float32 holds 30 pA to a millionth
    assert held.current_pa[0] == pytest.approx(-30.0, rel=1e-6)
    assert (free.number, free.current_pa[0]) == (1, 0.0)


def test_the_offset_is_added_after_the_conversion(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        response(file, 0)["data"].attrs["offset"] = -0.014
    shifted = read_nwb2(path).sweeps[0].voltage_mv
    np.testing.assert_allclose(shifted, voltage_mv(0) - 14.0, atol=VOLTAGE_TOLERANCE_MV)


@pytest.mark.parametrize(
    ("unit", "per_volt"),
    [("volts", 1.0), ("V", 1.0), ("mV", 1e3), ("millivolts", 1e3), (None, 1.0)],
)
def test_the_unit_of_the_voltage_is_heeded(path: Path, unit: str | None, per_volt: float) -> None:
    with h5py.File(path, "r+") as file:
        attributes = response(file, 0)["data"].attrs
        attributes["conversion"] = VOLTS_PER_BIT * per_volt
        del attributes["unit"]
        if unit is not None:
            attributes["unit"] = unit
    read = read_nwb2(path).sweeps[0].voltage_mv
    np.testing.assert_allclose(read, voltage_mv(0), atol=VOLTAGE_TOLERANCE_MV)


@pytest.mark.parametrize(
    ("unit", "per_ampere"),
    [("amperes", 1.0), ("A", 1.0), ("nA", 1e9), ("pA", 1e12), ("picoamperes", 1e12), (None, 1.0)],
)
def test_the_unit_of_the_current_is_heeded(path: Path, unit: str | None, per_ampere: float) -> None:
    with h5py.File(path, "r+") as file:
        attributes = stimulus(file, 0)["data"].attrs
        attributes["conversion"] = AMPERES_PER_BIT * per_ampere
        del attributes["unit"]
        if unit is not None:
            attributes["unit"] = unit
    read = read_nwb2(path).sweeps[0].current_pa
    np.testing.assert_allclose(read, current_pa(0), atol=CURRENT_TOLERANCE_PA)


def test_the_cell_is_named_by_its_session_and_the_donor_by_its_subject(path: Path) -> None:
    recording = read_nwb2(path)
    assert (recording.specimen_id, recording.donor_id) == ("601506492", "599387254")


@pytest.mark.parametrize(
    ("name", "specimen_id", "donor_id"),
    [
        ("sub-599387254_ses-601506492_icephys.nwb", "601506492", "599387254"),
        ("sub-599387254_icephys.nwb", "sub-599387254_icephys", "599387254"),
        ("2018_08_17_0003.nwb", "2018_08_17_0003", ""),
    ],
)
def test_a_file_that_names_no_session_is_named_by_its_own_name(
    tmp_path: Path, name: str, specimen_id: str, donor_id: str
) -> None:
    path = write_mies(tmp_path / name)
    with h5py.File(path, "r+") as file:
        del file["general/subject"]
        del file["general/session_id"]
        file["general/session_id"] = "  "
    recording = read_nwb2(path)
    assert (recording.specimen_id, recording.donor_id) == (specimen_id, donor_id)


def test_an_id_is_one_line_of_printable_text(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["general/session_id"]
        file["general/session_id"] = "=cell\n\x1b[31m7"
    assert read_nwb2(path).specimen_id == "=cell [31m7"


def test_the_table_of_intracellular_recordings_pairs_first(path: Path) -> None:
    """Sweep numbers say the contrary here, so that only the table can have paired."""
    with h5py.File(path, "r+") as file:
        entry = np.dtype([("idx_start", "i4"), ("count", "i4"), ("timeseries", h5py.ref_dtype)])
        for side, column, names in (
            ("responses", "response", ["acquisition/data_00000_AD0", "acquisition/data_00001_AD0"]),
            ("stimuli", "stimulus", [f"stimulus/presentation/data_0000{n}_DA0" for n in (1, 0)]),
        ):
            rows = np.array([(0, 2000, file[name].ref) for name in names], dtype=entry)
            place = f"general/intracellular_ephys/intracellular_recordings/{side}"
            file.create_group(place).create_dataset(column, data=rows)
    assert amplitudes_pa(read_nwb2(path)) == {0: 20.0, 1: 10.0, 2: 30.0}


@pytest.mark.parametrize("electrode", [True, False])
def test_the_sweep_number_pairs_whatever_the_names_say(tmp_path: Path, electrode: bool) -> None:
    path = write_mies(tmp_path / "cell.nwb", electrode=electrode)
    with h5py.File(path, "r+") as file:
        stimuli = file["stimulus/presentation"]
        stimuli.move("data_00000_DA0", "kept")
        stimuli.move("data_00001_DA0", "data_00000_DA0")
        stimuli.move("kept", "data_00001_DA0")
    assert amplitudes_pa(read_nwb2(path)) == {0: 10.0, 1: 20.0, 2: 30.0}


def test_a_sweep_number_may_be_a_data_set(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for series in (response(file, 0), stimulus(file, 0)):
            del series.attrs["sweep_number"]
            series["sweep_number"] = np.uint64(7)
    assert amplitudes_pa(read_nwb2(path)) == {1: 20.0, 2: 30.0, 7: 10.0}


def test_the_electrode_decides_between_stimuli_of_one_sweep_number(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        add_sweep(file, 1, channel=1)
        del file["acquisition/data_00001_AD1"]
        replace_data(file["stimulus/presentation/data_00001_DA1"], np.zeros(2000, np.int16))
        file.move("stimulus/presentation/data_00001_DA0", "stimulus/presentation/by_no_name")
    assert amplitudes_pa(read_nwb2(path)) == {0: 10.0, 1: 20.0, 2: 30.0}


@pytest.mark.parametrize("name", ["data_{:05d}_{}0", "ic-{:03d}-{}", "CurrentClamp{:02d}{}"])
def test_without_numbers_the_names_pair(tmp_path: Path, name: str) -> None:
    path = write_mies(tmp_path / "cell.nwb", electrode=False)
    with h5py.File(path, "r+") as file:
        for place, old, new in (("acquisition", "AD", "Xs"), ("stimulus/presentation", "DA", "Ys")):
            for number in range(3):
                del file[place][f"data_{number:05d}_{old}0"].attrs["sweep_number"]
                file[place].move(f"data_{number:05d}_{old}0", name.format(number, new))
    assert sorted(amplitudes_pa(read_nwb2(path)).values()) == [10.0, 20.0, 30.0]


def test_names_do_not_pair_against_the_sweep_numbers(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        stimulus(file, 1).attrs["sweep_number"] = np.uint64(99)
    recording = read_nwb2(path)
    assert [sweep.number for sweep in recording.sweeps] == [0, 2]
    assert recording.skipped == ("sweep 1 (data_00001_AD0): no stimulus trace belongs to it",)


def test_a_series_behind_a_soft_link_inside_the_file_is_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.move("stimulus/presentation/data_00001_DA0", "stimulus/templates/step")
        file["stimulus/presentation/data_00001_DA0"] = h5py.SoftLink("/stimulus/templates/step")
    assert amplitudes_pa(read_nwb2(path))[1] == 20.0


def test_compressed_data_of_a_constant_current_are_read(path: Path) -> None:
    """A constant trace packs as tightly as deflate can, and is no claim without data."""
    with h5py.File(path, "r+") as file:
        del stimulus(file, 0)["data"]
        replacement = stimulus(file, 0).create_dataset(
            "data", data=np.zeros(2000), compression="gzip", compression_opts=9, chunks=(2000,)
        )
        replacement.attrs["unit"] = "amperes"
    assert amplitudes_pa(read_nwb2(path))[0] == 0.0


def test_notebooks_and_stimulus_sets_are_not_opened(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["general/labnotebook"]
        file["general/labnotebook"] = h5py.ExternalLink("elsewhere.h5", "/")
        file["general/stimsets"] = h5py.ExternalLink("elsewhere.h5", "/")
    assert len(read_nwb2(path).sweeps) == 3


def test_other_modes_are_left_out_by_name(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        response(file, 0).attrs["neurodata_type"] = "VoltageClampSeries"
        response(file, 1).attrs["neurodata_type"] = "IZeroClampSeries"
    recording = read_nwb2(path)
    assert [sweep.number for sweep in recording.sweeps] == [2]
    assert recording.skipped == (
        "sweep 0 (data_00000_AD0): voltage clamp",
        "sweep 1 (data_00001_AD0): zero current (I=0)",
    )


def test_sweeps_of_two_electrodes_are_not_taken_for_one_cell(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        add_sweep(file, 1, channel=1)
    with pytest.raises(CellFailed, match=r"more than one cell.*2 electrodes"):
        read_nwb2(path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sweeps", "rate_hz", "seconds", "steps_pa"),
    [
        # The amplitudes are those that the descriptions of the sweeps in the files name.
        ("osb_LantyerEtAl2018_180817_ME_9_CC", 10, 20e3, 1.16, 40.0 * np.arange(1, 11)),
        ("osb_FergusonEtAl2015_PYR2", 13, 10e3, 2.0, -48.8 + 25.0 * np.arange(13)),
    ],
)
def test_recordings_of_other_laboratories_are_read(
    data_dir: Path, name: str, sweeps: int, rate_hz: float, seconds: float, steps_pa: np.ndarray
) -> None:
    recording = read_nwb2(data_dir / "recordings" / f"{name}.nwb")
    assert recording.specimen_id == name
    assert recording.skipped == ()
    assert [sweep.number for sweep in recording.sweeps] == list(range(1, sweeps + 1))
    for sweep, step_pa in zip(recording.sweeps, steps_pa, strict=True):
        assert sweep.rate_hz == rate_hz
        assert len(sweep.voltage_mv) == len(sweep.current_pa) == round(seconds * rate_hz)
        inside = slice(round(0.2 * rate_hz), round(0.55 * rate_hz))
        # 10 pA: the error of a measured stimulus; neighbours are 25 pA or more away
        assert np.median(sweep.current_pa[inside]) == pytest.approx(step_pa, abs=10.0)
        assert -75.0 < np.median(sweep.voltage_mv[: round(0.05 * rate_hz)]) < -50.0


@pytest.mark.data
def test_spikes_grow_with_the_current_in_a_real_recording(data_dir: Path) -> None:
    """Counted by hand with h5py: pairing responses with the wrong stimuli would break the order."""
    recording = read_nwb2(data_dir / "recordings" / "osb_LantyerEtAl2018_180817_ME_9_CC.nwb")
    above = [sweep.voltage_mv > 0 for sweep in recording.sweeps]
    counts = [int((trace[1:] & ~trace[:-1]).sum()) for trace in above]
    assert counts == [0, 0, 0, 9, 21, 27, 33, 37, 42, 46]


@pytest.mark.data
def test_a_voltage_clamp_recording_is_refused_as_such(data_dir: Path) -> None:
    path = data_dir / "recordings" / "osb_LantyerEtAl2018_170315_AL_216_VC.nwb"
    with pytest.raises(CellFailed, match=r"only voltage clamp sweeps.*\(14 sweeps\)"):
        read_nwb2(path)
