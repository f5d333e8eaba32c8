"""Download one file: resume, verify, and only then give it its final name."""

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sts.archives.client import Answer, Client, Secret
from sts.archives.http_rules import FetchError, WrongContent, show_address
from sts.archives.items import ArchiveFile, Examination, Receipt, Receipts, examine_file, timestamp
from sts.base.errors import StsError
from sts.base.files import ERRNO_ADVICE, make_folder, read_json

logger = logging.getLogger("sts")

PART_SUFFIX: Final = ".part"
# Space on the disk that stays free.
SPARE_BYTES: Final = 2**26


@dataclass(frozen=True)
class PartState:
    """The number of downloaded bytes of a file, and the version of the file."""

    size: int = 0
    tag: str = ""


class Part:
    """The downloaded part of one file."""

    def __init__(self, item: ArchiveFile, folder: Path) -> None:
        self._item = item
        self.path = folder / f"{item.place}{PART_SUFFIX}"
        # Parts of two versions of a file must not be joined.
        self._origin = folder / f"{item.place}{PART_SUFFIX}.json"

    def size(self) -> int:
        """Return the number of downloaded bytes."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def read_state(self) -> PartState:
        """Return how much of exactly this file was downloaded before."""
        if not self.path.is_file():
            return PartState()
        try:
            kept = read_json(self._origin)
        except StsError:
            return PartState()
        item, size = self._item, self.size()
        if not isinstance(kept, dict) or kept.get("key") != item.key:
            return PartState()
        tag = str(kept.get("tag") or "")
        # A file without a version and a digest must be downloaded in one piece.
        protected = tag or item.sha256 or item.dandi_etag
        fits = item.size is None or size <= item.size
        return PartState(size, tag) if protected and fits else PartState()

    def write(self, blocks: Iterable[bytes], *, start: int, tag: str) -> Iterator[int]:
        """Write blocks after the first `start` bytes and yield the size of each."""
        item = self._item
        most = item.size if item.size is not None else item.most_bytes
        if not start:
            self._begin(tag)
        with explain_errors(self.path), self.path.open("r+b" if start else "wb") as file:
            file.truncate(start)
            file.seek(start)
            for block in blocks:
                start += len(block)
                if start > most:
                    raise WrongContent(f"more than {most} bytes arrived")
                file.write(block)
                yield len(block)
            file.flush()
            os.fsync(file.fileno())

    def _begin(self, tag: str) -> None:
        with explain_errors(self.path):
            # This is first: an old part must never exist together with the tag of a new version. An
            # incomplete file of the origin has the same effect as none.
            self.path.unlink(missing_ok=True)
            self._origin.write_text(json.dumps({"key": self._item.key, "tag": tag}))

    def discard(self) -> None:
        """Delete the part."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def move_to(self, path: Path) -> None:
        """Give the complete file its final name."""
        with explain_errors(path):
            self.path.replace(path)
        self._origin.unlink(missing_ok=True)


@contextlib.contextmanager
def explain_errors(path: Path) -> Iterator[None]:
    """Convert an error of the system while writing to one line."""
    try:
        yield
    except OSError as error:
        advice = ERRNO_ADVICE.get(error.errno or 0, (error.strerror or str(error)).lower())
        raise StsError(f"cannot write {path}: {advice}") from error


def check_disk(folder: Path, count: int) -> None:
    """Raise an error before the first file is fetched, if the files do not fit on the disk."""
    standing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(standing).free
    if count > 0 and count + SPARE_BYTES > free:
        raise StsError(
            f"{count / 1e9:.2f} GB are to be fetched and {standing} has {free / 1e9:.2f} GB free: "
            "free some space, choose another --out, or fetch less with --cells or --limit"
        )


def _nobody(_: int) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Target:
    """The folder for files, their receipts, and the report of progress."""

    folder: Path
    source: str
    receipts: Receipts
    secret: Secret | None = None
    report_bytes: Callable[[int], None] = _nobody
    """Called with the number of bytes that arrived."""

    def path(self, item: ArchiveFile) -> Path:
        """Return the final path of a file."""
        return self.folder / item.place


def is_there(item: ArchiveFile, target: Target, *, excerpts: bool = False) -> bool:
    """Tell whether the file exists and is complete, by its digest, not by its name."""
    path, receipt = target.path(item), _matching_receipt(item, target, excerpts=excerpts)
    if not path.is_file():
        return False
    known = item
    if receipt is not None and (receipt.excerpt or not item.sha256):
        known = replace(item, sha256=receipt.sha256, size=receipt.size)
    # A file without a digest or a receipt cannot be verified.
    if not (known.sha256 or known.dandi_etag):
        return False
    examined = examine_file(path, known)
    if examined.fault:
        logger.warning("%s %s: it is fetched again", path, examined.fault)
    elif receipt is None or receipt.sha256 != examined.sha256:
        target.receipts.put(item.place, make_receipt(item, examined, target))
    return not examined.fault


