"""Bad files and bad sweeps cost themselves and nothing else, and every one is told of."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.files import sha256_of
from sts.base.sandbox import Limits
from sts.cli.data import main, make_data_parser
from sts.datasets import cell_files, isolated
from sts.datasets.build import BuildJob, build
from sts.datasets.journal import Journal
from sts.datasets.outcomes import BuildSettings, process_file
from sts.datasets.products import CELLS_NAME, MANIFEST_NAME
from sts.datasets.store import load_store
from sts.datasets.table import CellRow, FeatureRow, read_cells, read_features
from sts.signals.quality import ALLEN, QualitySettings
from tests.recordings.mutator import write_bases
from tests.studies.cells import write_cell

BOTH = BuildSettings(store=True, features=True)
BAD_WORK = "tests.studies.bad_work:work"
PRODUCTS = ("sweeps.h5", CELLS_NAME, "features.csv", MANIFEST_NAME)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest.fixture
def job(folder: Path, tmp_path: Path) -> BuildJob:
    return BuildJob(folder=folder, out=tmp_path / "mine", settings=BOTH, workers=1)


@pytest.fixture
def bad_work(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def end() -> None:
        reader = vars(isolated._OWN).pop("reader", None)
        if reader is not None:
            reader.close()

    end()
    monkeypatch.setattr(isolated, "WORK", BAD_WORK)
    yield
    end()


def cell_rows(job: BuildJob) -> dict[str, CellRow]:
    return {row.file: row for row in read_cells(job.out / CELLS_NAME)}


def feature_rows(job: BuildJob) -> dict[str, FeatureRow]:
    return {row.file: row for row in read_features(job.out / "features.csv")}


@pytest.mark.usefixtures("bad_work")
def test_a_crash_a_hang_and_a_glutton_are_rows_and_the_batch_goes_on(
    folder: Path, job: BuildJob
) -> None:
    for name in ("a crash", "b", "c hang", "d", "e large", "f"):
        write_cell(folder, name)
    report = build(replace(job, limits=Limits(memory_mb=512, wall_s=3)))
    rows = {file.split("-")[2].split("_")[0]: row for file, row in cell_rows(job).items()}
    assert {name: row.status for name, row in rows.items()} == {
        "a crash": "failed",
        "b": "ok",
        "c hang": "failed",
        "d": "ok",
        "e large": "failed",
        "f": "ok",
    }
    assert rows["a crash"].reason == "crashed its reader (SIGSEGV): it is damaged"
    assert rows["c hang"].reason.startswith("took more than 3 s to read")
    assert "memory" in rows["e large"].reason or "status 1" in rows["e large"].reason
    assert report.failed
    assert len(load_store(job.out / "sweeps.h5")) == 3
    for entry in json.loads((job.out / MANIFEST_NAME).read_text())["store"]["files"]:
        assert entry["sha256"] == sha256_of(folder / entry["file"]), "also of those that failed"


@pytest.mark.usefixtures("bad_work")
def test_a_reader_that_is_killed_from_outside_changes_nothing(
    folder: Path, job: BuildJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        write_cell(folder / "killed", str(number))
    report = build(job)
    assert not report.failed
    assert len(list(folder.rglob("*.killed"))) == 2
    other = replace(job, out=job.out.with_name("other") / "mine")
    monkeypatch.setattr(isolated, "WORK", "sts.datasets.isolated:work")
    build(other)
    for name in PRODUCTS:
        assert (job.out / name).read_bytes() == (other.out / name).read_bytes(), name


KILLED = """
import os, signal
from pathlib import Path
from sts.datasets import journal
from sts.datasets.build import BuildJob, build
from sts.datasets.outcomes import BuildSettings

add = journal.Journal.add

def add_and_die(self, outcome):
    add(self, outcome)
    os.kill(os.getpid(), signal.SIGKILL)

journal.Journal.add = add_and_die
build(BuildJob(folder=Path({folder!r}), out=Path({out!r}), settings=BuildSettings(), workers=1))
"""


def processes_marked(mark: str) -> list[str]:
    """Return the processes that bear a mark in their environment, as their children do."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_nothing_outlives_a_build_that_was_killed(folder: Path, job: BuildJob) -> None:
    for number in range(4):
        write_cell(folder, str(number))
    mark = f"STS_TEST={job.out}"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED.format(folder=str(folder), out=str(job.out))],
        env=os.environ | {"STS_TEST": str(job.out)},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    deadline = time.perf_counter() + 30
    while processes_marked(mark) and time.perf_counter() < deadline:
        time.sleep(0.1)
    assert processes_marked(mark) == []
    assert build(job).counts["store"] == {"ok": 4}


