"""The files of one cell become one recording, its sweeps numbered through all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sts.base.errors import CellFailed
from sts.base.files import sha256_of, special_kind
from sts.base.logs import printable
from sts.recordings.gather import check_size
from sts.recordings.naming import FileIdentity
from sts.recordings.readers import identity_of, read_recording
from sts.recordings.recording import Recording
from sts.signals.steps import has_stimulus


@dataclass(frozen=True, kw_only=True)
class FileStamp:
    """How a file was when it was looked at; a size of -1 where that was not possible."""

    file: str
    size: int = -1
    mtime_ns: int = -1
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class CellFiles:
    """The files of one cell, and who it is if the user has declared it."""

    name: str
    """How the cell's files are called together in the tables."""
    paths: dict[str, Path]
    """By their own names, in the order of their sweeps."""
    specimen_id: str = ""
    donor_id: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class CellRead:
    """What was read of a cell, and what is to be said of its files."""

    recording: Recording
    notes: tuple[str, ...] = field(default=())


def stamp_file(path: Path, *, file: str) -> FileStamp:
    """Return the state and the digest of a file; of what is no file nothing is opened."""
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
    """Tell whether a file is there as it was, by its state alone."""
    try:
        state = path.stat()
    except OSError:
        return stamp.size < 0
    return (state.st_size, state.st_mtime_ns) == (stamp.size, stamp.mtime_ns)


def read_cell(cell: CellFiles, stamps: Sequence[FileStamp]) -> CellRead:
    """Return what all files of a cell hold; one that cannot be read is left out and named."""
    if len(cell.paths) == 1:
        return CellRead(recording=_read_file(next(iter(cell.paths.values())), stamps[0]))
    found: dict[str, Recording] = {}
    faults: dict[str, str] = {}
    for stamp, twin in _with_twins(stamps):
        if twin:
            faults[stamp.file] = f"the same as {twin}"
            continue
        try:
            found[stamp.file] = _read_file(cell.paths[stamp.file], stamp)
        except CellFailed as error:
            faults[stamp.file] = printable(str(error))
    if not found:
        file, fault = next(iter(faults.items()))
        raise CellFailed(f"none of its {len(faults)} files can be read: {file} {fault}")
    left_out = (f"left out {file}: {_on_one_line(fault)}" for file, fault in faults.items())
    joined, read = _join(cell, found)
    return CellRead(recording=joined, notes=(read, *left_out))


def _read_file(path: Path, stamp: FileStamp) -> Recording:
    recording = read_recording(path, has_stimulus)
    if not is_unchanged(stamp, path):
        raise CellFailed("changed while it was read: run it again once it is complete")
    return recording


def _with_twins(stamps: Sequence[FileStamp]) -> Iterator[tuple[FileStamp, str]]:
    """Yield every file, with the name of an earlier one of the same bytes or ""."""
    first: dict[str, str] = {}
    for stamp in stamps:
        twin = first.get(stamp.sha256, "") if stamp.sha256 else ""
        first.setdefault(stamp.sha256, stamp.file)
        yield stamp, twin


def _join(cell: CellFiles, found: dict[str, Recording]) -> tuple[Recording, str]:
    """Return the sweeps of several files under one numbering, and how they are numbered."""
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
    whole = replace(
        recordings[0],
        donor_id=donors[0] if len(donors) == 1 else "",
        sweeps=tuple(sweeps),
        skipped=tuple(line for each in recordings for line in each.skipped),
        unread=sum(each.unread for each in recordings),
    )
    return whole, f"read together, sweeps numbered: {', '.join(numbered)}"


def _on_one_line(text: str) -> str:
    # Flags are parted by semicolons.
    return " ".join(text.replace(";", ",").split())


def identity_of_cell(cell: CellFiles) -> FileIdentity | None:
    """Return who the files of a cell say it is, though it could not be measured."""
    found = (identity_of(path) for path in cell.paths.values())
    return next((each for each in found if each is not None), None)
