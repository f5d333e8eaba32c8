"""Which files are one cell: declared in a table, where every protocol has a file of its own."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.base.logs import printable
from sts.datasets.reading import CellFiles
from sts.recordings.naming import MAX_ID, says_nothing

COLUMNS: Final = ("file", "specimen_id")


def group_files(paths: Mapping[str, Path], table: Path | None) -> dict[str, CellFiles]:
    """Return the cells that files make up, by name: those a table declares, else each file one."""
    cells = {} if table is None else _read_declared(table, paths)
    taken = {file for cell in cells.values() for file in cell.paths}
    single = {
        name: CellFiles(name=name, paths={name: path})
        for name, path in paths.items()
        if name not in taken
    }
    return dict(sorted((cells | single).items()))


def _read_declared(table: Path, paths: Mapping[str, Path]) -> dict[str, CellFiles]:
    """Return the declared cells; their files are read in the order of the table."""
    cells: dict[str, CellFiles] = {}
    lines: dict[str, int] = {}
    for line, row in enumerate(read_csv(table, COLUMNS), start=2):
        where = f"{table}, line {line}"
        file = _find(row["file"], paths, table, where)
        if file in lines:
            raise StsError(
                f"{where}: {file} is declared in line {lines[file]} already; keep one of them"
            )
        lines[file] = line
        specimen = _checked_id(row["specimen_id"], where)
        donor = row.get("donor_id", "")
        cell = cells.get(specimen, CellFiles(name="", paths={}, specimen_id=specimen))
        if donor and cell.donor_id and donor != cell.donor_id:
            raise StsError(
                f"{where}: specimen {specimen} has donor {cell.donor_id} in a line before, here "
                f"{donor}; one specimen has one donor"
            )
        cells[specimen] = replace(
            cell, paths=cell.paths | {file: paths[file]}, donor_id=cell.donor_id or donor
        )
    if not cells:
        raise StsError(f"no cell in {table}: lines of file,specimen_id,donor_id are wanted")
    named = (replace(cell, name=" + ".join(cell.paths)) for cell in cells.values())
    return {cell.name: cell for cell in named}


def _checked_id(specimen: str, where: str) -> str:
    if says_nothing(specimen) or not specimen.isprintable():
        raise StsError(
            f"{where}: {printable(specimen[:60])!r} is no specimen_id; 1 to {MAX_ID} characters "
            "are wanted, none of them a control character"
        )
    return specimen


def _find(file: str, paths: Mapping[str, Path], table: Path, where: str) -> str:
    """Return the name of a recording that a table names in any of the ways people do."""
    for name in _candidates(file, paths, table):
        return name
    near = difflib.get_close_matches(file, paths, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise StsError(f"{where}: no recording {printable(file[:MAX_ID])!r} in the folder{hint}")


def _candidates(file: str, paths: Mapping[str, Path], table: Path) -> Iterator[str]:
    """Yield names: as in cells.csv, as a path, as a file name that only one recording has."""
    if file in paths:
        yield file
    if "\0" not in file:
        spots = {Path(file).absolute(), (table.parent / file).absolute()}
        yield from (name for name, path in paths.items() if path.absolute() in spots)
    alone = [name for name, path in paths.items() if path.name == file]
    if len(alone) == 1:
        yield alone[0]
