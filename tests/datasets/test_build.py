"""A folder of recordings becomes a data set, and no cell is lost on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.files import sha256_of, write_csv
from sts.datasets.build import BuildJob, build, plan_build
from sts.datasets.build_files import CELLS_NAME, MANIFEST_NAME
from sts.datasets.cell_results import BuildSettings
from sts.datasets.store import load_store
from sts.datasets.table import read_cells, read_features
from sts.signals.select import SelectSettings
from tests.studies.cells import ONSET_S, RHEOBASE_PA, write_cell


def write_cells_of_all_sorts(folder: Path) -> None:
    write_cell(folder / "good", "101")
    write_cell(folder / "good", "102", rheobase_pa=30)
    write_cell(folder, "103", amplitudes_pa=(-50, 30, 50, 110))
    write_cell(folder, "104", rheobase_pa=500)
    write_cell(folder, "105", step_s=0.5)
    write_cell(folder, "106", amperes=1e-15)
    (folder / "broken.nwb").write_bytes(write_cell(folder, "107").read_bytes()[:5000])
    (folder / "sub-7_ses-107_icephys.nwb").write_text("not a recording at all")


def test_every_cell_is_accounted_for(folder: Path, job: BuildJob) -> None:
    write_cells_of_all_sorts(folder)
    report = build(job)
    rows = {row.specimen_id or row.file: row for row in read_cells(job.out / CELLS_NAME)}
    assert len(rows) == 8
    assert rows["101"].status == rows["102"].status == "ok"
    assert "no sweep at rheobase + 40 pA: amplitudes are 30, 50, 110 pA" in rows["103"].reason
    assert "spike" in rows["104"].reason
    assert "step lasts 0.5 s" in rows["105"].reason
    assert "pA" in rows["106"].reason
    for file in ("broken.nwb", "sub-7_ses-107_icephys.nwb"):
        assert rows[file].status == "failed"
        assert rows[file].reason
    assert report.counts["store"]["ok"] == 2
    assert sum(report.counts["store"].values()) == len(rows)
    assert sum(report.reasons["store"].values()) == 6
    assert report.failed


def test_the_store_holds_the_two_sweeps(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    build(job)
    store = load_store(job.out / "sweeps.h5")
    assert store.specimen_id.tolist() == ["101"]
    assert store.donor_id.tolist() == ["mouse 7"]
    assert store.dataset.tolist() == ["mine"]
    # the stored current has a resolution of 0.1 pA
    assert store.rheobase_pa[0] == pytest.approx(RHEOBASE_PA, abs=0.1)
    assert store.step_pa[0] == pytest.approx(RHEOBASE_PA + 40, abs=0.1)
    assert store.onset_s[0] == pytest.approx(ONSET_S, abs=1e-9)
    spikes = [np.flatnonzero(np.diff((trace > -20).astype(int)) == 1) for trace in store.traces[0]]
    assert [len(found) for found in spikes] == [1, 3]
    # one spike in the middle of the step: 0.1 s + 0.5 s at 4 kHz; it rises within two samples
    assert spikes[0][0] == pytest.approx(2400, abs=2)


def test_features_and_store_come_from_one_reading(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    write_cell(folder, "105", step_s=0.5)
    build(job)
    one, short = read_features(job.out / "features.csv")
    assert one.status == short.status == "ok", "features are measured on steps of 0.4 to 2 s"
    assert one.values["threshold_i_long_square"] == pytest.approx(RHEOBASE_PA, abs=0.1)
    # 100 MOhm and 10 ms by construction; voltages are stored to 0.004 mV
    assert one.values["ri"] == pytest.approx(100, rel=0.01)
    assert one.values["tau"] == pytest.approx(10, rel=0.02)


def test_the_manifest_tells_what_was_read_and_how(folder: Path, job: BuildJob) -> None:
    path = write_cell(folder, "101")
    build(job)
    manifest = json.loads((job.out / MANIFEST_NAME).read_text())
    (entry,) = manifest["store"]["files"]
    assert entry["file"] == path.name
    assert entry["size"] == path.stat().st_size
    assert entry["sha256"] == sha256_of(path)
    assert manifest["store"]["settings"]["step_tolerance_pa"] == 5.0
    assert manifest["store"]["versions"]["h5py"] == h5py.__version__


def test_labels_are_attached_by_specimen(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    write_cell(folder, "102")
    labels = folder.parent / "labels.csv"
    columns = ("specimen_id", "label", "dataset")
    lines = [("101", "Sst", "PatchSeq"), ("999", "Pvalb", "PatchSeq")]
    write_csv(labels, columns, [dict(zip(columns, line, strict=True)) for line in lines])
    report = build(replace(job, labels=labels, dataset="Ours"))
    store = load_store(job.out / "sweeps.h5")
    assert store.label.tolist() == ["Sst", ""]
    assert store.dataset.tolist() == ["PatchSeq", "Ours"]
    assert (report.unlabelled, report.unused_labels) == (1, 1)


def test_labels_beside_the_recordings_are_found(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    write_csv(folder / "labels.csv", ("specimen_id", "label"), [dict(specimen_id=101, label="Sst")])
    build(job)
    assert load_store(job.out / "sweeps.h5").label.tolist() == ["Sst"]


def test_new_labels_reach_a_finished_store_without_reading_again(
    folder: Path, job: BuildJob
) -> None:
    write_cell(folder, "101")
    build(job)
    write_csv(folder / "labels.csv", ("specimen_id", "label"), [dict(specimen_id=101, label="Sst")])
    report = build(job)
    assert report.worked_on == 0
    assert load_store(job.out / "sweeps.h5").label.tolist() == ["Sst"]


def test_a_second_file_of_a_specimen_is_excluded(folder: Path, job: BuildJob) -> None:
    write_cell(folder / "a", "101")
    write_cell(folder / "b", "101")
    report = build(job)
    first, second = read_cells(job.out / CELLS_NAME)
    assert (first.status, second.status) == ("ok", "excluded")
    assert second.reason == "this specimen is there already: from a/sub-7_ses-101_icephys.nwb"
    assert report.counts["features"] == {"ok": 1, "excluded": 1}


def test_two_processes_give_the_same_bytes_as_one(folder: Path, job: BuildJob) -> None:
    write_cells_of_all_sorts(folder)
    build(job)
    other = replace(job, out=job.out.with_name("other") / "mine", workers=2)
    build(other)
    for name in ("sweeps.h5", CELLS_NAME, "features.csv", MANIFEST_NAME):
        assert (job.out / name).read_bytes() == (other.out / name).read_bytes(), name


def test_a_finished_build_is_not_done_again(folder: Path, job: BuildJob) -> None:
    write_cells_of_all_sorts(folder)
    first = build(job)
    before = {path.name: path.stat().st_mtime_ns for path in job.out.iterdir()}
    second = build(job)
    assert second.worked_on == 0
    assert second.counts == first.counts
    assert second.failures == first.failures
    assert {path.name: path.stat().st_mtime_ns for path in job.out.iterdir()} == before


def test_new_recordings_need_a_word(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    build(job)
    write_cell(folder, "102")
    with pytest.raises(StsError, match=r"1 are new or changed.*--resume.*--force"):
        build(job)
    report = build(replace(job, resume=True))
    assert report.worked_on == 1
    assert load_store(job.out / "sweeps.h5").specimen_id.tolist() == ["101", "102"]
    assert [row.specimen_id for row in read_features(job.out / "features.csv")] == ["101", "102"]


def test_resuming_equals_building_anew(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "102")
    build(job)
    write_cells_of_all_sorts(folder)
    os.utime(folder / "sub-7_ses-102_icephys.nwb", ns=(1, 1))
    build(replace(job, resume=True))
    fresh = replace(job, out=job.out.with_name("fresh") / "mine")
    build(fresh)
    for name in ("sweeps.h5", CELLS_NAME, "features.csv"):
        assert (job.out / name).read_bytes() == (fresh.out / name).read_bytes(), name


def test_other_settings_need_force(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "103", amplitudes_pa=(-50, 30, 50, 110))
    with pytest.raises(StsError, match="none of 1 recordings can enter the store"):
        build(job)
    wide = BuildSettings(select=SelectSettings(step_tolerance_pa=30), features=True)
    build(replace(job, settings=wide))
    with pytest.raises(StsError, match="other settings: add --force"):
        build(job)
    narrow = BuildSettings(select=SelectSettings(step_tolerance_pa=25), features=True)
    build(replace(job, settings=narrow, force=True))
    assert load_store(job.out / "sweeps.h5").step_pa[0] == pytest.approx(110, abs=0.1)


def test_a_file_of_somebody_else_is_not_overwritten(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    job.out.mkdir()
    theirs = job.out / "features.csv"
    theirs.write_text("mine\n")
    with pytest.raises(StsError, match="was not made by this command"):
        build(replace(job, settings=BuildSettings(store=False, features=True)))
    assert theirs.read_text() == "mine\n"


def test_a_plan_writes_nothing(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    plan = plan_build(job)
    assert len(plan.todo) == 1
    assert not job.out.exists()


def test_a_failed_cell_is_tried_again_by_resume(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    bad = folder / "bad.nwb"
    bad.write_text("not yet")
    assert build(job).failed
    spare = write_cell(folder.parent / "spare", "102")
    shutil.copy(spare, bad)
    report = build(replace(job, resume=True))
    assert not report.failed
    assert report.worked_on == 1


KILLED = """
import os, signal
from pathlib import Path
from sts.datasets import build as module
from sts.datasets.partial_build import PartialBuild
from sts.datasets.build import BuildJob, build
from sts.datasets.cell_results import BuildSettings

