"""Every format becomes the same recording; what cannot be used is told in one line."""

import os
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from sts.base.errors import StsError
from sts.base.sandbox import Isolated
from sts.base.types import Floats
from sts.calcium import arrays
from sts.calcium import readers as module
from sts.calcium.arrays import write_hdf5
from sts.calcium.readers import CALCIUM_READERS, read_calcium, read_here
from sts.calcium.recording import CalciumRecording, Reading, check_recording
from sts.calcium.true_spikes import read_trials

RATE_HZ = 20.0
TRACES = np.random.default_rng(0).standard_normal((3, 200)).astype(np.float32)
SPIKES = (np.random.default_rng(1).random((3, 200)) < 0.1).astype(np.int64)


def read(path: Path, **asked: object) -> CalciumRecording:
    """Read as the sandbox does, without the half second that starting it takes."""
    return read_here(path, Reading(**asked))  # type: ignore[arg-type]


def recording(traces: Floats = TRACES, **changed: object) -> CalciumRecording:
    names = tuple(map(str, range(len(traces))))
    parts = {"name": "made", "rate_hz": RATE_HZ, "neurons": names, "spikes": SPIKES, **changed}
    return CalciumRecording(traces=traces, **parts)  # type: ignore[arg-type]


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
    # Imported here: it loads torch, and the sandbox loads this module.
    from sts.studies.calcium.generate import write_generated_nwb

    write_generated_nwb(
        folder / "a.nwb", TRACES[None], rate_hz=RATE_HZ, unit="dF/F", description="made"
    )
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


def mutated(raw: bytes, rng: np.random.Generator) -> bytes:
    """Return a file cut off, with a few bits turned, or with noise in the middle."""
    found = bytearray(raw)
    kind = rng.integers(3)
    if kind == 0:
        return raw[: rng.integers(len(raw))]
    if kind == 1:
        for at in rng.integers(min(len(raw), 4096), size=4):
            found[at] ^= 1 << int(rng.integers(8))
    else:
        at = int(rng.integers(len(raw)))
        found[at : at + 50] = rng.bytes(len(found[at : at + 50]))
    return bytes(found)


def test_every_format_is_tested() -> None:
    assert set(WRITERS) == (set(CALCIUM_READERS) - {".hdf5"}) | {""}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_recording(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    found = read_calcium(path, rate_hz=RATE_HZ if kind in RATE_GIVEN else None)
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
        read(WRITERS[kind](tmp_path))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_truncated_file_is_an_error_of_one_line(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    if path.is_dir():
        path = path / "suite2p" / "plane0" / "F.npy"
    raw = path.read_bytes()
    for part in (0.0, 0.1, 0.5):
        path.write_bytes(raw[: int(part * len(raw))])
        try:
            read(tmp_path if kind == "" else path, rate_hz=RATE_HZ)
        except StsError as error:
            assert "\n" not in str(error)
        else:
            # a table that ends early is a shorter table
            assert kind == ".csv"


def test_broken_files_are_errors_of_one_line_or_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    asked = asdict(Reading(rate_hz=RATE_HZ))
    with Isolated(module.READ_WORK) as reader:
        for kind, write in WRITERS.items():
            (tmp_path / f"as{kind}").mkdir()
            path = write(tmp_path / f"as{kind}")
            target = path / "suite2p" / "plane0" / "F.npy" if kind == "" else path
            raw = target.read_bytes()
            for _ in range(12):
                target.write_bytes(mutated(raw, rng))
                answer, _ = reader.ask({"path": str(path), "reading": asked})
                told = answer.get("error", "one line")
                assert told
                assert len(told.splitlines()) == 1


def crash(request: dict[str, object]) -> tuple[dict[str, object], bytes]:
    os.abort()


def test_a_file_that_crashes_its_reader_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_WORK", f"{__name__}:crash")
    with pytest.raises(StsError, match=r"a\.npy crashed its reader \(SIGABRT\): it is damaged"):
        read_calcium(write_npy(tmp_path), rate_hz=RATE_HZ)


def test_a_recording_larger_than_an_answer_comes_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_BYTES", 1000)
    found = read_calcium(write_h5(tmp_path))
    assert np.array_equal(found.traces, TRACES)
    assert found.spikes is not None
    assert np.array_equal(found.spikes, SPIKES)


@pytest.mark.parametrize("write", [write_npy, write_npz])
def test_an_array_may_not_be_larger_than_is_sane(
    write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MAX_RECORDING_BYTES", 1000)
    with pytest.raises(StsError, match="is not safe to read: it claims an array of 0 MB"):
        read(write(tmp_path), rate_hz=RATE_HZ)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_pickled_objects_are_not_loaded(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    objects = np.array([{"evil": 1}, None], dtype=object)
    if name.endswith("npy"):
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, traces=objects, allow_pickle=True)
    with pytest.raises(StsError, match="pickled objects, which are not loaded"):
        read(path, rate_hz=RATE_HZ)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.ones((2, 3)), "is no structure with fluo_time"),
        (np.array([[{"fluo_time": 1.0}]], dtype=object), "is no structure with fluo_mean"),
        (
            np.array([[{"fluo_time": "x", "fluo_mean": {"a": 1}, "events_AP": 1.0}]], dtype=object),
            "contains no numbers",
        ),
    ],
)
def test_structures_that_are_no_ground_truth_are_refused(
    value: object, said: str, tmp_path: Path
) -> None:
    savemat(tmp_path / "a.mat", {"CAttached": value})
    with pytest.raises(StsError, match=said):
        read(tmp_path / "a.mat")


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
        ("a.npy", np.array(["x"]), "contains no array of numbers"),
        ("a.npy", np.zeros(5), "1 dimensions: \\(neurons, frames\\) is needed"),
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
        read(tmp_path / name, rate_hz=RATE_HZ)


