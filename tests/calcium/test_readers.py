"""Every format becomes the same recording; what cannot be used is told in one line."""

import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.calcium.nwb import write_nwb
from sts.calcium.readers import read_recording
from sts.calcium.readers.arrays import write_hdf5
from sts.calcium.readers.choose import READERS
from sts.calcium.readers.ground_truth import read_trials
from sts.calcium.recording import (
    Preparation,
    Recording,
    check_recording,
    prepare,
    slow_baseline,
)

RATE_HZ = 20.0
TRACES = np.random.default_rng(0).standard_normal((3, 200)).astype(np.float32)
SPIKES = (np.random.default_rng(1).random((3, 200)) < 0.1).astype(np.int64)


def recording(traces: Floats = TRACES, **changed: object) -> Recording:
    names = tuple(map(str, range(len(traces))))
    parts = {"name": "made", "rate_hz": RATE_HZ, "neurons": names, "spikes": SPIKES, **changed}
    return Recording(traces=traces, **parts)  # type: ignore[arg-type]


def write_npy(folder: Path) -> Path:
    np.save(folder / "a.npy", TRACES)
    return folder / "a.npy"


def write_npz(folder: Path) -> Path:
    np.savez(folder / "a.npz", dff=TRACES, fs=RATE_HZ, spikes=SPIKES)
    return folder / "a.npz"


def write_h5(folder: Path) -> Path:
    write_hdf5(folder / "a.h5", recording())
    return folder / "a.h5"


def write_ophys(folder: Path) -> Path:
    write_nwb(folder / "a.nwb", TRACES[None], rate_hz=RATE_HZ, unit="dF/F", description="made")
    return folder / "a.nwb"


def write_csv(folder: Path) -> Path:
    for kind, values in (("calcium", TRACES), ("spikes", SPIKES)):
        lines = ["0,1,2", *(",".join(map(str, row)) for row in values.T)]
        (folder / f"1.train.{kind}.csv").write_text("\n".join(lines) + "\n")
    return folder / "1.train.calcium.csv"


def write_mat(folder: Path) -> Path:
    trials = np.empty((1, 3), dtype=object)
    for index in range(3):
        trials[0, index] = {
            "fluo_time": np.arange(200)[:, None] / RATE_HZ,
            "fluo_mean": TRACES[index][:, None].astype(float),
            # in 0.1 ms
            "events_AP": np.flatnonzero(SPIKES[index])[:, None] / RATE_HZ * 1e4,
        }
    savemat(folder / "a.mat", {"CAttached": trials})
    return folder / "a.mat"


def write_suite2p(folder: Path) -> Path:
    plane = folder / "suite2p" / "plane0"
    plane.mkdir(parents=True)
    neuropil = np.ones((5, 200), dtype=np.float32)
    np.save(plane / "F.npy", np.concatenate([TRACES, TRACES[:2] + 9]) + 0.7 * neuropil)
    np.save(plane / "Fneu.npy", neuropil)
    np.save(plane / "iscell.npy", np.array([[1, 0.9], [1, 0.8], [1, 0.7], [0, 0.1], [0, 0.2]]))
    (plane / "ops.npy").write_bytes(pickle.dumps({"fs": 20}))
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    ".npy": write_npy,
    ".npz": write_npz,
    ".h5": write_h5,
    ".nwb": write_ophys,
    ".csv": write_csv,
    ".mat": write_mat,
    "": write_suite2p,
}
# What names no frame rate, and what assumes another.
RATE_GIVEN = {".npy", "", ".csv"}
WITH_SPIKES = {".npz", ".h5", ".csv", ".mat"}


