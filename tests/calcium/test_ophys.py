"""Calcium traces of NWB 2 files: which series, which way round, at which rate."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import Floats
from tests.calcium.test_readers import RATE_HZ, TRACES, read


def ophys(path: Path, **series: Floats) -> h5py.File:
    """Write RoiResponseSeries, (frames, neurons) each, and leave the file open for more."""
    file = h5py.File(path, "w")
    file.attrs["nwb_version"] = "2.6.0"
    place = file.create_group("processing/ophys/DfOverF")
    place.attrs["neurodata_type"] = "DfOverF"
    for name, values in series.items():
        group = place.create_group(name)
        group.attrs["neurodata_type"] = "RoiResponseSeries"
        group["data"] = values
        group["rois"] = np.arange(3)
        group["starting_time"] = 0.0
        group["starting_time"].attrs["rate"] = RATE_HZ
    return file


def timed(path: Path, times_s: Floats) -> Path:
    with ophys(path, only=TRACES.T) as file:
        group = file["processing/ophys/DfOverF/only"]
        del group["starting_time"]
        group["timestamps"] = times_s
    return path


def test_an_nwb_file_without_calcium_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.6.0"
        file.create_group("processing")
    with pytest.raises(StsError, match="has no RoiResponseSeries under DfOverF or Fluorescence"):
        read(tmp_path / "a.nwb")


def test_one_of_several_series_is_chosen_by_name(tmp_path: Path) -> None:
    ophys(tmp_path / "a.nwb", first=TRACES.T, second=2 * TRACES.T[:150]).close()
    likeliest = read(tmp_path / "a.nwb")
    assert np.array_equal(likeliest.traces, TRACES)
    assert "first is taken, choose with --series from second" in likeliest.notes[0]
    second = read(tmp_path / "a.nwb", series="second")
    assert np.array_equal(second.traces, 2 * TRACES[:, :150])
    assert not second.notes
    with pytest.raises(StsError, match="'secnd': did you mean 'second'"):
        read(tmp_path / "a.nwb", series="secnd")


def test_series_that_were_written_neurons_first_are_known_by_their_rois(tmp_path: Path) -> None:
    ophys(tmp_path / "a.nwb", turned=TRACES).close()
    assert np.array_equal(read(tmp_path / "a.nwb").traces, TRACES)


def test_percent_become_parts(tmp_path: Path) -> None:
    with ophys(tmp_path / "a.nwb", only=100 * TRACES.T) as file:
        file["processing/ophys/DfOverF/only/data"].attrs["unit"] = "percent"
    found = read(tmp_path / "a.nwb")
    assert np.abs(found.traces - TRACES).max() < 1e-6  # float32
    assert found.unit == "dF/F"


def test_timestamps_give_the_frame_rate(tmp_path: Path) -> None:
    jitter = np.random.default_rng(2).uniform(-0.2, 0.2, 200)
    found = read(timed(tmp_path / "a.nwb", (np.arange(200) + jitter) / RATE_HZ))
    # the jitter of the two ends: 0.4 of 199 frames
    assert found.rate_hz == pytest.approx(RATE_HZ, rel=0.002)


@pytest.mark.parametrize(
    ("times_s", "said"),
    [
        (np.append(np.arange(150.0), np.arange(170.0, 220.0)), "not evenly spaced: 1 steps"),
        (np.arange(200.0)[::-1], "do not rise"),
        (np.full(200, np.nan), "do not rise"),
        (np.arange(150.0), "has 150 timestamps for 200 frames"),
    ],
)
def test_timestamps_that_give_no_rate_are_told_unless_one_is_given(
    times_s: Floats, said: str, tmp_path: Path
) -> None:
    path = timed(tmp_path / "a.nwb", times_s)
    with pytest.raises(StsError, match=said):
        read(path)
    assert read(path, rate_hz=12.0).rate_hz == 12.0


def test_timestamps_that_contradict_the_rate_are_told(tmp_path: Path) -> None:
    with ophys(tmp_path / "a.nwb", only=TRACES.T) as file:
        file["processing/ophys/DfOverF/only/timestamps"] = np.arange(200) / 30.0
    with pytest.raises(StsError, match="states 20 frames a second and has timestamps at 30"):
        read(tmp_path / "a.nwb")
