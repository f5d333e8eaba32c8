"""HDF5 files that are whole or not there, also when the disk is full."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from sts.base.files import atomic_path


class SteadyFile(io.FileIO):
    """A file that takes all that is written, also when the disk does not, and tells it later.

    For libraries that cannot bear a failing write: HDF5 crashes when it closes such a file.
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
        """Raise the first failure there was."""
        if self._failure is not None:
            raise self._failure


@contextmanager
def new_hdf5(path: Path) -> Iterator[Any]:
    """Give an open HDF5 file that stands at `path` once the block has ended well."""
    with atomic_path(path) as temporary, SteadyFile(temporary) as raw:
        try:
            with h5py.File(raw, "w") as file:
                yield file
        except Exception:
            # What was not written cannot be read back either.
            raw.raise_failure()
            raise
        raw.raise_failure()
