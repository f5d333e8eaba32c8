"""Recordings of the DANDI archive bear a session's id; a data set bears the specimen's."""

from pathlib import Path

import pytest

from sts.datasets.build import BuildJob, build, plan_build
from sts.datasets.cell_results import BuildSettings
from sts.datasets.store import load_store
from sts.datasets.table import read_cells
from tests.datasets.allen import PATCHSEQ, write_patchseq
from tests.studies.cells import write_cell


@pytest.fixture
def job(tmp_path: Path) -> BuildJob:
    """Return a build of three recordings; the metadata in the folder of data know two of them."""
    for session in ("101", "102", "103"):
        write_cell(tmp_path / "recordings", session)
    write_patchseq(
        tmp_path / "data" / PATCHSEQ,
        [
            ("9001", "101", "a-331294", "Sst Nts", "aspiny"),
            ("9002", "102", "a-331295", "Vip Gpc3 Slc18a3", "aspiny"),
            ("9004", "104", "a-331295", "Vip Gpc3 Slc18a3", "aspiny"),
        ],
    )
    return BuildJob(
        folder=tmp_path / "recordings",
        out=tmp_path / "data" / "mine",
        settings=BuildSettings(),
        labels=tmp_path / "data" / PATCHSEQ,
        workers=1,
    )


def test_metadata_give_specimen_donor_data_set_and_class(job: BuildJob) -> None:
    report = build(job)
    store = load_store(job.out / "sweeps.h5")
    assert store.specimen_id.tolist() == ["9001", "9002", "103"]
    assert store.donor_id.tolist() == ["331294", "331295", "mouse 7"]
    assert store.label.tolist() == ["Sst", "Vip/Lamp5", ""]
    assert store.dataset.tolist() == ["PatchSeq", "PatchSeq", "mine"]
    assert (report.unlabelled, report.unused_labels) == (1, 1)


def test_metadata_beside_the_data_set_name_specimens_without_labelling_them(job: BuildJob) -> None:
    labels = job.folder / "labels.csv"
    labels.write_text("specimen_id,label\n9001,Pvalb\n", encoding="utf-8")
    build(BuildJob(folder=job.folder, out=job.out, settings=job.settings, workers=1))
    rows = read_cells(job.out / "cells.csv")
    assert [(row.specimen_id, row.label) for row in rows] == [
        ("9001", "Pvalb"),
        ("9002", ""),
        ("103", ""),
    ]


def test_the_same_build_again_finds_all_there(job: BuildJob) -> None:
    build(job)
    assert plan_build(job).complete is not None
    assert build(job).worked_on == 0


def test_the_same_file_again_is_a_double_another_recording_is_not(job: BuildJob) -> None:
    write_cell(job.folder / "again", "101")
    write_cell(job.folder / "by specimen", "9002")
    build(job)
    rows = {row.file: row for row in read_cells(job.out / "cells.csv")}
    (double,) = [row for row in rows.values() if row.status == "excluded"]
    assert len(rows) == 5
    assert double.reason.startswith("this specimen is there already: from again/")
    # Two recordings that differ are both of specimen 9002, whose donor and class are known.
    both = [row for row in rows.values() if "named by its file" in "; ".join(row.flags)]
    assert sorted(row.specimen_id for row in both) == [
        "sub-7_ses-102_icephys",
        "sub-7_ses-9002_icephys",
    ]
    assert {(row.donor_id, row.label, row.status) for row in both} == {
        ("331295", "Vip/Lamp5", "ok")
    }
