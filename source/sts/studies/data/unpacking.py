"""The published scalograms and models: one archive, unpacked member by member."""

import hashlib
import io
from dataclasses import replace

from sts.archives import kaggle
from sts.archives.client import Client
from sts.archives.download import Target, check_disk, download, is_there, move_aside, size_at
from sts.archives.items import ArchiveFile, Receipt, difference, timestamp
from sts.archives.kaggle import (
    DamagedError,
    Member,
    OpenArchive,
    is_unpacked,
    open_archive,
    unpack,
)
from sts.archives.patience import FetchError
from sts.archives.ranges import RangeFile
from sts.base.progress import progress
from sts.studies.data.fetching import KB, Bar, FetchJob, FetchReport

# Receipts are written once for so many members.
BATCH = 100


def fetch_archive(
    client: Client, items: list[ArchiveFile], target: Target, job: FetchJob
) -> FetchReport:
    """Bring the archive, unpack what is wanted of it, and delete it once all of it is unpacked."""
    (item,) = items
    if job.stream:
        with io.BufferedReader(RangeFile(client, item.address, secret=target.secret)) as file:
            return _take_out(open_archive(file, kaggle.place_of), item, target, job)
    if not job.force and _is_unpacked(item, target):
        return FetchReport(there=len(_members(target)))
    if job.force or not is_there(item, target):
        _bring(client, item, target)
    path = target.path(item)
    try:
        done = _take_out(open_archive(path, kaggle.place_of), item, target, job)
    except DamagedError as error:
        path.unlink()
        raise FetchError(f"{path}: {error}; it was deleted, fetch it again") from error
    if done.failures:
        path.unlink()
        return replace(done, notes=(f"{path} is damaged and was deleted: fetch it again",))
    if job.cells is not None or job.limit is not None:
        return replace(done, notes=(f"{path} is kept: not all of it was taken out",))
    receipt = target.receipts.get(item.place)
    if receipt is not None:
        target.receipts.put(item.place, replace(receipt, unpacked=True))
    path.unlink()
    return done


def _bring(client: Client, item: ArchiveFile, target: Target) -> None:
    size = size_at(client, item, secret=target.secret) or 0
    with progress(size // KB, "fetched kB") as shown:
        download(client, item, replace(target, report_bytes=Bar(shown, in_files=False).count_bytes))


def _is_unpacked(item: ArchiveFile, target: Target) -> bool:
    """Tell whether everything of the archive was taken out, and still is what it was."""
    receipt = target.receipts.get(item.place)
    if receipt is None or not receipt.unpacked or receipt.key != item.key:
        return False
    members = _members(target)
    return not any(difference(target.folder / place, members[place]) for place in members)


def _members(target: Target) -> dict[str, Receipt]:
    """Return the receipts of what was taken out."""
    return {
        place: receipt
        for place, receipt in target.receipts
        if receipt.source == target.source and not receipt.unpacked
    }


def _take_out(opened: OpenArchive, item: ArchiveFile, target: Target, job: FetchJob) -> FetchReport:
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
                receipts[member.place] = _take(opened, member, item, counting)
            except DamagedError as error:
                failures.append(str(error))
            if len(receipts) >= BATCH:
                target.receipts.put_all(receipts)
                receipts = {}
        target.receipts.put_all(receipts)
    return FetchReport(
        fetched=len(missing) - len(failures),
        there=len(members) - len(missing),
        failures=tuple(failures),
    )


def _take(opened: OpenArchive, member: Member, item: ArchiveFile, target: Target) -> Receipt:
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
