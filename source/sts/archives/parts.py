"""What has come of a file so far: a part beside its place, and who sent it."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sts.archives.items import Item
from sts.archives.patience import WrongContent
from sts.base.errors import StsError
from sts.base.files import ADVICE, read_json

SUFFIX: Final = ".part"
# What a disk needs for itself.
SPARE_BYTES: Final = 2**26


@dataclass(frozen=True)
class Begun:
    """How much of a file is here, and which version of it that is."""

    size: int = 0
    tag: str = ""


class Part:
    """The part of one file."""

    def __init__(self, item: Item, folder: Path) -> None:
        self._item = item
        self.path = folder / f"{item.place}{SUFFIX}"
        # Parts of two versions of a file must not be glued together.
        self._origin = folder / f"{item.place}{SUFFIX}.json"

    def size(self) -> int:
        """Return how many bytes there are."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def begun(self) -> Begun:
        """Return how much of this very file is here already."""
        if not self.path.is_file():
            return Begun()
        try:
            kept = read_json(self._origin)
        except StsError:
            return Begun()
        item, size = self._item, self.size()
        if not isinstance(kept, dict) or kept.get("key") != item.key:
            return Begun()
        tag = str(kept.get("tag") or "")
        # What neither a version nor a digest protects must come in one piece.
        protected = tag or item.sha256 or item.dandi_etag
        fits = item.size is None or size <= item.size
        return Begun(size, tag) if protected and fits else Begun()

    def write(self, blocks: Iterable[bytes], *, start: int, tag: str) -> Iterator[int]:
        """Put blocks behind the first `start` bytes and yield how large each was."""
        item = self._item
        most = item.size if item.size is not None else item.most_bytes
        if not start:
            self._begin(tag)
        with self._open(start) as descriptor:
            for block in blocks:
                start += len(block)
                if start > most:
                    raise WrongContent(f"more than {most} bytes came")
                with writing(self.path):
                    _write_all(descriptor, block)
                yield len(block)
            with writing(self.path):
                os.fsync(descriptor)

    def _begin(self, tag: str) -> None:
        with writing(self.path):
            # First of all: an old part must never be found beside a new version's tag. A torn
            # file of origin is as good as none, so it needs no care.
            self.path.unlink(missing_ok=True)
            self._origin.write_text(json.dumps({"key": self._item.key, "tag": tag}))

    @contextlib.contextmanager
    def _open(self, start: int) -> Iterator[int]:
        with writing(self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            with writing(self.path):
                os.ftruncate(descriptor, start)
                os.lseek(descriptor, start, os.SEEK_SET)
            yield descriptor
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        """Delete what came."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def become(self, path: Path) -> None:
        """Give the whole file its name."""
        with writing(path):
            self.path.replace(path)
        self._origin.unlink(missing_ok=True)


def _write_all(descriptor: int, block: bytes) -> None:
    # A disk that is nearly full takes a piece of a block only, and complains about the next.
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about writing into one line."""
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, (error.strerror or str(error)).lower())
        raise StsError(f"cannot write {path}: {advice}") from error


def check_space(folder: Path, count: int) -> None:
    """Refuse what the disk cannot hold before it is begun."""
    standing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(standing).free
    if count > 0 and count + SPARE_BYTES > free:
        raise StsError(
            f"{count / 1e9:.2f} GB are to come and {standing} has {free / 1e9:.2f} GB free: make "
            "room, choose another --out, or take fewer with --cells or --limit"
        )
