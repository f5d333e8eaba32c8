"""Fetch missing public recordings, tables and models; verify them and report each file."""

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.archives import kaggle
from sts.archives.client import Client
from sts.archives.download import (
    Target,
    check_disk,
    download,
    explain_errors,
    is_there,
    move_aside,
    seems_there,
    size_at,
)
from sts.archives.http_rules import FetchError
from sts.archives.items import ArchiveFile, Receipt, Receipts, difference, timestamp
from sts.archives.kaggle import (
    DamagedError,
    Member,
    OpenArchive,
    is_unpacked,
    open_archive,
    unpack,
)
from sts.archives.sources import find_source
from sts.archives.streaming import RangeFile
from sts.base.errors import StsError
from sts.base.files import make_folder, read_csv, sweep_temporaries, try_lock
from sts.base.progress import progress
from sts.studies.data.fetch_files import (
    KB,
    Bar,
    FetchJob,
    FetchReport,
    fetch_excerpts,
    fetch_files,
    find_sizes,
    list_items,
)

FETCH_LOCK: Final = ".fetch.lock"
# A number in a line that is not part of a longer name.
ID_NUMBER: Final = re.compile(r"(?<![\w.-])\d+(?![\w.])")
# Words for cells of other sources in a split or a table.
OTHERS: Final = {
    "allen": re.compile(r"\b(Patch)?Seq\b"),
    "dandi": re.compile(r"\b(Patch)?Clamp\b"),
}
NO_CELL: Final = re.compile(r"(?!)")
# Names of the column of specimen ids, in the tables of different sources.
ID_COLUMNS: Final = ("specimen_id", "cell_specimen_id", "specimen__id")
# Number of members of an archive that are unpacked before their receipts are written.
MEMBERS_AT_ONCE: Final = 100


@dataclass(frozen=True, kw_only=True)
class FetchPlan:
    """The files that a fetch will download."""

    todo: tuple[tuple[str, int | None], ...]
    """Path and size of each file; None for an unknown size."""
    there: int
    """Files that seem to exist already."""

    @property
    def total_bytes(self) -> int:
        """Return the sum of the sizes that are known."""
        return sum(size or 0 for _, size in self.todo)

    @property
    def without_size(self) -> int:
        """Return the number of files of unknown size."""
        return sum(size is None for _, size in self.todo)


def plan_fetch(job: FetchJob) -> FetchPlan:
    """Return the files that a fetch will download, without writing anything."""
    with closing(_client(job)) as client:
        items, target = list_items(client, job), _target(job)
        todo = [i for i in items if job.force or not seems_there(i, target, excerpts=job.stream)]
        sizes = find_sizes(client, todo, target, job)
    return FetchPlan(todo=tuple(sizes), there=len(items) - len(todo))


def fetch(job: FetchJob) -> FetchReport:
    """Fetch missing files; continue where an earlier process stopped."""
    with closing(_client(job)) as client:
        items = list_items(client, job)
        with _lock_folder(job.out):
            target = _target(job)
            if job.source == "kaggle":
                return _fetch_archive(client, items[0], target, job)
            method = fetch_excerpts if job.stream else fetch_files
            return method(client, items, target, job)


def _client(job: FetchJob) -> Client:
    return Client(job.retry, rng=np.random.default_rng(job.seed))


def _target(job: FetchJob) -> Target:
    return Target(
        folder=job.out,
        source=job.source,
        receipts=Receipts(job.out),
        secret=kaggle.find_secret() if job.source == "kaggle" else None,
    )


@contextlib.contextmanager
def _lock_folder(out: Path) -> Iterator[None]:
    """Keep other processes from writing the same files."""
    make_folder(out)
    with explain_errors(out):
        lock = (out / FETCH_LOCK).open("ab")
    with lock:
        if not try_lock(lock):
            raise StsError(f"another fetch is running in {out}: wait until it has ended")
        sweep_temporaries(out, older_than_s=0)
        yield


def default_folder(source: str, data: Path | None) -> Path:
    """Return the folder in which other commands expect the files of a source."""
    return find_torch_cache() if data is None else data / find_source(source).folder