def test_unknown_kinds_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(StsError, match="no file or folder"):
        read_calcium(tmp_path / "nowhere.npy")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(StsError, match=r"of an unknown kind '.txt': choose from"):
        read_calcium(tmp_path / "a.txt")
    with pytest.raises(StsError, match=r"no F\.npy in"):
        read(tmp_path)


def test_one_of_several_arrays_is_chosen_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", dff=TRACES, mine=3 * TRACES, fs=RATE_HZ)
    assert np.array_equal(read(tmp_path / "a.npz", series="mine").traces, 3 * TRACES)
    with pytest.raises(StsError, match="did you mean 'mine'"):
        read(tmp_path / "a.npz", series="mime")


def test_a_rate_that_contradicts_the_file_is_taken_and_told(tmp_path: Path) -> None:
    found = read(write_npz(tmp_path), rate_hz=30.0)
    assert found.rate_hz == 30.0
    assert found.notes == ("a.npz states 20 frames a second: the 30 of --rate are used instead",)


def test_arrays_of_frames_first_are_turned_when_asked(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", TRACES.T)
    assert np.array_equal(read(tmp_path / "a.npy", rate_hz=RATE_HZ, transpose=True).traces, TRACES)
    (note,) = read(tmp_path / "a.npy", rate_hz=RATE_HZ).notes
    assert note.endswith("200 neurons of 3 frames: give --transpose if it is the other way round")


def test_a_table_without_names_loses_no_frame(tmp_path: Path) -> None:
    rows = "\n".join(",".join(map(str, row)) for row in TRACES.T)
    (tmp_path / "a.csv").write_text(rows + "\n")
    assert np.abs(read(tmp_path / "a.csv").traces - TRACES).max() < 1e-5  # decimals


def test_rows_cut_to_the_shortest_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("0,1\n1,2\n2,4\n3,\n")
    found = read(tmp_path / "a.csv")
    assert found.traces.tolist() == [[1, 2], [2, 4]]
    assert found.notes == ("rows of a.csv have 2 to 3 frames: all are cut to the shortest",)


def test_of_several_planes_the_first_is_read_and_the_others_are_told(tmp_path: Path) -> None:
    folder = write_suite2p(tmp_path)
    (folder / "suite2p" / "plane1").mkdir()
    (note,) = read(folder, rate_hz=RATE_HZ).notes
    assert note == "plane0 is read, plane1 left out: give its folder"


def test_names_from_files_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", F=TRACES, fs=RATE_HZ, neurons=["a\x1b[2J", "b\nc", "d" * 500])
    assert read(tmp_path / "a.npz").neurons == ("a[2J", "b c", "d" * 80)


def test_one_neuron_is_enough_where_each_is_treated_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", TRACES[:1])
    assert read(tmp_path / "a.npy", rate_hz=RATE_HZ, least=1).traces.shape == (1, 200)


def test_an_hdf5_file_may_not_point_elsewhere(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["traces"] = h5py.ExternalLink("other.h5", "/traces")
    with pytest.raises(StsError, match="link to another file"):
        read(tmp_path / "a.h5")


def with_nan() -> Floats:
    traces = TRACES.copy()
    traces[1, 5] = np.nan
    return traces


@pytest.mark.parametrize(
    ("traces", "changed", "said"),
    [
        (with_nan(), {}, "neuron 1 of made has NaN or infinite values"),
        (TRACES[:1], {"spikes": None}, "contains 1 neuron: a population of at least 2"),
        (np.ones((2, 50)), {"spikes": None}, "neuron 0 of made is constant \\(2 such neurons\\)"),
        (TRACES, {"rate_hz": 0.0}, "has no frame rate"),
        (TRACES, {"rate_hz": 1e9}, "which no microscope makes"),
        (TRACES[:, :1], {"spikes": None}, "3 neurons of 1 frames: .* give --transpose"),
        (TRACES, {"spikes": -SPIKES}, "are no counts"),
        (TRACES, {"spikes": 0.5 * SPIKES}, "are no counts"),
        (TRACES, {"spikes": 100_000 * SPIKES}, "are no counts"),
        (TRACES, {"spikes": SPIKES[:, :5]}, "spikes of another shape"),
    ],
)
def test_a_recording_that_cannot_be_used_is_refused(
    traces: Floats, changed: dict[str, object], said: str
) -> None:
    with pytest.raises(StsError, match=said):
        check_recording(recording(traces, **changed))


@pytest.mark.data
def test_the_published_ground_truth_is_read(data_dir: Path) -> None:
    folder = data_dir / "calcium"
    table = read_calcium(folder / "spikefinder" / "4.train.calcium.csv")
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
