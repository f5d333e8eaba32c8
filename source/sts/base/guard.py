"""HDF5 files: read with checks, since a file may be hostile, and written completely or not at all.

A hostile file may link to other files, or claim more data than it contains.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base.errors import CellFailed
from sts.base.files import atomic_path, special_kind
from sts.base.types import Floats, Ints

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
# Longest sweep: 160 s at 200 kHz; real ones have a tenth of it.
MAX_SWEEP_SAMPLES: Final = 2**25
# Largest array: such a sweep in float64.
MAX_ARRAY_BYTES: Final = 8 * MAX_SWEEP_SAMPLES
# Highest compression: Deflate, the strongest filter in use, packs at most 1032 bytes in one.
MAX_RATIO: Final = 2000
MAX_TEXT_BYTES: Final = 2**16
# Largest number of soft links in a chain.
MAX_SOFT_LINKS: Final = 8
# Exceptions that h5py raises on a broken file, as seen on thousands of damaged ones.
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
    """Open an HDF5 file for reading; anything wrong with it is raised as `CellFailed`."""
    head = read_head(path, len(SIGNATURE))
    if not head:
        raise CellFailed("is empty: copy or download it again")
    # HDF5 may begin after a block of the user's own; h5py then looks for the signature there.
    if head != SIGNATURE and not h5py.is_hdf5(path):
        raise CellFailed("is not an HDF5 file: an NWB file is needed")
    try:
        # Many network file systems have no locks, and a reader needs none.
        file = h5py.File(path, "r", locking=False)
    except BROKEN as error:
        raise CellFailed(f"is truncated or damaged: {describe_error(error)}") from error
    with file:
        try:
            yield file
        except BROKEN as error:
            raise CellFailed(f"cannot be read: {describe_error(error)}") from error
        except MemoryError as error:
            raise CellFailed("cannot be read: there is not enough memory") from error


def read_head(path: Path, size: int) -> bytes:
    """Return the first bytes of a file; a FIFO or a device is refused, not opened."""
    try:
        if kind := special_kind(path):
            raise CellFailed(f"is {kind}: it is not opened, a regular file is needed")
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise CellFailed(f"cannot be opened: {(error.strerror or str(error)).lower()}") from error


def describe_error(error: BaseException) -> str:
    """Return the message of an exception in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."


def member(group: Any, name: str, *, hops: int = MAX_SOFT_LINKS) -> Any:
    """Return a member of a group or None; follow soft links, refuse links to other files.

    Parameters
    ----------
    group
        An open h5py group.
    name
        One step, not a path: each step of a path could leave the file.
    hops
        Number of soft links that may still be followed.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if isinstance(link, h5py.HardLink):
        return group[name]
    if isinstance(link, h5py.SoftLink):
        if hops == 0:
            raise CellFailed(f"is not safe to read: the links at {name!r} form a circle")
        start = group.file if link.path.startswith("/") else group
        return follow(start, link.path, hops=hops - 1)
    raise CellFailed(f"is not safe to read: {name!r} is a link to another file")


def follow(group: Any, path: str, *, hops: int = MAX_SOFT_LINKS) -> Any:
    """Return the object at the end of a path, or None; each step is checked as in `member`."""
    node = group
    for step in path.split("/"):
        if step in ("", "."):
            continue
        if not isinstance(node, h5py.Group):
            return None
        node = member(node, step, hops=hops)
    return node


def attribute(node: Any, name: str) -> Any:
    """Return an attribute of a group or data set, or None."""
    if name not in node.attrs:
        return None
    if node.attrs.get_id(name).get_storage_size() > MAX_TEXT_BYTES:
        raise CellFailed(f"is not safe to read: the attribute {name!r} is huge")
    return node.attrs[name]


def value(group: Any, name: str) -> Any:
    """Return a single value of an attribute or a data set, or None."""
    stored = attribute(group, name)
    if stored is None and isinstance(group, h5py.Group):
        node = member(group, name)
        if not isinstance(node, h5py.Dataset) or node.size != 1:
            return None
        check_claim(node, max_bytes=MAX_TEXT_BYTES)
        stored = node[()]
    if isinstance(stored, np.ndarray):
        stored = stored.flat[0] if stored.size == 1 else None
    return stored


def text(group: Any, name: str) -> str:
    """Return the text of an attribute or a data set, on one line; "" without one."""
    stored = value(group, name)
    if isinstance(stored, bytes):
        stored = stored.decode("utf-8", errors="replace")
    words = "" if stored is None else " ".join(str(stored).split())
    return "".join(letter for letter in words if letter.isprintable())


def number(group: Any, name: str) -> float | None:
    """Return the number of an attribute or a data set, or None."""
    stored = value(group, name)
    return float(stored) if isinstance(stored, int | float | np.number | np.bool_) else None


def array(dataset: Any, *, max_bytes: int = MAX_ARRAY_BYTES) -> Floats | Ints:
    """Return the numbers of a data set, after checking its size against the file."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
        raise TypeError("numbers were expected")
    check_claim(dataset, max_bytes=max_bytes)
    values: Floats | Ints = dataset[()]
    return values


