"""Which files are found, and which reader a file gets."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import CellFailed, StsError
from sts.recordings.readers import (
    READERS,
    SUFFIXES,
    content_of,
    find_recordings,
    read_recording,
)
from sts.recordings.recording import Recording
from tests.recordings.abf_files import Abf, responses, write_abf1, write_abf2
from tests.recordings.files import write_mies
from tests.recordings.nwb1_files import write_allen
from tests.recordings.rig_files import three_sweeps, write_axograph, write_wcp


def test_recordings_are_found_below_a_folder_in_a_fixed_order(tmp_path: Path) -> None:
    names = ["b/z.nwb", "b/a.abf", "a.NWB", "b/c/d.nwb", "notes.txt", "b/._a.nwb"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_recordings(tmp_path)]
    assert found == ["a.NWB", "b/a.abf", "b/c/d.nwb", "b/z.nwb"]


def test_a_file_that_is_named_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    path = write_mies(tmp_path / "cell.h5")
    assert find_recordings(path) == [path]
    assert len(read_recording(path).sweeps) == 3


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path: Path) -> None:
    (tmp_path / "a.nwb").touch()
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert find_recordings(tmp_path) == [tmp_path / "a.nwb"]


def test_a_folder_without_recordings_is_an_error_that_says_what_was_looked_for(
    tmp_path: Path,
) -> None:
    with pytest.raises(StsError, match=r"no recordings in .*: looked for \*\.nwb, \*\.abf"):
        find_recordings(tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"no folder .*nowhere: give the folder"):
        find_recordings(tmp_path / "nowhere")


WRITERS: dict[str, Callable[[Path], Path]] = {
    "NWB 2": write_mies,
    "NWB 1": write_allen,
    "ABF 1": lambda path: write_abf1(path, Abf(channels={"mV": responses()})),
    "ABF 2": lambda path: write_abf2(path, Abf(channels={"mV": responses()})),
    "WinWCP": lambda path: write_wcp(path, three_sweeps()),
    "AxoGraph 4": lambda path: write_axograph(path, three_sweeps(), version=2),
    "AxoGraph X": lambda path: write_axograph(path, three_sweeps()),
}


def test_every_reader_has_a_file_here() -> None:
    assert {name for name in READERS for kind in WRITERS if kind.startswith(name)} == set(READERS)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", WRITERS)
def test_the_content_chooses_the_reader_and_not_the_name(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    path = WRITERS[kind](tmp_path / f"cell{suffix}")
    assert content_of(path).startswith(kind)
    recording = read_recording(path)
    assert [sweep.number for sweep in recording.sweeps] == [0, 1, 2]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_reader_keeps_what_recordings_promise(tmp_path: Path, kind: str) -> None:
    recording = read_recording(WRITERS[kind](tmp_path / "cell"))
    assert isinstance(recording, Recording)
    assert recording.specimen_id
    for sweep in recording.sweeps:
        assert sweep.voltage_mv.shape == sweep.current_pa.shape
        assert sweep.voltage_mv.ndim == 1
        for trace in (sweep.voltage_mv, sweep.current_pa):
            assert trace.dtype == np.float32
            assert np.isfinite(trace).all()
        assert -100 < sweep.voltage_mv.mean() < 0
        assert 0 <= sweep.begin < len(sweep.voltage_mv)


@pytest.mark.parametrize("kind", WRITERS)
def test_no_reader_reads_what_is_not_wanted(tmp_path: Path, kind: str) -> None:
    recording = read_recording(WRITERS[kind](tmp_path / "cell"), lambda current, rate_hz: False)
    assert (recording.sweeps, recording.unread) == ((), 3)


def test_a_version_without_a_reader_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cell.nwb"
    with h5py.File(path, "w") as file:
        file["nwb_version"] = np.bytes_("NWB-3.0.5")
    with pytest.raises(CellFailed, match=r"is NWB 3\.0\.5: this program reads NWB 2, NWB 1, ABF"):
        read_recording(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"ABF2" + bytes(600), "is truncated or damaged: it contains no protocol entry"),
        (b"ABF " + bytes(9000), "is truncated or damaged: version 0"),
        (b"VER=9\r\nNC=2\r\n", "is truncated or damaged: "),
        (b"AxGr" + bytes(90), "is an AxoGraph file of version 0, which is not known"),
        (b"axgx\0\0\0\6\x7f\xff\xff\xff", "is truncated or damaged: it has 2147483647 columns"),
        (b"MATLAB 5.0 MAT-file", "is a MATLAB file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is truncated or damaged"),
        (
            b"specimen_id,label\n",
            "is neither HDF5 nor another known format: NWB 2, NWB 1, ABF",
        ),
        (b"\x80\x04\x95 a pickle", "is neither HDF5 nor another known format"),
    ],
)
def test_what_is_no_recording_is_called_by_its_name(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"cell{suffix}"
        path.write_bytes(content)
        with pytest.raises(CellFailed, match=reason):
            read_recording(path)


def test_hdf5_without_a_version_is_no_nwb(tmp_path: Path) -> None:
    h5py.File(tmp_path / "cell.nwb", "w").close()
    with pytest.raises(CellFailed, match="is an HDF5 file without an NWB version"):
        read_recording(tmp_path / "cell.nwb")