def seems_there(item: ArchiveFile, target: Target, *, excerpts: bool = False) -> bool:
    """Tell whether the file seems to exist, by its size and without reading it."""
    path, receipt = target.path(item), _matching_receipt(item, target, excerpts=excerpts)
    return path.is_file() and receipt is not None and path.stat().st_size == receipt.size


def _matching_receipt(item: ArchiveFile, target: Target, *, excerpts: bool) -> Receipt | None:
    """Return the receipt of this file, not of another one of its name."""
    receipt = target.receipts.get(item.place)
    if receipt is None or receipt.key != item.key or (receipt.excerpt and not excerpts):
        return None
    return receipt


def download(client: Client, item: ArchiveFile, target: Target) -> Receipt:
    """Fetch a file, verify it, give it its name and return its receipt."""
    path, part = target.path(item), Part(item, target.folder)

    def attempt() -> Examination:
        _collect(client, item, target)
        return _verify(item, part)

    make_folder(path.parent)
    examined = client.attempts.repeat(attempt, show_address(item.address), reached=part.size)
    receipt = make_receipt(item, examined, target)
    move_aside(path, target.receipts.get(item.place))
    # Before the file has its name, so that every fetched file has a receipt.
    target.receipts.put(item.place, receipt)
    part.move_to(path)
    return receipt


def move_aside(path: Path, receipt: Receipt | None) -> None:
    """Rename a file with the same name that was not fetched."""
    if receipt is not None or not path.is_file():
        return
    names = (path.with_name(f"{path.name}.old{number or ''}") for number in range(1000))
    aside = next(name for name in names if not name.exists())
    with explain_errors(aside):
        path.replace(aside)
    logger.warning("%s was not the file of the archive: it is kept as %s", path, aside.name)


def make_receipt(item: ArchiveFile, examined: Examination, target: Target) -> Receipt:
    """Return the receipt of a verified file."""
    return Receipt(
        size=examined.size,
        sha256=examined.sha256,
        source=target.source,
        address=item.address,
        key=item.key,
        date=timestamp(),
    )


def _verify(item: ArchiveFile, part: Part) -> Examination:
    """Return the check of a fetched file; a wrong file is deleted and fetched again."""
    examined = examine_file(part.path, item)
    if examined.fault:
        part.discard()
        raise WrongContent(f"the fetched file {examined.fault}; it was deleted")
    return examined


def _collect(client: Client, item: ArchiveFile, target: Target) -> None:
    """Fetch the missing bytes of a file into its part."""
    part = Part(item, target.folder)
    begun = part.read_state()
    if item.size is not None and begun.size == item.size and part.path.is_file():
        return
    with client.ask(item.address, headers=_range(begun), secret=target.secret) as answer:
        if answer.status == 416:
            if answer.header("Content-Range") == f"bytes */{begun.size}":
                return
            part.discard()
            raise WrongContent("the file on the server is shorter than the part fetched before")
        answer.expect(200, 206)
        start, total = _extent(answer, item)
        if start not in (0, begun.size):
            raise FetchError(f"{show_address(item.address)} sends another part than requested")
        if start and begun.tag not in ("", _tag(answer)):
            # Not every store knows If-Range.
            part.discard()
            raise WrongContent("the server has another version of it now")
        check_disk(target.folder, (total or 0) - start)
        for count in part.write(answer.blocks(), start=start, tag=_tag(answer)):
            target.report_bytes(count)


def _range(begun: PartState) -> dict[str, str]:
    headers = {"Range": f"bytes={begun.size}-"} if begun.size else {}
    return headers | ({"If-Range": begun.tag} if begun.size and begun.tag else {})


def _tag(answer: Answer) -> str:
    """Return the version of the file, if the server states one that is safe for ranges."""
    tag = answer.header("ETag")
    return "" if tag.startswith("W/") else tag


def _extent(answer: Answer, item: ArchiveFile) -> tuple[int, int | None]:
    """Return the position of the content in the file, and the size of the file."""
    start, total = 0, answer.length
    if answer.status == 206:
        extent = answer.extent()
        if extent is None or extent[1] + 1 != extent[2]:
            raise FetchError(
                f"{show_address(answer.address)} answers a range that was not requested"
            )
        start, _, total = extent
    if item.size is not None and total is not None and total != item.size:
        raise WrongContent(f"the server has {total} bytes of it, {item.size} are expected")
    if (total or 0) > item.most_bytes:
        gigabytes = (total or 0) / 1e9
        raise FetchError(
            f"{show_address(item.address)} is {gigabytes:.0f} GB, more than such a file can be"
        )
    return start, total


def size_at(client: Client, item: ArchiveFile, *, secret: Secret | None = None) -> int | None:
    """Return the size of a file by requesting its first byte; None if the server has none."""

    def attempt() -> int | None:
        # HEAD would be enough, but addresses are often signed for GET only.
        headers = {"Range": "bytes=0-0"}
        with client.ask(item.address, headers=headers, secret=secret) as answer:
            answer.expect(200, 206)
            if answer.status == 206:
                extent = answer.extent()
                return extent[2] if extent else None
            return answer.length

    return client.attempts.repeat(attempt, show_address(item.address))
