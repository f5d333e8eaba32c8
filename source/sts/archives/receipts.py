"""What was fetched: `fetched.json` beside the files, so that they can be verified again."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.files import read_json, sha256_of, write_json
from sts.base.settings import from_dict, to_dict

NAME: Final = "fetched.json"
FORMAT: Final = "sts-fetched 1"


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One file: what it was when it came, and where it came from."""

    size: int
    sha256: str
    source: str
    address: str
    key: str
    """What told it from another file of the same name."""
    date: str
    excerpt: bool = False
    """It holds a part of what lies at the address."""
    whole_sha256: str = ""
    """Of an excerpt: the digest of the file it was taken from, where its archive tells."""
    whole_size: int | None = None
    unpacked: bool = False
    """It was an archive: all it held was taken out, and it was deleted."""


def now() -> str:
    """Return the date and time for a receipt."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Receipts:
    """The receipts of one folder; every change is on disk before it is told."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
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
            write_json(self._path, {"format": FORMAT, "files": files})

    def __iter__(self) -> Iterator[tuple[str, Receipt]]:
        with self._lock:
            return iter(sorted(self._known.items()))


def _read(path: Path) -> dict[str, Receipt]:
    if not path.is_file():
        return {}
    kept: Any = read_json(path)
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise StsError(f"{path} is not a list of fetched files: move it away to fetch anew")
    return {
        str(place): from_dict(Receipt, entry, where=f"{path.name}: {place}")
        for place, entry in kept.get("files", {}).items()
    }


def receipt_of(path: Path) -> Receipt | None:
    """Return the receipt of a file that was fetched, found in the folders above it."""
    for folder in path.absolute().parents:
        if (folder / NAME).is_file():
            place = PurePosixPath(path.absolute().relative_to(folder).as_posix())
            return Receipts(folder).get(str(place))
    return None


def changed_since_fetched(path: Path) -> str:
    """Return how a file differs from what was fetched, "" if it does not or never was."""
    receipt = receipt_of(path)
    return "" if receipt is None else difference(path, receipt)


def difference(path: Path, receipt: Receipt) -> str:
    """Return how a file differs from its receipt, "" if it does not."""
    if not path.is_file():
        return "is gone"
    if (size := path.stat().st_size) != receipt.size:
        return f"has {size} bytes, {receipt.size} were fetched"
    if (sha256 := sha256_of(path)) != receipt.sha256:
        return f"has sha256 {sha256[:12]}, {receipt.sha256[:12]} was fetched"
    return ""
