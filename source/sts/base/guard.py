"""What an HDF5 file may not do to its reader: point elsewhere, or claim more than it holds."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base.errors import CellFailed
from sts.base.files import special_kind
from sts.base.types import Floats, Ints

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
# A sweep of 160 s at 200 kHz, in float64; real ones are a tenth of it.
MAX_SAMPLES: Final = 2**25
MAX_ARRAY_BYTES: Final = 8 * MAX_SAMPLES
# Deflate, the tightest of the filters in use, cannot pack more than 1032 bytes into one.
MAX_RATIO: Final = 2000
MAX_TEXT_BYTES: Final = 2**16
MAX_HOPS: Final = 8
# What h5py raises over a broken file, as seen on thousands of mutated ones.
BROKEN: Final = (
    OSError,
    RuntimeError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    OverflowError,
)


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading; whatever is wrong with it becomes one `CellFailed`."""
    _check_signature(path)
    try:
        # Many network file systems cannot lock, and a reader has no need to.
        file = h5py.File(path, "r", locking=False)
    except BROKEN as error:
        raise CellFailed(f"is truncated or damaged: {said(error)}") from error
    with file:
        try:
            yield file
        except BROKEN as error:
            raise CellFailed(f"cannot be read: {said(error)}") from error
        except MemoryError as error:
            raise CellFailed("cannot be read: it takes more memory than there is") from error


def read_head(path: Path, size: int) -> bytes:
    """Return the first bytes of a file; what is no file is refused before it is opened."""
    try:
        # A FIFO or a device may keep its reader waiting for ever.
        if kind := special_kind(path):
            raise CellFailed(f"is {kind}: it is not opened, a file is wanted")
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise CellFailed(f"cannot be opened: {(error.strerror or str(error)).lower()}") from error


def _check_signature(path: Path) -> None:
    head = read_head(path, len(SIGNATURE))
    if not head:
        raise CellFailed("is empty: copy or download it again")
    # HDF5 may begin behind a block of the user's own; h5py then looks for the signature there.
    if head != SIGNATURE and not h5py.is_hdf5(path):
        raise CellFailed("is not an HDF5 file: an NWB file is wanted")


def said(error: BaseException) -> str:
    """Return what an exception says, in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."


def member(group: Any, name: str, *, hops: int = MAX_HOPS) -> Any:
    """Return a member of a group or None; soft links are followed, links out of the file refused.

    Parameters
    ----------
    group
        An open h5py group.
    name
        One step, not a path: each step of a path could leave the file.
    hops
        How many soft links may still lead to one another.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if isinstance(link, h5py.HardLink):
        return group[name]
    if isinstance(link, h5py.SoftLink):
        if hops == 0:
            raise CellFailed(f"is not safe to read: the links at {name!r} lead in a circle")
        start = group.file if link.path.startswith("/") else group
        return follow(start, link.path, hops=hops - 1)
    raise CellFailed(f"is not safe to read: {name!r} is a link to another file")


def follow(group: Any, path: str, *, hops: int = MAX_HOPS) -> Any:
    """Return what lies at the end of a path, each of its steps guarded, or None."""
    node = group
    for step in path.split("/"):
        if step in ("", "."):
            continue
        if not isinstance(node, h5py.Group):
            return None
        node = member(node, step, hops=hops)
    return node


def attribute(node: Any, name: str) -> Any:
    """Return an attribute of a group or data set, None where there is none."""
    if name not in node.attrs:
        return None
    if node.attrs.get_id(name).get_storage_size() > MAX_TEXT_BYTES:
        raise CellFailed(f"is not safe to read: the attribute {name!r} is huge")
    return node.attrs[name]


def value(group: Any, name: str) -> Any:
    """Return a single value kept as attribute or as data set, None where there is none."""
    found = attribute(group, name)
    if found is None and isinstance(group, h5py.Group):
        node = member(group, name)
        if not isinstance(node, h5py.Dataset) or node.size != 1:
            return None
        check_claim(node, max_bytes=MAX_TEXT_BYTES)
        found = node[()]
    if isinstance(found, np.ndarray):
        found = found.flat[0] if found.size == 1 else None
    return found


def text(group: Any, name: str) -> str:
    """Return a text kept as attribute or as data set of a group, on one line, "" where none is."""
    found = value(group, name)
    if isinstance(found, bytes):
        found = found.decode("utf-8", errors="replace")
    words = "" if found is None else " ".join(str(found).split())
    return "".join(letter for letter in words if letter.isprintable())


def number(group: Any, name: str) -> float | None:
    """Return a number kept as attribute or as data set, None where there is none."""
    found = value(group, name)
    return float(found) if isinstance(found, int | float | np.number | np.bool_) else None


def array(dataset: Any, *, max_bytes: int = MAX_ARRAY_BYTES) -> Floats | Ints:
    """Return the numbers of a data set, once it has been seen to hold what it claims."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
        raise TypeError("numbers were expected")
    check_claim(dataset, max_bytes=max_bytes)
    values: Floats | Ints = dataset[()]
    return values


def read_trace(dataset: Any, *, end: int | None = None) -> Floats | Ints:
    """Return the samples of one trace up to `end`, without reading what lies behind."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
        raise TypeError("numbers were expected")
    check_claim(dataset)
    samples = math.prod(dataset.shape or ())
    if samples > MAX_SAMPLES:
        raise CellFailed(
            f"is not safe to read: {dataset.name} claims {samples} samples, "
            f"{MAX_SAMPLES} are allowed"
        )
    values: Floats | Ints = dataset[()] if end is None or dataset.ndim != 1 else dataset[:end]
    return values


def check_claim(dataset: Any, *, max_bytes: int = MAX_ARRAY_BYTES) -> None:
    """Refuse data kept outside the file, and more of it than is sane or than the file can hold."""
    name = dataset.name
    if dataset.external:
        raise CellFailed(f"is not safe to read: the data of {name} lie in another file")
    if dataset.is_virtual:
        raise CellFailed(f"is not safe to read: {name} is a virtual data set")
    itemsize = dataset.dtype.itemsize
    claimed = math.prod(dataset.shape or ()) * itemsize
    # A chunk is read whole, however little of it is wanted.
    largest = max(claimed, math.prod(dataset.chunks or ()) * itemsize)
    if largest > max_bytes:
        raise CellFailed(
            f"is not safe to read: {name} claims {largest / 1e6:.0f} MB, "
            f"{max_bytes / 1e6:.0f} MB are allowed"
        )
    held = dataset.id.get_storage_size()
    if claimed and not held:
        raise ValueError("nothing was ever written there")
    if claimed > held * (MAX_RATIO if dataset.chunks else 1):
        raise CellFailed(
            f"is not safe to read: {name} claims {claimed} bytes, which the file cannot hold"
        )
