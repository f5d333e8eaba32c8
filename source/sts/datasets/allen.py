"""The tables of cells of the Allen Institute: identity, and the class that metadata indicate."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.base.types import CLASSES

MAPPING: Final = Path(__file__).with_name("mapping.csv")
_MOUSE: Final = "Mus musculus"
# The laboratory's number of a mouse: the only name that is the same in both data sets.
DONOR_NUMBER: Final = re.compile(r"-(\d{5,7})$")


@dataclass(frozen=True, kw_only=True)
class AllenCell:
    """One mouse neuron in a table; texts are empty if the table has none."""

    specimen_id: str
    dataset: str
    donor_id: str = ""
    session_id: str = ""
    """The id in the name of its file in the DANDI archive (`ses`), not the specimen id."""
    line: str = ""
    """The transgenic line, which determines the class of a cell without a T-type."""
    t_type: str = ""
    dendrite: str = ""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The class that metadata indicate, or none, and the reason."""

    label: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class AllenTable:
    """The names of the required columns of a table."""

    dataset: str
    specimen_id: str
    donor_id: str
    donor_name: str
    dendrite: str
    session_id: str = ""
    line: str = ""
    t_type: str = ""
    species: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that are needed."""
        names = (getattr(self, name) for name in self.__dataclass_fields__ if name != "dataset")
        return tuple(name for name in names if name)


# The first table is used without the transgenic line: the T-type is more reliable, and is Pvalb for
# many cells from a Vip line.
TABLES: Final = {
    "20200711_patchseq_metadata_mouse.csv": AllenTable(
        dataset="PatchSeq",
        specimen_id="cell_specimen_id",
        donor_id="donor_id",
        donor_name="donor_name",
        dendrite="dendrite_type",
        session_id="ephys_session_id",
        t_type="t_type",
    ),
    "cell_types_specimen_details.csv": AllenTable(
        dataset="PatchClamp",
        specimen_id="specimen__id",
        donor_id="donor__id",
        donor_name="donor__name",
        dendrite="tag__dendrite_type",
        line="line_name",
        species="donor__species",
    ),
}


def is_allen_table(columns: Iterable[str]) -> bool:
    """Tell from the names of its columns whether a table is from the Allen Institute."""
    header = set(columns)
    return any(
        table.specimen_id in header and table.dendrite in header for table in TABLES.values()
    )


def read_allen(path: Path) -> dict[str, AllenCell]:
    """Return the mouse neurons of a table by specimen id."""
    rows = read_csv(path, [])
    columns = set(rows[0]) if rows else set()
    for table in TABLES.values():
        if {table.specimen_id, table.dendrite} <= columns:
            return _cells(path, table)
    raise StsError(
        f"{path} is no table of cells of the Allen Institute: expected one of {', '.join(TABLES)}"
    )


def find_allen(folders: Iterable[Path]) -> list[Path]:
    """Return the tables of the Allen Institute in these folders, each once."""
    paths = (folder / name for folder in folders for name in TABLES)
    return list(dict.fromkeys(path.resolve() for path in paths if path.is_file()))


def _cells(path: Path, table: AllenTable) -> dict[str, AllenCell]:
    cells: dict[str, AllenCell] = {}
    sessions: set[str] = set()
    for row in read_csv(path, table.columns):
        if table.species and row[table.species] != _MOUSE:
            continue
        cell = _cell(row, table)
        if not cell.specimen_id.isdigit():
            raise StsError(f"{path}: {cell.specimen_id!r} is no specimen id: digits are needed")
        if cell.specimen_id in cells or (cell.session_id and cell.session_id in sessions):
            raise StsError(
                f"{path} contains specimen {cell.specimen_id} or its session twice: fetch it again"
            )
        cells[cell.specimen_id] = cell
        sessions.add(cell.session_id)
    return cells


def _cell(row: Mapping[str, str], table: AllenTable) -> AllenCell:
    own = {
        name: row[column]
        for name in ("specimen_id", "session_id", "line", "t_type", "dendrite")
        if (column := getattr(table, name))
    }
    number = DONOR_NUMBER.search(row[table.donor_name])
    donor = number.group(1) if number else row[table.donor_id]
    own["line"] = "|".join(sorted(own.get("line", "").split("|")))
    return AllenCell(**own, dataset=table.dataset, donor_id=donor)


def by_name(cells: Iterable[AllenCell]) -> dict[str, AllenCell]:
    """Return cells by every id that a file can have: specimen id and session id."""
    names: dict[str, AllenCell] = {}
    for cell in cells:
        names |= {name: cell for name in (cell.session_id, cell.specimen_id) if name}
    return names


@cache
def mapping() -> dict[str, dict[str, Assignment]]:
    """Return the class that each T-type, line and dendrite indicates, by kind and name."""
    table: dict[str, dict[str, Assignment]] = {}
    for row in read_csv(MAPPING, ["kind", "name", "label", "reason"]):
        known = table.setdefault(row["kind"], {})
        known[row["name"]] = Assignment(label=row["label"], reason=row["reason"])
    return table


def assign(cell: AllenCell) -> Assignment:
    """Return the class that a cell's metadata indicate.

    The T-type decides if there is one, else the transgenic line, else the dendrite. A line whose
    class contradicts the dendrite decides nothing.
    """
    if cell.t_type:
        subclass = cell.t_type.split()[0]
        return mapping()["T-type"].get(subclass, _unknown("T-type", subclass))
    if not cell.line:
        return mapping()["dendrite"].get(cell.dendrite, _unknown("dendrite", cell.dendrite))
    by_line = mapping()["line"].get(cell.line, _unknown("line", cell.line))
    if contradicts(by_line.label, cell.dendrite):
        return Assignment(
            label="",
            reason=f"{cell.line} indicates {by_line.label}, but the dendrite is {cell.dendrite}",
        )
    return by_line


def _unknown(kind: str, name: str) -> Assignment:
    return Assignment(label="", reason=f"{kind} {name!r} is not in {MAPPING.name}")


def contradicts(label: str, dendrite: str) -> bool:
    """Tell whether a class and a dendrite exclude each other; sparse spines exclude nothing."""
    if label not in CLASSES:
        return False
    return dendrite == ("aspiny" if label == "Excitatory" else "spiny")
