"""What is written as NWB 2 is what others read there, and a strict judge accepts it."""

import json
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

from sts.calcium.readers import read_here
from sts.calcium.recording import Reading
from sts.studies.calcium.generate import WINDOW_PAUSE_S, write_generated_nwb

RATE_HZ = 24.0
WINDOWS = np.random.default_rng(0).random((3, 4, 64)).astype(np.float32)
NAMES = ("a", "b", "17", "soma 3")


@pytest.fixture(params=["spike", "dF/F", ""])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    target = tmp_path / "made.nwb"
    write_generated_nwb(
        target,
        WINDOWS,
        rate_hz=RATE_HZ,
        unit=request.param,
        description="Windows of a test",
        neurons=NAMES,
        provenance={"seed": 3, "generator": "test"},
    )
    return target


def test_pynwb_finds_every_window_neuron_and_origin(path: Path) -> None:
    with NWBHDF5IO(str(path), "r") as file:
        found = file.read()
        module = found.processing["ophys"].data_interfaces
        container = next(module[name] for name in ("DfOverF", "Fluorescence") if name in module)
        for number, window in enumerate(WINDOWS):
            series = container.roi_response_series[f"window_{number:05d}"]
            assert np.array_equal(series.data[()].T, window)
            assert series.rate == RATE_HZ
            assert series.starting_time == number * (64 / RATE_HZ + WINDOW_PAUSE_S)
            assert list(series.rois.to_dataframe()["neuron"]) == list(NAMES)
        assert json.loads(found.notes) == {"seed": 3, "generator": "test"}


def test_the_schema_and_a_strict_judge_accept_it(path: Path) -> None:
    from nwbinspector import Importance, inspect_nwbfile

    assert not validate(path=str(path))
    found = list(inspect_nwbfile(nwbfile_path=path))
    grave = [
        each for each in found if each.importance.value >= Importance.BEST_PRACTICE_SUGGESTION.value
    ]
    assert not grave, grave


def test_our_reader_takes_the_first_window_or_the_one_asked_for(path: Path) -> None:
    first = read_here(path, Reading())
    assert np.array_equal(first.traces, WINDOWS[0])
    assert first.rate_hz == RATE_HZ
    last = read_here(path, Reading(series="window_00002"))
    assert np.array_equal(last.traces, WINDOWS[2])


def test_equal_windows_are_known_by_one_name(tmp_path: Path) -> None:
    names = []
    for folder in ("one", "two"):
        target = tmp_path / folder / "made.nwb"
        write_generated_nwb(
            target, WINDOWS, rate_hz=RATE_HZ, unit="", description="Windows of a test"
        )
        with NWBHDF5IO(str(target), "r") as file:
            names.append(file.read().identifier)
    assert names[0] == names[1]
