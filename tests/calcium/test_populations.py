"""Sessions of events are populations, their directions stretches; other files are refused."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.calcium.populations import EVENTS_HZ
from sts.calcium.readers import read_calcium, read_here
from sts.calcium.recording import CalciumRecording, Reading
from sts.calcium.windows import WindowSettings, cut_windows
from sts.studies.calcium.source import FEWEST_SPIKES, CalciumSource, load_split

FRAMES = (400, 500)


def make_trains(neurons: int = 5, seed: int = 0) -> list[Floats]:
    rng = np.random.default_rng(seed)
    return [rng.random((n, neurons)) * (rng.random((n, neurons)) < 0.1) for n in FRAMES]


def fill_cells(sessions: list[list[Floats]]) -> object:
    """Return a cell array (environments, 1, directions)."""
    cells = np.empty((len(sessions), 1, 2), dtype=object)
    for environment, trains in enumerate(sessions):
        for direction, train in enumerate(trains):
            cells[environment, 0, direction] = train
    return cells


def write_session(folder: Path, *, places: int = FRAMES[0]) -> Path:
    path = folder / "M1_spike_train.mat"
    savemat(path, {"spike_train": fill_cells([make_trains(), make_trains(7, seed=1)])})
    where = [[np.ones((n, 1)) * 3 for n in (places, FRAMES[1])] for _ in range(2)]
    savemat(folder / "M1_stimulus_trace.mat", {"stimulus_trace": fill_cells(where)})
    return path


def read(path: Path, series: str = "") -> CalciumRecording:
    return read_here(path, Reading(series=series))


def test_a_session_is_a_population_and_its_directions_are_stretches(tmp_path: Path) -> None:
    found = read_calcium(write_session(tmp_path))
    assert found.spikes is not None
    expected = np.concatenate([train.T > 0 for train in make_trains()], axis=1)
    assert np.array_equal(found.spikes, expected)
    assert found.stretches == FRAMES
    assert found.rate_hz == EVENTS_HZ
    assert found.positions is not None
    assert found.positions.tolist() == [3] * sum(FRAMES)
    other = read(tmp_path / "M1_spike_train.mat", "2.1")
    assert len(other.neurons) == 7
    assert "session 2.1 of M1_spike_train.mat is read, others are 1.1" in other.notes[0]


def test_traces_of_events_are_the_same_at_every_reading(tmp_path: Path) -> None:
    path = write_session(tmp_path)
    assert np.array_equal(read(path).traces, read(path).traces)


def test_no_window_spans_a_pause_and_each_stretch_is_divided(tmp_path: Path) -> None:
    found = read(write_session(tmp_path))
    settings = WindowSettings(length=40, gap_s=0.5)
    cut = cut_windows(found.traces, found.rate_hz, settings, found.stretches)
    for part, windows in cut.windows.items():
        sides = {int(start) // FRAMES[0] for start in windows.starts if start < FRAMES[0]}
        assert sides == {0}, part
        assert (windows.starts >= FRAMES[0]).any(), part
        ends = windows.starts + windows.length
        assert not ((windows.starts < FRAMES[0]) & (ends > FRAMES[0])).any(), part
    covered: list[set[int]] = [set() for _ in range(3)]
    for frames, pieces in zip(covered, cut.ends.values(), strict=True):
        for begin, end in pieces:
            frames.update(range(begin, end))
    assert not (covered[0] & covered[1] or covered[0] & covered[2] or covered[1] & covered[2])


def test_neurons_that_are_silent_in_training_are_left_out(tmp_path: Path) -> None:
    trains = make_trains()
    trains[0][:, 2] = trains[1][:, 2] = 0
    trains[0][-1, 2] = trains[1][-1, 2] = 1.0
    savemat(tmp_path / "a.mat", {"spike_train": fill_cells([trains])})
    windows = WindowSettings(length=40, gap_s=0.5)
    cohort = load_split(CalciumSource(path=str(tmp_path / "a.mat"), windows=windows))
    assert cohort.recording.neurons == ("0", "1", "3", "4")
    assert FEWEST_SPIKES > 0


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (np.ones((3, 4)), "is no cell array"),
        (fill_cells([[np.ones((5, 2)), np.ones((5, 3))]]), "have different neurons"),
        (fill_cells([[np.array("text"), np.ones((5, 3))]]), "contains no table"),
        (fill_cells([[np.zeros((5, 3)), np.zeros((5, 3))]]), "has no event"),
        (fill_cells([[np.full((5, 3), np.nan), np.ones((5, 3))]]), "NaN or infinite"),
        (fill_cells([[np.empty((0, 0)), np.empty((0, 0))]]), "no session with frames"),
    ],
)
def test_cells_that_are_no_sessions_are_refused(cells: object, said: str, tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"spike_train": cells})
    with pytest.raises(StsError, match=said) as told:
        read(tmp_path / "a.mat")
    assert "\n" not in str(told.value)


def test_positions_of_other_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StsError, match="has other frames than"):
        read(write_session(tmp_path, places=3))


def test_an_unknown_variable_or_session_names_those_there_are(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"something": np.ones(3)})
    with pytest.raises(StsError, match=r"has no variable .*: it has something"):
        read(tmp_path / "a.mat")
    with pytest.raises(StsError, match=r"unknown session of .* '9\.9'.*choose from 1\.1, 2\.1"):
        read(write_session(tmp_path), "9.9")


def test_fluorescence_of_a_fish_needs_a_frame_rate(tmp_path: Path) -> None:
    activity = np.random.default_rng(0).standard_normal((4, 60))
    savemat(tmp_path / "fish.mat", {"activity_matrix": activity})
    with pytest.raises(StsError, match="has no frame rate: give it with --rate"):
        read(tmp_path / "fish.mat")
    found = read_here(tmp_path / "fish.mat", Reading(rate_hz=2.0))
    assert np.allclose(found.traces, activity)
    assert found.spikes is None


@pytest.mark.parametrize("mouse", ["C24M3", "C23M4"])
def test_real_sessions_are_read(mouse: str, data_dir: Path) -> None:
    path = data_dir / f"calcium/ziv/{mouse}_spike_train.mat"
    found = read(path, "1.3")
    assert found.spikes is not None
    assert found.positions is not None
    assert sum(found.stretches) == found.traces.shape[1] == len(found.positions)
    assert 0.002 < found.spikes.mean() < 0.02


def test_real_fluorescence_is_read(data_dir: Path) -> None:
    fish = read_here(
        data_dir / "calcium/zebrafish/triplett_zf_20151104-f1.mat", Reading(rate_hz=2.1)
    )
    assert fish.traces.shape == (114, 4245)
    gratings = read_here(data_dir / "calcium/gratings", Reading(rate_hz=30.4))
    assert gratings.traces.shape == (24, 24600)