def find_torch_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the weights of torch, without importing it, which takes seconds."""
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("TORCH_HOME") or f"{cache}/torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def read_cell_ids(words: Sequence[str], *, source: str = "") -> tuple[str, ...]:
    """Return the specimen ids in words, each of which is an id, several ids or a file of ids.

    If a file contains the data set of each cell, only cells of this source are used.
    """
    cells: list[str] = []
    for word in words:
        path = Path(word)
        cells += _read_ids(path, OTHERS.get(source, NO_CELL)) if path.is_file() else word.split(",")
    for cell in cells:
        if not re.fullmatch(r"[\w-]+", cell):
            raise StsError(f"{cell[:60]!r} is neither a specimen id nor a file of them")
    return tuple(dict.fromkeys(cells))


def _read_ids(path: Path, others: re.Pattern[str]) -> list[str]:
    """Return the ids of a table with a column of them, or the first number of every line."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise StsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    header = [name.strip(' "') for name in next(iter(lines), "").split(",")]
    column = next((name for name in ID_COLUMNS if name in header), None)
    if column is not None:
        rows = read_csv(path, [column])
        cells = [row[column] for row in rows if not others.search(row.get("dataset", ""))]
    else:
        matches = (ID_NUMBER.search(line) for line in lines if not others.search(line))
        cells = [match[0] for match in matches if match]
    if not cells:
        raise StsError(f"no specimen ids in {path}: a list, or a table with specimen_id, is needed")
    return cells


def _fetch_archive(client: Client, item: ArchiveFile, target: Target, job: FetchJob) -> FetchReport:
    """Fetch the archive, unpack the wanted members, and delete it if all are unpacked."""
    if job.stream:
        with io.BufferedReader(RangeFile(client, item.address, secret=target.secret)) as file:
            return _unpack_missing(open_archive(file, kaggle.place_of), item, target, job)
    if not job.force and _is_unpacked(item, target):
        return FetchReport(there=len(_unpacked_receipts(target)))
    if job.force or not is_there(item, target):
        size = size_at(client, item, secret=target.secret) or 0
        with progress(size // KB, "fetched kB") as shown:
            bar = Bar(shown, in_files=False)
            download(client, item, replace(target, report_bytes=bar.count_bytes))
    path = target.path(item)
    try:
        done = _unpack_missing(open_archive(path, kaggle.place_of), item, target, job)
    except DamagedError as error:
        path.unlink()
        raise FetchError(f"{path}: {error}; it was deleted, fetch it again") from error
    if done.failures:
        path.unlink()
        return replace(done, notes=(f"{path} is damaged and was deleted: fetch it again",))
    if job.cells is not None or job.limit is not None:
        return replace(done, notes=(f"{path} is kept: not all of it was unpacked",))
    receipt = target.receipts.get(item.place)
    if receipt is not None:
        target.receipts.put(item.place, replace(receipt, unpacked=True))
    path.unlink()
    return done


def _is_unpacked(item: ArchiveFile, target: Target) -> bool:
    """Tell whether all of the archive was unpacked, and has not changed since."""
    receipt = target.receipts.get(item.place)
    if receipt is None or not receipt.unpacked or receipt.key != item.key:
        return False
    members = _unpacked_receipts(target)
    return not any(difference(target.folder / place, members[place]) for place in members)


def _unpacked_receipts(target: Target) -> dict[str, Receipt]:
    """Return the receipts of all members that were unpacked."""
    return {
        place: receipt
        for place, receipt in target.receipts
        if receipt.source == target.source and not receipt.unpacked
    }


def _unpack_missing(
    opened: OpenArchive, item: ArchiveFile, target: Target, job: FetchJob
) -> FetchReport:
    members = kaggle.select_members(opened.members, cells=job.cells, limit=job.limit)
    missing = [m for m in members if job.force or not is_unpacked(m, target.folder)]
    check_disk(target.folder, sum(member.size for member in missing))
    total = sum(member.size for member in missing) // KB
    receipts: dict[str, Receipt] = {}
    failures = []
    with opened.archive, progress(total, "unpacked kB") as shown:
        counting = replace(target, report_bytes=Bar(shown, in_files=False).count_bytes)
        for member in missing:
            try:
                receipts[member.place] = _unpack_member(opened, member, item, counting)
            except DamagedError as error:
                failures.append(str(error))
            if len(receipts) >= MEMBERS_AT_ONCE:
                target.receipts.put_all(receipts)
                receipts = {}
        target.receipts.put_all(receipts)
    return FetchReport(
        fetched=len(missing) - len(failures),
        there=len(members) - len(missing),
        failures=tuple(failures),
    )


def _unpack_member(
    opened: OpenArchive, member: Member, item: ArchiveFile, target: Target
) -> Receipt:
    sha256 = hashlib.sha256()
    move_aside(target.folder / member.place, target.receipts.get(member.place))
    for block in unpack(opened, member, target.folder):
        sha256.update(block)
        target.report_bytes(len(block))
    return Receipt(
        size=member.size,
        sha256=sha256.hexdigest(),
        source=target.source,
        address=item.address,
        key=f"{member.name} {member.crc32:08x}",
        date=timestamp(),
    )