def test_every_format_is_tested() -> None:
    assert set(WRITERS) == (set(READERS) - {".hdf5"}) | {""}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_recording(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    found = read_recording(path, rate_hz=RATE_HZ if kind in RATE_GIVEN else None)
    assert found.traces.dtype == np.float32
    assert np.abs(found.traces - TRACES).max() < 1e-5  # float32, and decimals of a table
    assert found.rate_hz == pytest.approx(RATE_HZ, rel=1e-9)
    assert len(found.neurons) == 3
    if kind in WITH_SPIKES:
        assert found.spikes is not None
        assert np.array_equal(found.spikes, SPIKES)
    else:
        assert found.spikes is None


@pytest.mark.parametrize("kind", [".npy", ""])
def test_a_file_without_a_frame_rate_says_how_to_give_it(kind: str, tmp_path: Path) -> None:
    with pytest.raises(StsError, match="has no frame rate: give it with --rate"):
        read_recording(WRITERS[kind](tmp_path))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_truncated_file_is_an_error_of_one_line(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    if path.is_dir():
        path = path / "suite2p" / "plane0" / "F.npy"
    raw = path.read_bytes()
    for part in (0.0, 0.1, 0.5):
        path.write_bytes(raw[: int(part * len(raw))])
        try:
            read_recording(tmp_path if kind == "" else path, rate_hz=RATE_HZ)
        except StsError as error:
            assert "\n" not in str(error)
        else:
            # a table that ends early is a shorter table
            assert kind == ".csv"


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_pickled_objects_are_not_loaded(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    objects = np.array([{"evil": 1}, None], dtype=object)
    if name.endswith("npy"):
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, traces=objects, allow_pickle=True)
    with pytest.raises(StsError, match="pickled objects, which are not loaded"):
        read_recording(path, rate_hz=RATE_HZ)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.ones((2, 3)), "is no structure with fluo_time"),
        (np.array([[{"fluo_time": 1.0}]], dtype=object), "is no structure with fluo_mean"),
        (
            np.array([[{"fluo_time": "x", "fluo_mean": {"a": 1}, "events_AP": 1.0}]], dtype=object),
            "holds no numbers",
        ),
    ],
)
def test_structures_that_are_no_ground_truth_are_refused(
    value: object, said: str, tmp_path: Path
) -> None:
    savemat(tmp_path / "a.mat", {"CAttached": value})
    with pytest.raises(StsError, match=said):
        read_recording(tmp_path / "a.mat")


def test_a_frame_that_stands_there_twice_counts_once(tmp_path: Path) -> None:
    trial = {
        "fluo_time": np.array([0.0, 1.0, 2.0, 2.0]),
        "fluo_mean": np.array([5.0, 6.0, 7.0, 8.0]),
        "events_AP": np.array([10000.0]),
    }
    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = trial
    savemat(tmp_path / "a.mat", {"CAttached": cells})
    (found,) = read_trials(tmp_path / "a.mat")
    assert found.traces.tolist() == [5.0, 6.0, 7.0]
    traces, spikes = found.at(2.0)
    assert traces.tolist() == [5.0, 5.5, 6.0, 6.5, 7.0]
    assert spikes.tolist() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.npz", {"spikes": TRACES}, "has no array traces or F"),
        ("a.npy", np.array(["x"]), "holds no array of numbers"),
        ("a.npy", np.zeros(5), "1 dimensions: \\(neurons, frames\\) is wanted"),
    ],
)
def test_arrays_that_are_no_traces_are_refused(
    name: str, content: object, said: str, tmp_path: Path
) -> None:
    if isinstance(content, dict):
        np.savez(tmp_path / name, **content)
    else:
        np.save(tmp_path / name, content)
    with pytest.raises(StsError, match=said):
        read_recording(tmp_path / name, rate_hz=RATE_HZ)


def test_unknown_kinds_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(StsError, match="no file or folder"):
        read_recording(tmp_path / "nowhere.npy")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(StsError, match=r"of an unknown kind '.txt': choose from"):
        read_recording(tmp_path / "a.txt")
    with pytest.raises(StsError, match=r"no F\.npy in"):
        read_recording(tmp_path)


def test_an_nwb_file_without_calcium_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.6.0"
        file.create_group("processing")
    with pytest.raises(StsError, match="has no RoiResponseSeries under DfOverF or Fluorescence"):
        read_recording(tmp_path / "a.nwb")


