"""Folders of suite2p: F.npy, Fneu.npy and iscell.npy; what it pickles is not loaded."""

from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.calcium.readers.arrays import load_npy
from sts.calcium.readers.made import made
from sts.calcium.recording import Reading, Recording

# How much of the surrounding neuropil suite2p itself takes off.
NEUROPIL: Final = 0.7


def read_suite2p(folder: Path, reading: Reading) -> Recording:
    """Return the traces of the ROIs that are cells, neuropil taken off.

    The frame rate stands in a pickled file of suite2p: it must be given.
    """
    path = _find(folder)
    traces = load_npy(path / "F.npy").astype(np.float32)
    if traces.ndim != 2:
        raise StsError(f"F.npy of {path} has {traces.ndim} dimensions: (ROIs, frames) is wanted")
    if (path / "Fneu.npy").is_file():
        neuropil = load_npy(path / "Fneu.npy")
        if neuropil.shape != traces.shape:
            raise StsError(f"F.npy and Fneu.npy of {path} differ in shape: run suite2p again")
        traces = traces - np.float32(NEUROPIL) * neuropil.astype(np.float32)
    cells = np.arange(len(traces))
    if (path / "iscell.npy").is_file():
        judged = load_npy(path / "iscell.npy")
        if judged.ndim != 2 or len(judged) != len(traces):
            raise StsError(f"iscell.npy of {path} is not of these {len(traces)} ROIs")
        cells = np.flatnonzero(judged[:, 0] > 0)
    others = sorted(each.name for each in path.parent.glob("plane*") if each != path)
    named = path.name.startswith("plane") and others and folder != path
    notes = (
        (f"{path.name} is read, {', '.join(others)} left out: give its folder",) if named else ()
    )
    return made(
        folder,
        traces[cells],
        reading=reading,
        origin="suite2p",
        neurons=[str(cell) for cell in cells],
        unit="fluorescence",
        notes=notes,
    )


def _find(folder: Path) -> Path:
    for path in (folder, folder / "plane0", folder / "suite2p" / "plane0"):
        if (path / "F.npy").is_file():
            return path
    raise StsError(f"no F.npy in {folder}: a folder of suite2p is wanted, such as suite2p/plane0")