add, left = PartialBuild.add, [int({after})]

def add_and_perhaps_die(self, outcome):
    add(self, outcome)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

PartialBuild.add = add_and_perhaps_die
if {late}:
    PartialBuild.add = add
    module.write_products = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
build(BuildJob(folder=Path({folder!r}), out=Path({out!r}),
      settings=BuildSettings(store=True, features=True), workers=1))
"""


@pytest.mark.parametrize(("after", "late"), [(2, False), (5, False), (99, True)])
def test_killed_at_any_moment_the_same_command_goes_on(
    folder: Path, job: BuildJob, after: int, late: bool
) -> None:
    write_cells_of_all_sorts(folder)
    script = KILLED.format(folder=str(folder), out=str(job.out), after=after, late=late)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (job.out / "sweeps.h5").exists()
    report = build(job)
    # files that failed are tried again; of eight three do, wherever they come in the order
    assert report.worked_on <= 8 - min(after, 8) + 3
    fresh = replace(job, out=job.out.with_name("fresh") / "mine")
    build(fresh)
    for name in ("sweeps.h5", CELLS_NAME, "features.csv", MANIFEST_NAME):
        assert (job.out / name).read_bytes() == (fresh.out / name).read_bytes(), name
    assert sorted(path.name for path in job.out.iterdir()) == sorted(
        ("sweeps.h5", CELLS_NAME, "features.csv", MANIFEST_NAME)
    )


def test_an_unwritable_place_is_one_clear_line(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    in_the_way = folder.parent / "file"
    in_the_way.write_text("")
    with pytest.raises(StsError, match="file"):
        build(replace(job, out=in_the_way / "mine"))


def test_a_folder_without_recordings_is_said(folder: Path, job: BuildJob) -> None:
    folder.mkdir()
    with pytest.raises(StsError, match="no recordings"):
        build(job)
    with pytest.raises(StsError, match="missing"):
        build(replace(job, folder=folder / "missing"))
