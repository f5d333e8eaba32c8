"""Marks from the viewer leave cells out of a build, and `check` lists them."""

from dataclasses import replace
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.datasets.build import BuildJob, build
from sts.datasets.check import NOTE, check
from sts.datasets.marks import excluded_of, read_marks
from sts.datasets.store import load_store
from tests.datasets.builds import BOTH, cell_rows, feature_rows
from tests.studies.cells import write_cell


def write_marks(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["specimen_id,mark,note", *lines]) + "\n", encoding="utf-8")
    return path


def test_marks_are_read_with_their_notes(tmp_path: Path) -> None:
    marks = read_marks(
        write_marks(tmp_path / "m.csv", "a,exclude,seal lost", "b,,look", "'=c,look again,")
    )
    assert excluded_of(marks.values()) == {"a": "seal lost"}
    assert (marks["b"].mark, marks["b"].note) == ("", "look")
    assert marks["=c"].mark == "look again"


def test_a_table_of_ids_alone_excludes_all(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("specimen_id\n1\n2\n")
    assert excluded_of(read_marks(path).values()) == {"1": "", "2": ""}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a,exlude,", r"line 3: unknown mark 'exlude': did you mean 'exclude'"),
        (",exclude,", "line 3: no specimen id"),
        ("x,exclude,", "line 3: x is there twice"),
        (f"a,exclude,{'n' * 2001}", "2001 characters"),
        ("a,exclude,\x07", "cannot be printed"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = write_marks(tmp_path / "m.csv", "x,exclude,", line)
    with pytest.raises(StsError, match=words):
        read_marks(path)


def test_excluded_cells_leave_a_data_set_and_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    for specimen in ("101", "102", "103"):
        write_cell(folder, specimen)
    marks = write_marks(
        tmp_path / "m.csv", "102,exclude,seal lost", "101,look again,", "9,exclude,"
    )
    job = BuildJob(folder=folder, out=tmp_path / "out", settings=BOTH, workers=1)
    report = build(replace(job, exclude=marks))
    assert report.not_found == ("9",)
    assert load_store(job.out / "sweeps.h5").specimen_id.tolist() == ["101", "103"]
    for rows in (cell_rows(job), feature_rows(job)):
        (row,) = [row for row in rows.values() if row.specimen_id == "102"]
        assert (row.status, row.reason) == ("excluded", "marked to be excluded: seal lost")
    assert build(replace(job, exclude=marks)).worked_on == 0
    # without the marks the cell is read again, the others are not
    assert build(job).worked_on == 1
    assert load_store(job.out / "sweeps.h5").specimen_id.tolist() == ["101", "102", "103"]
    # with them it leaves a finished data set without any reading
    assert build(replace(job, exclude=marks)).worked_on == 0
    assert load_store(job.out / "sweeps.h5").specimen_id.tolist() == ["101", "103"]
    (line,) = [one for one in check(job.out, marks=marks).lines(NOTE) if "look again" in one]
    assert line == "1 cells are marked as 'look again' by you: 101 (no note)"
    assert "2 marks are of cells that are in no store or table" in " ".join(
        check(job.out, marks=marks).lines(NOTE)
    )