def test_an_hdf5_file_may_not_point_elsewhere(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["traces"] = h5py.ExternalLink("other.h5", "/traces")
    with pytest.raises(StsError, match="link to another file"):
        read_recording(tmp_path / "a.h5")


def with_nan() -> Floats:
    traces = TRACES.copy()
    traces[1, 5] = np.nan
    return traces


@pytest.mark.parametrize(
    ("traces", "changed", "said"),
    [
        (with_nan(), {}, "neuron 1 of made has NaN or infinite values"),
        (TRACES[:1], {"spikes": None}, "holds 1 neuron: a population of at least 2"),
        (np.ones((2, 50)), {"spikes": None}, "neuron 0 of made is constant \\(2 such neurons\\)"),
        (TRACES, {"rate_hz": 0.0}, "has no frame rate"),
        (TRACES, {"spikes": SPIKES[:, :5]}, "spikes of another shape"),
    ],
)
def test_a_recording_that_cannot_be_used_is_refused(
    traces: Floats, changed: dict[str, object], said: str
) -> None:
    with pytest.raises(StsError, match=said):
        check_recording(recording(traces, **changed))


def test_resampling_keeps_a_slow_wave_and_every_spike() -> None:
    times = np.arange(400) / RATE_HZ
    waves = np.stack([np.sin(2 * np.pi * 0.3 * times + k) for k in range(3)])
    spikes = np.zeros((3, 400), dtype=np.int64)
    spikes[0, [10, 11, 399]] = 1
    found = prepare(recording(waves, spikes=spikes), Preparation(rate_hz=24.0))
    assert found.rate_hz == pytest.approx(24.0)
    at = np.arange(found.traces.shape[1]) / 24.0
    inside = (at > 1) & (at < 19)
    # the filter passes 0.3 Hz within a few parts in a thousand
    assert np.abs(found.traces[1] - np.sin(2 * np.pi * 0.3 * at + 1))[inside].max() < 0.01
    assert found.spikes is not None
    assert found.spikes.sum() == 3
    # 10 / 20 Hz is the 12th frame at 24 Hz
    assert found.spikes[0, 12:14].tolist() == [1, 1]


def test_detrending_takes_off_what_is_slow_and_keeps_transients() -> None:
    frames = np.arange(6000)
    traces = np.tile(100 + frames / 100, (2, 1)).astype(float)
    traces[:, 3000:3010] += 50
    prepared = prepare(recording(traces, spikes=None), Preparation(relative=True))
    assert prepared.unit == "dF/F"
    # the baseline of 130 lags behind the drift by at most its window, 12
    assert prepared.traces[0, 3005] == pytest.approx(50 / 130, rel=0.25)
    assert np.abs(prepared.traces[0, 1500:2900]).max() < 0.1
    assert (slow_baseline(traces, RATE_HZ)[:, 3005] < 140).all()


def test_relative_traces_need_a_positive_baseline() -> None:
    with pytest.raises(StsError, match="are relative already, leave --relative out"):
        prepare(recording(), Preparation(relative=True))


@pytest.mark.data
def test_the_published_ground_truth_is_read(data_dir: Path) -> None:
    folder = data_dir / "calcium"
    table = read_recording(folder / "spikefinder" / "4.train.calcium.csv")
    assert (table.traces.shape, table.rate_hz) == ((6, 27763), 100.0)
    assert table.spikes is not None
    assert table.spikes.sum() == 7607
    files = sorted(folder.glob("cascade/*/*.mat"))
    assert len(files) > 20
    for path in files:
        for trial in read_trials(path):
            assert 7 < trial.rate_hz < 60, path
            # spikes are counted on the frames' clock: hardly any may lie outside
            inside = (trial.spikes_s >= 0) & (trial.spikes_s <= trial.times_s[-1] + 1)
            assert inside.mean() > 0.9 if len(inside) else True, path
