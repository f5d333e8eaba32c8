import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.recordings.nwb import read_nwb2
from sts.recordings.simulated.cells import SimulatedCell, roster, simulate_cells
from sts.recordings.simulated.nwb import path_of, write_nwb


@pytest.fixture(scope="module")
def cell() -> SimulatedCell:
    return next(simulate_cells(1, seed=3))


@pytest.fixture(scope="module")
def path(cell: SimulatedCell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nwb(cell, tmp_path_factory.mktemp("simulated"))


def test_a_file_holds_what_the_cell_in_memory_holds(cell: SimulatedCell, path: Path) -> None:
    read = read_nwb2(path)
    assert read.specimen_id == cell.recording.specimen_id
    assert read.donor_id == cell.recording.donor_id
    assert not read.skipped
    for one, other in zip(cell.recording.sweeps, read.sweeps, strict=True):
        assert (one.name, one.number, one.rate_hz) == (other.name, other.number, other.rate_hz)
        np.testing.assert_array_equal(one.voltage_mv, other.voltage_mv)
        np.testing.assert_array_equal(one.current_pa, other.current_pa)


def test_a_file_is_laid_out_as_in_dandi_000020(cell: SimulatedCell, path: Path) -> None:
    donor, specimen = cell.recording.donor_id, cell.recording.specimen_id
    assert path.parent.name == f"sub-{donor}"
    assert path.name == f"sub-{donor}_ses-{specimen}_icephys.nwb"
    with h5py.File(path) as file:
        assert file["general/session_id"].asstr()[()] == specimen
        assert file["general/subject/subject_id"].asstr()[()] == donor
        for number, sweep in enumerate(cell.recording.sweeps):
            response = file[f"acquisition/data_{number:05d}_AD0"]
            stimulus = file[f"stimulus/presentation/data_{number:05d}_DA0"]
            for series in (response, stimulus):
                assert series.attrs["stimulus_description"] == f"{sweep.name}_DA_0"
                assert series.attrs["sweep_number"] == number
                assert series["starting_time"].attrs["rate"] == 50_000
                assert series["data"].dtype == np.int16
                assert series["data"].compression == "gzip"
            assert response["data"].attrs["unit"] == "volts"
            assert stimulus["data"].attrs["unit"] == "amperes"


def test_the_same_cell_gives_the_same_bytes(
    cell: SimulatedCell, path: Path, tmp_path: Path
) -> None:
    again = write_nwb(cell, tmp_path)
    assert again.read_bytes() == path.read_bytes()
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [again]


def test_two_cells_share_no_object_id(tmp_path: Path) -> None:
    ids: list[str] = []
    for cell in simulate_cells(2, seed=3, protocol="long"):
        with h5py.File(write_nwb(cell, tmp_path)) as file:
            ids.append(file.attrs["object_id"])
            file.visititems(lambda _, node: ids.extend(_object_id(node)))
    # The file, a subject, a device, an electrode and two series a sweep.
    assert len(ids) == len(set(ids)) > 2 * 24


def _object_id(node: h5py.Group | h5py.Dataset) -> list[str]:
    return [node.attrs["object_id"]] if "object_id" in node.attrs else []


def test_the_place_of_a_file_is_known_before_the_cell(cell: SimulatedCell) -> None:
    assert path_of(roster(1, seed=3)[0], Path("x")) == path_of(cell.recording, Path("x"))


def test_a_strict_checker_of_nwb_files_finds_no_fault(path: Path) -> None:
    from nwbinspector import Importance, inspect_nwbfile

    found = list(inspect_nwbfile(nwbfile_path=path))
    grave = [each for each in found if each.importance.value >= Importance.CRITICAL.value]
    assert not grave, grave


# Before it numba has stored the compiled model of a cell, for which there is no room in it.
@pytest.mark.usefixtures("cell")
def test_a_disk_that_is_full_is_one_line_and_no_crash(tmp_path: Path) -> None:
    # A soft limit can be raised again, so that one process tries all.
    command = (
        "import resource, sys; from sts.cli.data import main\n"
        "for limit in (5_000, 45_000, 405_000):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    assert main([*sys.argv[1:], '--out', f'cells-{limit}']) == 2"
    )
    arguments = ["simulate", "--cells", "1", "--workers", "1", "-q"]
    ended = subprocess.run(
        # -B: Python would cut off its own files of compiled modules, and keep them.
        [sys.executable, "-B", "-c", command, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stderr.splitlines()
    assert len(lines) == 3
    assert all("cannot write" in line for line in lines)
    assert list(tmp_path.rglob("*.nwb")) == []
