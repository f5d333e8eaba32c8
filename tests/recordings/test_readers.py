"""Which files are found, and which reader a file gets."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import CellFailed, StsError
from sts.recordings.readers import READERS, content_of, find_recordings, read_recording
from tests.recordings.files import write_mies


def test_recordings_are_found_below_a_folder_in_a_fixed_order(tmp_path: Path) -> None:
    names = ["b/z.nwb", "b/a.nwb", "a.NWB", "b/c/d.nwb", "notes.txt", "b/._a.nwb"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_recordings(tmp_path)]
    assert found == ["a.NWB", "b/a.nwb", "b/c/d.nwb", "b/z.nwb"]


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
    with pytest.raises(StsError, match=r"no recordings in .*: looked for \*\.nwb"):
        find_recordings(tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"no folder .*nowhere: give the folder"):
        find_recordings(tmp_path / "nowhere")


def test_the_content_chooses_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Path] = []
    monkeypatch.setitem(READERS, "NWB 2", called.append)
    path = write_mies(tmp_path / "named_like_another.abf")
    read_recording(path)
    assert called == [path]
    assert content_of(path) == "NWB 2.2.4"


def test_nwb_1_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "cell.nwb"
    with h5py.File(path, "w") as file:
        file["nwb_version"] = np.bytes_("NWB-1.0.5")
    with pytest.raises(CellFailed, match=r"is NWB 1\.0\.5: what can be read is NWB 2"):
        read_recording(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"ABF2" + bytes(600), "is ABF 2"),
        (b"MATLAB 5.0 MAT-file", "is a MATLAB file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is truncated or damaged"),
        (b"specimen_id,label\n", "is not an HDF5 file"),
    ],
)
def test_what_is_no_recording_is_called_by_its_name(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "cell.nwb"
    path.write_bytes(content)
    with pytest.raises(CellFailed, match=reason):
        read_recording(path)


def test_hdf5_without_a_version_is_no_nwb(tmp_path: Path) -> None:
    h5py.File(tmp_path / "cell.nwb", "w").close()
    with pytest.raises(CellFailed, match="is an HDF5 file without an NWB version"):
        read_recording(tmp_path / "cell.nwb")


@pytest.mark.data
def test_real_files_of_another_format_are_called_by_their_name(data_dir: Path) -> None:
    for path in (data_dir / "recordings").glob("*.abf"):
        with pytest.raises(CellFailed, match="is ABF 2"):
            read_recording(path)