def read_trace(dataset: Any, *, end: int | None = None) -> Floats | Ints:
    """Return the samples of one trace up to `end`, without reading the rest."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
        raise TypeError("numbers were expected")
    check_claim(dataset)
    samples = math.prod(dataset.shape or ())
    if samples > MAX_SWEEP_SAMPLES:
        raise CellFailed(
            f"is not safe to read: {dataset.name} claims {samples} samples, "
            f"{MAX_SWEEP_SAMPLES} are allowed"
        )
    values: Floats | Ints = dataset[()] if end is None or dataset.ndim != 1 else dataset[:end]
    return values


def check_claim(dataset: Any, *, max_bytes: int = MAX_ARRAY_BYTES) -> None:
    """Refuse data outside the file, and more data than is plausible or than fit into the file."""
    name = dataset.name
    if dataset.external:
        raise CellFailed(f"is not safe to read: the data of {name} are in another file")
    if dataset.is_virtual:
        raise CellFailed(f"is not safe to read: {name} is a virtual data set")
    itemsize = dataset.dtype.itemsize
    claimed = math.prod(dataset.shape or ()) * itemsize
    # A chunk is always read whole.
    largest = max(claimed, math.prod(dataset.chunks or ()) * itemsize)
    if largest > max_bytes:
        raise CellFailed(
            f"is not safe to read: {name} claims {largest / 1e6:.0f} MB, "
            f"{max_bytes / 1e6:.0f} MB are allowed"
        )
    held = dataset.id.get_storage_size()
    if claimed and not held:
        raise ValueError("it contains no data")
    if claimed > held * (MAX_RATIO if dataset.chunks else 1):
        raise CellFailed(
            f"is not safe to read: {name} claims {claimed} bytes, which the file cannot contain"
        )


class SteadyFile(io.FileIO):
    """A file whose writes never fail: it remembers the first failure and raises it when asked.

    HDF5 crashes when it closes a file whose writes have failed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, unless a write has failed before."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest and self._failure is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self._failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file, unless a write has failed before."""
        try:
            if self._failure is None:
                return super().truncate(size)
        except OSError as error:
            self._failure = error
        return size or 0

    def raise_failure(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise self._failure


@contextmanager
def new_hdf5(path: Path) -> Iterator[Any]:
    """Give an open HDF5 file, and put it at `path` when the block ends well."""
    with atomic_path(path) as temporary, SteadyFile(temporary) as raw:
        try:
            with h5py.File(raw, "w") as file:
                yield file
        except Exception:
            # What was not written cannot be read back either.
            raw.raise_failure()
            raise
        raw.raise_failure()
