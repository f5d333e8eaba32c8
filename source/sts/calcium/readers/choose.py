"""Which reader a path belongs to."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from sts.base.errors import StsError
from sts.calcium.readers.arrays import read_hdf5, read_npy, read_npz
from sts.calcium.readers.ground_truth import read_cascade, read_spikefinder
from sts.calcium.readers.ophys import read_ophys
from sts.calcium.readers.suite2p import read_suite2p
from sts.calcium.recording import Recording, check_recording

# Ending -> reader; each takes the path and a frame rate for files that name none.
READERS: Final[dict[str, Callable[[Path, float | None], Recording]]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".nwb": read_ophys,
    ".mat": read_cascade,
    ".csv": read_spikefinder,
}


def read_recording(path: Path, *, rate_hz: float | None = None) -> Recording:
    """Return the recording in a file, or in a folder of suite2p, checked."""
    if not path.exists():
        raise StsError(f"no file or folder {path}")
    if path.is_dir():
        return check_recording(read_suite2p(path, rate_hz))
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise StsError(
            f"{path} is of an unknown kind {path.suffix!r}: choose from {', '.join(READERS)}, or "
            "a folder of suite2p"
        )
    return check_recording(reader(path, rate_hz))