def test_a_process_isolated_gives_what_this_one_gives(folder: Path) -> None:
    path = write_cell(folder, "101")
    here = process_file(path, file="x", settings=BOTH)
    there = isolated.process_isolated(path, file="x", settings=BOTH)
    assert there.to_json() == here.to_json()
    np.testing.assert_array_equal(there.traces, here.traces)


def test_a_file_that_is_gone_by_then_is_a_row(folder: Path) -> None:
    outcome = isolated.process_isolated(folder / "gone.nwb", file="gone.nwb", settings=BOTH)
    assert outcome.store is not None
    assert outcome.store.reason == "cannot be opened: no such file or directory"


def test_a_file_that_changes_while_it_is_read_gives_no_value(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_cell(folder, "101")
    read = cell_files.read_recording

    def read_and_write(*arguments: object) -> object:
        recording = read(*arguments)  # type: ignore[arg-type]
        with h5py.File(path, "r+") as file:
            file["later"] = 1
        return recording

    monkeypatch.setattr(cell_files, "read_recording", read_and_write)
    outcome = process_file(path, file="x", settings=BOTH)
    for verdict in (outcome.store, outcome.features):
        assert verdict is not None
        assert (verdict.status, verdict.values) == ("failed", {})
        assert verdict.reason == "changed while it was read: run it again once it is complete"
    assert outcome.traces is None


def test_the_digest_is_taken_before_the_reading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_cell(folder, "101")
    order: list[str] = []
    for name in ("sha256_of", "read_recording"):
        step = getattr(cell_files, name)
        monkeypatch.setattr(
            cell_files, name, lambda *a, step=step, name=name: (order.append(name), step(*a))[1]
        )
    process_file(path, file="x", settings=BOTH)
    assert order == ["sha256_of", "read_recording"]


def test_every_format_becomes_a_row(folder: Path, job: BuildJob) -> None:
    """One made-up cell; three of its files claim its id, and differ."""
    write_bases(folder)
    build(job)
    rows = cell_rows(job)
    assert {name: row.status for name, row in rows.items()} == {
        "abf1.abf": "ok",
        "abf2.abf": "ok",
        "nwb1.nwb": "ok",
        "nwb2.nwb": "ok",
        "packed_nwb2.nwb": "ok",
    }
    assert [row.specimen_id for row in rows.values()] == [Path(file).stem for file in rows]
    assert len({rows[name].donor_id for name in rows if "nwb" in name}) == 1
    store = load_store(job.out / "sweeps.h5")
    # the coarsest converter has steps of 0.02 mV; filtered, two of them differ by less
    np.testing.assert_allclose(store.traces, store.traces[[0] * 5], atol=0.05)


@pytest.fixture
def dask_draws() -> Iterator[None]:
    """Put back the state of `random`, from which Dask draws the waits between its attempts."""
    state = random.getstate()
    yield
    random.setstate(state)


@pytest.mark.usefixtures("dask_draws")
def test_a_cluster_gives_the_same_bytes(folder: Path, job: BuildJob) -> None:
    import distributed

    for number in range(3):
        write_cell(folder, str(number))
    (folder / "broken.nwb").write_text("not a recording")
    build(job)
    other = replace(job, out=job.out.with_name("other") / "mine")
    with distributed.LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        build(replace(other, cluster=cluster.scheduler_address))
    for name in PRODUCTS:
        assert (job.out / name).read_bytes() == (other.out / name).read_bytes(), name


def spoil_sweep(path: Path, number: int, noise_mv: float) -> None:
    with h5py.File(path, "r+") as file:
        data = file[f"acquisition/data_{number:05d}_AD0/data"]
        noise = np.random.default_rng(0).normal(0, noise_mv, data.shape)
        data[:] += (noise * 1e-3 / data.attrs["conversion"]).astype(data.dtype)


def test_a_bad_sweep_is_dropped_from_the_choice_and_named(folder: Path, job: BuildJob) -> None:
    """Without its sweep at rheobase + 40 pA the cell has no pair; one sweep lower it has."""
    spoil_sweep(write_cell(folder, "101", amplitudes_pa=(-50, 50, 90)), 2, noise_mv=2.0)
    spoil_sweep(write_cell(folder, "102", amplitudes_pa=(-50, 50, 70, 90, 110)), 2, noise_mv=2.0)
    build(job)
    first, second = cell_rows(job).values()
    assert first.status == "excluded"
    assert first.reason.startswith("no sweep at rheobase + 40 pA: amplitudes are 50 pA")
    assert first.flags[0].startswith("left out sweep 2: noisy, ")
    assert (second.status, second.rheobase_sweep, second.second_sweep) == ("ok", 1, 3)
    assert second.flags[0].startswith("left out sweep 2: noisy, ")
    notes = [row.notes for row in feature_rows(job).values()]
    assert all("left out sweep 2: noisy" in "; ".join(note) for note in notes)


def test_a_cell_without_usable_sweeps_is_excluded_in_words(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "100")
    path = write_cell(folder, "101", amplitudes_pa=(-50, 50, 90))
    for number in range(3):
        spoil_sweep(path, number, noise_mv=2.0)
    build(job)
    row = cell_rows(job)[path.name]
    assert row.status == feature_rows(job)[path.name].status == "excluded"
    assert row.reason.startswith("no usable sweep: 3 sweeps (0 1 2): noisy, ")
    build(replace(job, settings=replace(BOTH, quality=None), force=True))
    assert cell_rows(job)[path.name].status == "ok"


def test_sweeps_that_the_reader_leaves_out_are_told(folder: Path, job: BuildJob) -> None:
    path = write_cell(folder, "101")
    with h5py.File(path, "r+") as file:
        file["acquisition/data_00000_AD0/data"][5] = np.nan
        file["acquisition/data_00001_AD0"].attrs["neurodata_type"] = "VoltageClampSeries"
    build(job)
    row = cell_rows(job)[path.name]
    assert row.status == "ok"
    assert row.flags[0] == "1 sweeps not read: NaN or Inf at 0.00025 s (1 x)"


def test_a_cell_whose_long_squares_were_left_out_says_why(folder: Path, job: BuildJob) -> None:
    """Two sweeps hold no current at all, so that the reader leaves them alone."""
    write_cell(folder, "100")
    path = write_cell(folder, "101", amplitudes_pa=(-50, 30, 50, 90, 0, 0))
    with h5py.File(path, "r+") as file:
        for number in range(4):
            file[f"acquisition/data_{number:05d}_AD0/data"][5] = np.nan
    build(job)
    for row in (cell_rows(job)[path.name], feature_rows(job)[path.name]):
        assert row.reason == (
            "no usable sweep with a lone step of constant current: 4 sweeps not read: NaN or Inf "
            "at 0.00025 s (4 x), none of the other 2 holds one"
        )


def test_a_cell_whose_short_squares_were_left_out_says_why(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "100")
    path = write_cell(folder, "101", amplitudes_pa=(500, 600), step_s=0.003)
    for number in range(2):
        spoil_sweep(path, number, noise_mv=2.0)
    build(job)
    for row in (cell_rows(job)[path.name], feature_rows(job)[path.name]):
        assert row.reason.startswith("no usable sweep: 2 sweeps (0 1): "), row.reason


def test_a_cell_without_a_long_square_says_so(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "100")
    path = write_cell(folder, "101", step_s=0.1)
    build(job)
    assert cell_rows(job)[path.name].reason.startswith("no long square: none of 7 current clamp")


def test_other_bounds_are_other_settings(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    build(job)
    manifest = json.loads((job.out / MANIFEST_NAME).read_text())
    assert manifest["store"]["settings"]["quality"]["noise_mv"] == QualitySettings().noise_mv
    assert manifest["features"]["settings"]["quality"]["drift_mv"] == QualitySettings().drift_mv
    with pytest.raises(StsError, match="other settings: add --force"):
        build(replace(job, settings=replace(BOTH, quality=ALLEN)))


@pytest.mark.parametrize(
    ("asked", "noise_mv"), [("usual", 0.5), ("allen", 0.07), ("off", None), ("FILE", 0.2)]
)
def test_the_command_takes_bounds_by_name_or_from_a_file(
    folder: Path, tmp_path: Path, asked: str, noise_mv: float | None
) -> None:
    write_cell(folder, "101")
    file = tmp_path / "bounds.json"
    file.write_text('{"noise_mv": 0.2}')
    out = tmp_path / "out"
    quality = str(file) if asked == "FILE" else asked
    for command in ("build", "features"):
        arguments = [command, str(folder), "--out", str(out), "--quality", quality]
        assert main([*arguments, "--workers", "1"]) == 0
    settings = json.loads((out / MANIFEST_NAME).read_text())
    for product in ("store", "features"):
        bounds = settings[product]["settings"]["quality"]
        assert (bounds and bounds["noise_mv"]) == noise_mv


def test_an_unknown_name_of_bounds_is_answered(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(folder, "101")
    assert main(["build", str(folder), "--out", str(tmp_path / "o"), "--quality", "alen"]) == 2
    assert "did you mean 'allen'" in capsys.readouterr().err


def test_the_help_tells_the_bounds_that_hold(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_data_parser().parse_args(["build", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    usual = QualitySettings()
    assert (
        f"usual (noise {usual.noise_mv:g} mV rms within 1.5 ms, slow noise {usual.slow_noise_mv:g} "
        f"mV rms, drift {usual.drift_mv:g} mV, rest {usual.rest_mv:g} mV, "
        f"{usual.amplitude_error:.0%}".replace("%", " %")
        in told
    )
    assert (
        f"allen (noise {ALLEN.noise_mv:g} mV, slow noise {ALLEN.slow_noise_mv:g} mV, "
        f"drift {ALLEN.drift_mv:g} mV, else as usual)" in told
    )


def test_a_journal_is_read_without_holding_it(folder: Path, tmp_path: Path) -> None:
    path = write_cell(folder, "101")
    outcome = process_file(path, file="a.nwb", settings=BOTH)
    with Journal(tmp_path / "j", "x") as journal:
        for name in ("b.nwb", "c.nwb", "a.nwb"):
            journal.add(replace(outcome, file=name))
        kept = journal.collect({"a.nwb", "b.nwb"})
        assert (len(kept), [each.file for each in kept]) == (2, ["a.nwb", "b.nwb"])
        rows = kept.traces_of(["b.nwb", "a.nwb"])
        assert rows.shape == (2, *outcome.traces.shape)  # type: ignore[union-attr]
        np.testing.assert_array_equal(rows[1:], [outcome.traces])
        assert "outcomes" not in vars(journal), "only places stay in memory"


REAL = {
    "171116sh_0018.abf": "step lasts 0.5 s",
    "17o05028_ic_steps.abf": "step lasts 0.5 s",
    "osb_LantyerEtAl2018_180817_ME_9_CC.nwb": "step lasts 0.5 s",
    "osb_FergusonEtAl2015_PYR2.nwb": "no sweep at rheobase + 40 pA: amplitudes are ",
    "osb_LantyerEtAl2018_170315_AL_216_VC.nwb": "holds only voltage clamp sweeps",
}
# Of its measured current: the mean from 85 ms to 1.05 s less that of the first 80 ms.
PYR2_PA = (25.1, 49.2, 74.7, 99.6, 124.6, 150.0, 174.3, 199.0, 224.0, 248.9, 273.8, 298.5, 323.3)


@pytest.mark.data
def test_real_recordings_end_as_their_protocols_demand(data_dir: Path, job: BuildJob) -> None:
    real = replace(job, folder=data_dir / "recordings")
    with pytest.raises(StsError, match="none of 5 recordings can enter the store"):
        build(real)
    rows, measured = cell_rows(job), feature_rows(job)
    assert set(rows) == set(REAL)
    for file, reason in REAL.items():
        assert rows[file].reason.startswith(reason)
        is_voltage_clamp = "voltage clamp" in reason
        assert rows[file].status == ("failed" if is_voltage_clamp else "excluded")
        assert measured[file].status == ("failed" if is_voltage_clamp else "ok")
    said = rows["osb_FergusonEtAl2015_PYR2.nwb"].reason.partition("amplitudes are ")[2]
    amplitudes = [float(each) for each in said.partition(" pA")[0].split(", ")]
    # Rounded to the pA; where levels begin and end changes a mean by twice its error of 0.3 pA.
    assert amplitudes == pytest.approx(PYR2_PA, abs=0.5 + 0.6)
    assert not any("left out" in flag for row in rows.values() for flag in row.flags)
    assert {
        "10 kHz filter skipped: the rate is 10 kHz",
        "baseline of 81.5 ms instead of 100 ms",
    } <= {*measured["osb_FergusonEtAl2015_PYR2.nwb"].notes}
    # Counted in the traces: the first step that fires is that of 50 pA and of 10 pA.
    for file, rheobase_pa in (("171116sh_0018.abf", 50), ("17o05028_ic_steps.abf", 10)):
        assert measured[file].values["threshold_i_long_square"] == rheobase_pa
        # features from the first step: it begins at 0.147 s and lasts half a second
        assert 0 < measured[file].values["latency"] < 0.5


@pytest.mark.data
def test_pyr2_enters_with_a_wider_tolerance_and_its_flags(
    data_dir: Path, folder: Path, job: BuildJob
) -> None:
    folder.mkdir()
    name = "osb_FergusonEtAl2015_PYR2.nwb"
    (folder / name).write_bytes((data_dir / "recordings" / name).read_bytes())
    wide = replace(BOTH, select=replace(BOTH.select, step_tolerance_pa=16))
    build(replace(job, settings=wide))
    row = cell_rows(job)[name]
    assert row.status == "ok"
    assert "baseline of 81.5 ms continued to 100 ms" in row.flags
    assert row.onset_s == pytest.approx(0.0815, abs=5e-4)
