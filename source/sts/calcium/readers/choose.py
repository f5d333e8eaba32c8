"""Which reader a path belongs to; imported when it is wanted, since some are slow to load."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sts.base.errors import StsError
from sts.calcium.recording import Reading, Recording, check_recording

# Ending -> module and function; each takes the path and how it is to be read.
READERS: Final = {
    ".npy": ("arrays", "read_npy"),
    ".npz": ("arrays", "read_npz"),
    ".h5": ("arrays", "read_hdf5"),
    ".hdf5": ("arrays", "read_hdf5"),
    ".nwb": ("ophys", "read_ophys"),
    ".mat": ("ground_truth", "read_cascade"),
    ".csv": ("ground_truth", "read_spikefinder"),
}
FOLDER: Final = ("suite2p", "read_suite2p")


def read_here(path: Path, reading: Reading) -> Recording:
    """Return the recording in a file, or in a folder of suite2p, checked, in this process."""
    module, function = FOLDER if path.is_dir() else reader_of(path)
    read: Callable[[Path, Reading], Recording] = getattr(
        importlib.import_module(f"sts.calcium.readers.{module}"), function
    )
    return check_recording(read(path, reading), least=reading.least)


def reader_of(path: Path) -> tuple[str, str]:
    """Return module and function that read a file of this ending."""
    if path.suffix.lower() not in READERS:
        raise StsError(
            f"{path} is of an unknown kind {path.suffix!r}: choose from {', '.join(READERS)}, or "
            "a folder of suite2p"
        )
    return READERS[path.suffix.lower()]


def check_path(path: Path) -> None:
    """Refuse what is neither a file nor a folder that can be read."""
    try:
        if not path.exists():
            raise StsError(f"no file or folder {path}")
        usual = path.is_file() or path.is_dir()
    except (OSError, ValueError) as error:
        raise StsError(f"cannot read {path}: {error}") from error
    if not usual:
        raise StsError(f"{path} is no file and no folder: a recording is wanted")
    if path.is_file():
        reader_of(path)
