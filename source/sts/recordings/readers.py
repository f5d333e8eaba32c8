"""The recordings in a folder, and the reader of each, selected by the content of the file."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py

from sts.base.errors import CellFailed, StsError
from sts.base.guard import SIGNATURE, open_hdf5, read_head
from sts.recordings import axograph, winwcp
from sts.recordings.abf import read_abf
from sts.recordings.axograph import read_axograph
from sts.recordings.nwb import (
    identity_in_nwb1,
    identity_in_nwb2,
    nwb_version,
    read_nwb1,
    read_nwb2,
)
from sts.recordings.recording import (
    FileIdentity,
    Recording,
    Wanted,
    identify_file,
    want_every_sweep,
)
from sts.recordings.winwcp import read_winwcp


@dataclass(frozen=True, kw_only=True)
class Reader:
    """The reader of one file format."""

    read: Callable[[Path, Wanted], Recording]
    identify: Callable[[Path], FileIdentity]
    """Returns the identity of the cell in a file, even if its sweeps cannot be used."""


def _identify_in(identify: Callable[[Any, Path], FileIdentity]) -> Callable[[Path], FileIdentity]:
    def open_and_identify(path: Path) -> FileIdentity:
        with open_hdf5(path) as file:
            return identify(file, path)

    return open_and_identify


SUFFIXES: Final = (".nwb", ".abf", ".wcp", ".axgd", ".axgx")
# The text from `content_of` starts with the key.
READERS: Final = {
    "NWB 2": Reader(read=read_nwb2, identify=_identify_in(identity_in_nwb2)),
    "NWB 1": Reader(read=read_nwb1, identify=_identify_in(identity_in_nwb1)),
    "ABF": Reader(read=read_abf, identify=partial(identify_file, stated="")),
    "WinWCP": Reader(read=read_winwcp, identify=partial(identify_file, stated="")),
    "AxoGraph": Reader(read=read_axograph, identify=partial(identify_file, stated="")),
}
# First bytes of files that are not HDF5, and the name of each kind in messages.
BEGINNINGS: Final = {
    b"ABF ": "ABF 1",
    b"ABF2": "ABF 2",
    winwcp.WCP_BEGINNING: "WinWCP",
    axograph.AXOGRAPH_4_BEGINNING: "AxoGraph 4",
    axograph.AXOGRAPH_X_BEGINNING: "AxoGraph X",
    b"MATLAB": "a MATLAB file",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"<": "a web page or XML file",
    # An annexed file that was not fetched is a pointer of one line.
    b"version https://git-lfs": "a Git LFS pointer whose file was not fetched",
    b"/annex/": "a git-annex pointer whose file was not fetched",
}


def find_recordings(folder: str | Path) -> list[Path]:
    """Return the recordings in a folder and its subfolders, in a fixed order; or the given file."""
    folder = Path(folder)
    if not folder.exists():
        raise StsError(f"no folder {folder}: give the folder that contains the recordings")
    # Anything else than a file or a folder is refused by the reader.
    if not folder.is_dir():
        return [folder]
    paths = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=_refuse)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
    if not paths:
        wanted = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        hint = "; Igor files (*.ibw) need --series" if any(folder.rglob("*.ibw")) else ""
        raise StsError(
            f"no recordings in {folder}: looked for {wanted} there and in subfolders{hint}"
        )
    return sorted(paths, key=lambda path: path.as_posix())


def _refuse(error: OSError) -> None:
    raise StsError(
        f"cannot read the folder {error.filename}: {(error.strerror or '').lower()}"
    ) from error


def read_recording(path: str | Path, wanted: Wanted = want_every_sweep) -> Recording:
    """Return the recording in a file; `CellFailed` explains why there is none.

    Parameters
    ----------
    path
        Its name has no effect: the reader is selected by the content.
    wanted
        Selects the sweeps by their current; the voltage of the others is not read.
    """
    path = Path(path)
    return _find_reader(path).read(path, wanted)


def read_identity(path: Path) -> FileIdentity | None:
    """Return the identity of the cell in a file, usable or not; None if unknown."""
    try:
        return _find_reader(path).identify(path)
    except CellFailed:
        return None


def _find_reader(path: Path) -> Reader:
    content = content_of(path)
    for kind, reader in READERS.items():
        if content.startswith(kind):
            return reader
    raise CellFailed(f"is {content}: this program reads {', '.join(READERS)}")


def content_of(path: Path) -> str:
    """Return the kind of a file, such as "NWB 2.2.5"."""
    head = read_head(path, 32)
    for start, name in BEGINNINGS.items():
        if head.startswith(start):
            return name
    # HDF5 may start after a block of the user's own, which h5py skips.
    if head and not head.startswith(SIGNATURE) and not h5py.is_hdf5(path):
        known = ", ".join(READERS)
        raise CellFailed(f"is neither HDF5 nor another known format: {known} are read")
    with open_hdf5(path) as file:
        version = nwb_version(file)
    return f"NWB {version}" if version else "an HDF5 file without an NWB version"
