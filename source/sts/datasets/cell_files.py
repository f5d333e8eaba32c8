"""The files of each cell, and how they are joined to one recording.

If every protocol has its own file, the user declares the cells in a table; the sweeps of such a
cell have consecutive numbers through all its files.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sts.base.errors import CellFailed, StsError
from sts.base.files import read_csv, sha256_of, special_kind
from sts.base.logs import printable
from sts.recordings.gather import check_size
from sts.recordings.igor import read_waves
from sts.recordings.readers import read_identity, read_recording
from sts.recordings.recording import MAX_ID, FileIdentity, Recording, Wanted, is_no_id
from sts.signals.steps import find_stimulus

DECLARED_COLUMNS: Final = ("file", "specimen_id")


@dataclass(frozen=True, kw_only=True)
class FileStamp:
    """The state of a file at one moment; its size is -1 if it could not be read."""

    file: str
    size: int = -1
    mtime_ns: int = -1
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class CellFiles:
    """The files of one cell, and its ids if the user has declared it."""

    name: str
    """The common name of all files of the cell in the tables."""
    paths: dict[str, Path]
    """The paths by file name, in the order of their sweeps."""
    specimen_id: str = ""
    donor_id: str = ""
    waves: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """The number and the files of every sweep, if each file holds one channel of one sweep."""
    lacking: tuple[str, ...] = ()
    """Words for its sweeps that lack a file."""

    def to_json(self) -> dict[str, Any]:
        """Return the cell as values for JSON."""
        return {**vars(self), "paths": {file: str(path) for file, path in self.paths.items()}}


def cell_files_from_json(values: dict[str, Any]) -> CellFiles:
    """Return the cell from the values of `to_json`."""
    paths = {file: Path(path) for file, path in values["paths"].items()}
    waves = tuple((number, tuple(files)) for number, files in values["waves"])
    return CellFiles(
        **{**values, "paths": paths, "waves": waves, "lacking": tuple(values["lacking"])}
    )


def stamp_file(path: Path, *, file: str) -> FileStamp:
    """Return the state and the digest of a file; FIFOs and devices are never opened."""
    try:
        state = path.stat()
        known = FileStamp(file=file, size=state.st_size, mtime_ns=state.st_mtime_ns)
    except OSError:
        return FileStamp(file=file)
    try:
        return known if special_kind(path) else replace(known, sha256=sha256_of(path))
    except OSError:
        return known


def stamp_cell(cell: CellFiles) -> tuple[FileStamp, ...]:
    """Return the state of every file of a cell."""
    return tuple(stamp_file(path, file=file) for file, path in cell.paths.items())


def is_unchanged(stamp: FileStamp, path: Path) -> bool:
    """Tell from the state of a file alone whether it is unchanged."""
    try:
        state = path.stat()
    except OSError:
        return stamp.size < 0
    return (state.st_size, state.st_mtime_ns) == (stamp.size, stamp.mtime_ns)


def read_cell(
    cell: CellFiles, stamps: Sequence[FileStamp], wanted: Wanted = find_stimulus
) -> Recording:
    """Return the wanted sweeps of all files of a cell; a note names files that cannot be read."""
    if cell.waves:
        return _read_series(cell, stamps, wanted)
    if len(cell.paths) == 1:
        return _read_file(next(iter(cell.paths.values())), stamps[0], wanted)
    found: dict[str, Recording] = {}
    faults: dict[str, str] = {}
    for stamp, twin in _find_copies(stamps):
        if twin:
            faults[stamp.file] = f"the same as {twin}"
            continue
        try:
            found[stamp.file] = _read_file(cell.paths[stamp.file], stamp, wanted)
        except CellFailed as error:
            faults[stamp.file] = printable(str(error))
    if not found:
        file, fault = next(iter(faults.items()))
        raise CellFailed(f"none of its {len(faults)} files can be read: {file} {fault}")
    left_out = (f"left out {file}: {_write_on_one_line(fault)}" for file, fault in faults.items())
    joined = _join_recordings(cell, found)
    return replace(joined, notes=(*joined.notes, *left_out))


def _read_series(cell: CellFiles, stamps: Sequence[FileStamp], wanted: Wanted) -> Recording:
    sweeps = {number: [cell.paths[file] for file in files] for number, files in cell.waves}
    identity = FileIdentity(specimen_id=cell.specimen_id)
    recording = read_waves(sweeps, wanted, name=cell.name, identity=identity, skipped=cell.lacking)
    for stamp in stamps:
        if not is_unchanged(stamp, cell.paths[stamp.file]):
            raise CellFailed(f"{stamp.file} changed while it was read: run it again")
    return recording


def _read_file(path: Path, stamp: FileStamp, wanted: Wanted) -> Recording:
    recording = read_recording(path, wanted)
    if not is_unchanged(stamp, path):
        raise CellFailed("changed while it was read: run it again once it is complete")
    return recording


def _find_copies(stamps: Sequence[FileStamp]) -> Iterator[tuple[FileStamp, str]]:
    """Yield every file, with the name of an earlier file that has the same bytes, or ""."""
    first: dict[str, str] = {}
    for stamp in stamps:
        twin = first.get(stamp.sha256, "") if stamp.sha256 else ""
        first.setdefault(stamp.sha256, stamp.file)
        yield stamp, twin


def _join_recordings(cell: CellFiles, found: dict[str, Recording]) -> Recording:
    """Return the sweeps of several files with common numbers, which a note describes."""
    donors = sorted({each.donor_id for each in found.values()} - {""})
    if len(donors) > 1 and not cell.donor_id:
        raise CellFailed(
            f"its files name {len(donors)} donors, {' and '.join(donors)}: declare the donor_id in "
            "--cells, then add --resume"
        )
    sweeps = []
    numbered = []
    begin = 0
    for file, recording in found.items():
        numbered.append(f"{file} from {begin}")
        sweeps += [replace(sweep, number=begin + sweep.number) for sweep in recording.sweeps]
        begin = max((sweep.number + 1 for sweep in sweeps), default=0)
    check_size(sum(len(sweep.voltage_mv) for sweep in sweeps))
    recordings = list(found.values())
    return replace(
        recordings[0],
        donor_id=donors[0] if len(donors) == 1 else "",
        sweeps=tuple(sweeps),
        skipped=tuple(line for each in recordings for line in each.skipped),
        unread=sum(each.unread for each in recordings),
        notes=(f"read together, sweeps numbered: {', '.join(numbered)}",),
    )


def _write_on_one_line(text: str) -> str:
    # Semicolons separate flags.
    return " ".join(text.replace(";", ",").split())


def identity_of_cell(cell: CellFiles) -> FileIdentity | None:
    """Return the identity in the files of a cell that could not be measured."""
    identities = (read_identity(path) for path in cell.paths.values())
    return next((identity for identity in identities if identity is not None), None)


def group_files(paths: Mapping[str, Path], table: Path | None) -> dict[str, CellFiles]:
    """Return the cells by name: the cells declared in a table; any other file is a cell."""
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
    for line, row in enumerate(read_csv(table, DECLARED_COLUMNS), start=2):
        where = f"{table}, line {line}"
        file = _find_file(row["file"], paths, table, where)
        if file in lines:
            raise StsError(
                f"{where}: {file} is declared in line {lines[file]} already; keep one of them"
            )
        lines[file] = line
        specimen = _check_id(row["specimen_id"], where)
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
        raise StsError(f"no cell in {table}: lines of file,specimen_id,donor_id are needed")
    named = (replace(cell, name=" + ".join(cell.paths)) for cell in cells.values())
    return {cell.name: cell for cell in named}


def _check_id(specimen: str, where: str) -> str:
    if is_no_id(specimen) or not specimen.isprintable():
        raise StsError(
            f"{where}: {printable(specimen[:60])!r} is no specimen_id; 1 to {MAX_ID} characters "
            "are needed, none of them a control character"
        )
    return specimen


def _find_file(file: str, paths: Mapping[str, Path], table: Path, where: str) -> str:
    """Return the name of a recording; a table can refer to it in several ways."""
    for name in _list_candidates(file, paths, table):
        return name
    near = difflib.get_close_matches(file, paths, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise StsError(f"{where}: no recording {printable(file[:MAX_ID])!r} in the folder{hint}")


def _list_candidates(file: str, paths: Mapping[str, Path], table: Path) -> Iterator[str]:
    """Yield names of the recording: as in cells.csv, by path, by a file name that is unique."""
    if file in paths:
        yield file
    if "\0" not in file:
        spots = {Path(file).absolute(), (table.parent / file).absolute()}
        yield from (name for name, path in paths.items() if path.absolute() in spots)
    alone = [name for name, path in paths.items() if path.name == file]
    if len(alone) == 1:
        yield alone[0]
