"""A file of an archive: its description, the check of a copy against it, and the receipt."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dandischema.digests.dandietag import DandiETag

from sts.base.errors import StsError
from sts.base.files import read_json, sha256_of, write_json
from sts.base.settings import from_dict, to_dict

# Larger than any recording; the size of the published scalograms is known.
MOST_BYTES: Final = 2**34
RECEIPTS_FILE: Final = "fetched.json"
RECEIPTS_FORMAT: Final = "sts-fetched 1"


@dataclass(frozen=True, kw_only=True)
class ArchiveFile:
    """One file to fetch, as its archive describes it."""

    place: str
    """Its path in the folder of its archive."""
    address: str
    identity: str = ""
    """Stays the same if the address changes: the id of an asset, the digest of a table."""
    size: int | None = None
    sha256: str = ""
    """64 digits, or the first 8 if no more are published."""
    dandi_etag: str = ""
    begins: bytes = b""
    """The first bytes of the file, if no digest is published."""
    most_bytes: int = MOST_BYTES
    listed: bool = False
    """Whether the address is that of its description, not yet that of its content."""

    @property
    def key(self) -> str:
        """Return what distinguishes this file from another one of the same name."""
        return self.identity or self.sha256 or self.address


@dataclass(frozen=True, kw_only=True)
class Examination:
    """Size and digest of a file, and whether it is the expected file."""

    size: int
    sha256: str
    fault: str
    """Why it is not the expected file, "" if it is."""


def examine_file(path: Path, item: ArchiveFile) -> Examination:
    """Return size and digest of a file, and its difference from the description."""
    try:
        size, sha256 = path.stat().st_size, sha256_of(path)
        fault = _fault(path, item, size, sha256)
    except OSError as error:
        raise StsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return Examination(size=size, sha256=sha256, fault=fault)


def _fault(path: Path, item: ArchiveFile, size: int, sha256: str) -> str:
    if item.size is not None and size != item.size:
        return f"has {size} bytes, {item.size} are expected"
    if item.sha256 and not sha256.startswith(item.sha256):
        return f"has sha256 {sha256[:12]}, {item.sha256[:12]} is expected"
    # DANDI's own digest doubles the time: it is used only without a better one.
    if item.dandi_etag and not item.sha256:
        etag = DandiETag.from_file(path).as_str()
        if etag != item.dandi_etag:
            return f"has DANDI etag {etag}, {item.dandi_etag} is expected"
    with path.open("rb") as file:
        head = file.read(max(len(item.begins), 16))
    if not head.startswith(item.begins):
        return f"begins with {head[:16]!r}, unlike a file of its kind"
    return ""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One fetched file: its size and digest, and its origin."""

    size: int
    sha256: str
    source: str
    address: str
    key: str
    """The key that distinguishes it from another file of the same name."""
    date: str
    excerpt: bool = False
    """It is an excerpt of the file at the address."""
    whole_sha256: str = ""
    """For an excerpt: the digest of the whole file, if its archive states one."""
    whole_size: int | None = None
    unpacked: bool = False
    """It was an archive that was deleted after all its members were unpacked."""


def timestamp() -> str:
    """Return the date and time for a receipt."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Receipts:
    """The receipts of one folder; a change is on disk before the call returns."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECEIPTS_FILE
        self._lock = threading.Lock()
        self._known = _read(self._path)

    def get(self, place: str) -> Receipt | None:
        """Return the receipt of a file."""
        with self._lock:
            return self._known.get(place)

    def put(self, place: str, receipt: Receipt) -> None:
        """Keep the receipt of a file."""
        self.put_all({place: receipt})

    def put_all(self, receipts: Mapping[str, Receipt]) -> None:
        """Keep the receipts of several files."""
        with self._lock:
            self._known.update(receipts)
            files = {name: to_dict(self._known[name]) for name in sorted(self._known)}
            write_json(self._path, {"format": RECEIPTS_FORMAT, "files": files})

    def __iter__(self) -> Iterator[tuple[str, Receipt]]:
        with self._lock:
            return iter(sorted(self._known.items()))


def _read(path: Path) -> dict[str, Receipt]:
    if not path.is_file():
        return {}
    kept: Any = read_json(path)
    if not isinstance(kept, dict) or kept.get("format") != RECEIPTS_FORMAT:
        raise StsError(f"{path} is not a list of fetched files: move it away to fetch anew")
    return {
        str(place): from_dict(Receipt, entry, where=f"{path.name}: {place}")
        for place, entry in kept.get("files", {}).items()
    }


def difference(path: Path, receipt: Receipt) -> str:
    """Return how a file differs from its receipt, "" if it does not."""
    if not path.is_file():
        return "is gone"
    if (size := path.stat().st_size) != receipt.size:
        return f"has {size} bytes, {receipt.size} were fetched"
    if (sha256 := sha256_of(path)) != receipt.sha256:
        return f"has sha256 {sha256[:12]}, {receipt.sha256[:12]} was fetched"
    return ""
