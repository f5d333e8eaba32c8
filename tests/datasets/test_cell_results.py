"""A file that crashes, hangs or changes while it is read costs its own cell and nothing else."""

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

from sts.base.files import sha256_of
from sts.base.sandbox import Limits, reuse_sandbox
from sts.datasets import cell_files, cell_results
from sts.datasets.build import BuildJob, build
from sts.datasets.build_files import CELLS_NAME, MANIFEST_NAME
from sts.datasets.store import load_store
from tests.datasets.builds import BOTH, cell_rows, process_file, process_file_in_sandbox
from tests.studies.cells import write_cell

BAD_WORK = "tests.studies.bad_work:work"


PRODUCTS = ("sweeps.h5", CELLS_NAME, "features.csv", MANIFEST_NAME)


@pytest.fixture
def bad_work(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cell_results, "WORK", BAD_WORK)
    yield
    reuse_sandbox(BAD_WORK, Limits()).close()


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
    monkeypatch.setattr(cell_results, "WORK", "sts.datasets.cell_results:work")
    build(other)
    for name in PRODUCTS:
        assert (job.out / name).read_bytes() == (other.out / name).read_bytes(), name


KILLED = """
import os, signal
from pathlib import Path
from sts.datasets.partial_build import PartialBuild
from sts.datasets.build import BuildJob, build
from sts.datasets.cell_results import BuildSettings

add = PartialBuild.add

def add_and_die(self, outcome):
    add(self, outcome)
    os.kill(os.getpid(), signal.SIGKILL)

PartialBuild.add = add_and_die
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


def test_the_sandbox_gives_what_this_one_gives(folder: Path) -> None:
    path = write_cell(folder, "101")
    here = process_file(path, file="x", settings=BOTH)
    there = process_file_in_sandbox(path, file="x", settings=BOTH)
    assert there.to_json() == here.to_json()
    np.testing.assert_array_equal(there.traces, here.traces)


def test_a_file_that_is_gone_by_then_is_a_row(folder: Path) -> None:
    outcome = process_file_in_sandbox(folder / "gone.nwb", file="gone.nwb", settings=BOTH)
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
