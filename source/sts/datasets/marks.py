"""Marks that a user gave to cells in the viewer: a table of specimen_id, mark and note."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv
from sts.datasets.table import check_id, locate_errors

EXCLUDE: Final = "exclude"
MARKS: Final = ("wrong label", EXCLUDE, "look again")
# What marks.mjs writes; a table of the ids alone excludes all of them.
MARK_COLUMN: Final = "mark"
LONGEST_NOTE: Final = 2000


@dataclass(frozen=True, kw_only=True)
class CellMark:
    """The mark of one cell; a cell with a note alone has no mark."""

    specimen_id: str
    mark: str
    note: str = ""


def read_marks(path: Path) -> dict[str, CellMark]:
    """Return the marks of a table by specimen id; without a column `mark` all are `exclude`."""
    found: dict[str, CellMark] = {}
    for line, row in enumerate(read_csv(path, ["specimen_id"]), start=2):
        with locate_errors(f"{path}, line {line}"):
            mark = _read_mark(row)
            if mark.specimen_id in found:
                raise StsError(f"{mark.specimen_id} is there twice; keep one of its lines")
        found[mark.specimen_id] = mark
    return found


def _read_mark(row: Mapping[str, str]) -> CellMark:
    mark = row.get(MARK_COLUMN, EXCLUDE)
    note = " ".join(row.get("note", "").split())
    if len(note) > LONGEST_NOTE:
        raise StsError(f"a note has {len(note)} characters, at most {LONGEST_NOTE} are wanted")
    if not note.isprintable():
        raise StsError(f"a note holds a character that cannot be printed: {note[:60]!a}")
    return CellMark(
        specimen_id=check_id(row["specimen_id"]),
        mark=one_of(mark, MARKS, "mark") if mark else "",
        note=note,
    )


def excluded_of(marks: Iterable[CellMark]) -> dict[str, str]:
    """Return the note of each cell that is marked to be excluded."""
    return {mark.specimen_id: mark.note for mark in marks if mark.mark == EXCLUDE}
