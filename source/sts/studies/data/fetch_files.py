"""Fetch the files of a source, whole or as excerpts, several at a time."""

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sts.archives import kaggle, listings
from sts.archives.client import Client
from sts.archives.download import (
    Part,
    Target,
    check_disk,
    download,
    explain_errors,
    is_there,
    make_receipt,
    move_aside,
    seems_there,
    size_at,
)
from sts.archives.http_rules import FetchError, RetrySettings, Stopped, UnreachableError
from sts.archives.items import ArchiveFile, Examination
from sts.archives.sources import METADATA, find_source, table_items
from sts.archives.streaming import StreamOrder, StreamReport
from sts.base.errors import CellFailed, StsError
from sts.base.progress import Progress, progress
from sts.base.sandbox import Isolated, Limits
from sts.base.settings import to_dict

WORKERS: Final = 2
# Sources whose cells can be selected, and sources from which parts of a file can be read.
BY_CELL: Final = ("allen", "dandi", "kaggle")
STREAMED: Final = ("dandi", "kaggle")
KB: Final = 1000
# End of the name of an excerpt without a receipt.
WAITING: Final = ".excerpt.part"
STREAM_WORK: Final = "sts.archives.streaming:stream"
# Longer than for a file on disk, since the process waits for the network.
STREAM_LIMITS: Final = Limits(processor_s=300, wall_s=3600.0)
SIZE_FIELDS: Final = ("brought_bytes", "whole_bytes")


@dataclass(frozen=True, kw_only=True)
class FetchJob:
    """The files to fetch, their source, and the folder for them."""

    source: str
    out: Path
    metadata: tuple[Path, ...] = ()
    """Possible folders of the patch-seq metadata."""
    cells: tuple[str, ...] | None = None
    limit: int | None = None
    api_url: str = ""
    dandiset: str = listings.DANDISET
    workers: int = WORKERS
    retry: RetrySettings = field(default_factory=RetrySettings)
    seed: int = 0
    """For the waits between attempts."""
    force: bool = False
    stream: bool = False

    def __post_init__(self) -> None:
        """Raise an error for options that this source does not have."""
        find_source(self.source)
        if self.source not in BY_CELL and (self.cells is not None or self.limit is not None):
            raise StsError(
                f"{self.source} can only be fetched whole: leave out --cells and --limit"
            )
        if self.stream and self.source not in STREAMED:
            raise StsError(f"--stream is for {' and '.join(STREAMED)}, not for {self.source}")
        if self.dandiset != listings.DANDISET and self.source != "dandi":
            raise StsError(f"--dandiset is for dandi, not for {self.source}")


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """The number of fetched files, and the failures."""

    fetched: int = 0
    there: int = 0
    """Existing files that were verified again."""
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def list_items(client: Client, job: FetchJob) -> list[ArchiveFile]:
    """Return the wanted files, including existing files."""
    if job.source == "kaggle":
        # One archive, whose members are selected after the download.
        return [kaggle.archive_item(job.api_url)]
    if job.source == "allen":
        specimens = job.cells
        if specimens is None:
            specimens = tuple(listings.list_allen_specimens(client, api_url=job.api_url))
        return listings.list_allen_recordings(specimens[: job.limit], api_url=job.api_url)
    if job.source != "dandi":
        return table_items(find_source(job.source), api_url=job.api_url)
    dandiset = listings.parse_dandiset(job.dandiset, api_url=job.api_url)
    items = listings.list_dandi_recordings(client, dandiset)
    if job.cells is not None:
        metadata = next((f / METADATA for f in job.metadata if (f / METADATA).is_file()), None)
        sessions = listings.read_sessions(metadata) if metadata else {}
        items = listings.select_dandi_recordings(items, job.cells, sessions)
    return items[: job.limit]


def complete_item(client: Client, item: ArchiveFile, job: FetchJob) -> ArchiveFile:
    """Return a listed file with the address of its content and its digests."""
    if not item.listed:
        return item
    if job.source == "allen":
        return listings.complete_allen_recording(client, item)
    dandiset = listings.parse_dandiset(job.dandiset, api_url=job.api_url)
    return listings.complete_dandi_recording(client, dandiset, item)


class Bar:
    """Progress in kB over several threads, or in files where sizes are not known."""

    def __init__(self, bar: Progress, *, in_files: bool) -> None:
        self._bar, self._in_files = bar, in_files
        self._bytes, self._lock = 0, threading.Lock()

    def count_bytes(self, count: int) -> None:
        """Count bytes."""
        if self._in_files:
            return
        with self._lock:
            before, self._bytes = self._bytes, self._bytes + count
            self._bar.advance(self._bytes // KB - before // KB)

    def count_file(self, place: str) -> None:
        """Count a file."""
        with self._lock:
            self._bar.advance(1 if self._in_files else 0, note=place)


def fetch_files(
    client: Client, items: list[ArchiveFile], target: Target, job: FetchJob
) -> FetchReport:
    """Fetch and verify missing files; a failure does not stop other files."""
    missing = [item for item in items if job.force or not seems_there(item, target)]
    sizes = [item.size for item in missing if item.size is not None]
    in_files = len(sizes) < len(missing)
    total = sum(sizes) - sum(Part(item, target.folder).read_state().size for item in missing)
    if not in_files:
        check_disk(target.folder, total)
    what, count = ("files", len(items)) if in_files else ("kB", total // KB)
    with progress(count, f"fetched {what}") as shown:
        bar = Bar(shown, in_files=in_files)
        counting = replace(target, report_bytes=bar.count_bytes)

        def work(item: ArchiveFile) -> bool:
            fetched = _fetch_one(client, item, counting, job)
            bar.count_file(item.place)
            return fetched

        return run_together(client, items, work, workers=job.workers)


def _fetch_one(client: Client, item: ArchiveFile, target: Target, job: FetchJob) -> bool:
    """Fetch one file; return whether that was necessary."""
    if not job.force and is_there(item, target):
        return False
    whole = complete_item(client, item, job)
    # A copy from another place is accepted if it has the digest of the archive.
    stranger = item.listed and target.receipts.get(item.place) is None
    if not job.force and stranger and is_there(whole, target):
        return False
    download(client, whole, target)
    return True


def run_together(
    client: Client,
    items: Iterable[ArchiveFile],
    work: Callable[[ArchiveFile], bool],
    *,
    workers: int,
) -> FetchReport:
    """Process several files at once; without a network, stop at the first file.

    In threads, since the work is mostly waiting: they share connections and one bar.
    """
    results: dict[Future[bool], str] = {}
    fetched, there, failures, untried = 0, 0, [], 0
    lost: UnreachableError | None = None
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            results = {pool.submit(work, item): item.place for item in items}
            for future in as_completed(results):
                try:
                    needed = future.result()
                    fetched, there = fetched + needed, there + (not needed)
                except Stopped:
                    untried += 1
                except UnreachableError as error:
                    lost, untried = lost or error, untried + 1
                    client.stop()
                except FetchError as error:
                    failures.append(f"{results[future]}: {error}")
        except BaseException:
            client.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if lost is not None:
        if not fetched + there:
            raise lost
        failures.append(f"{untried} files were not tried any more: {lost}")
    return FetchReport(fetched=fetched, there=there, failures=tuple(sorted(failures)))


def find_sizes(
    client: Client, items: list[ArchiveFile], target: Target, job: FetchJob
) -> list[tuple[str, int | None]]:
    """Return place and size of files; missing sizes are requested from the server."""
    sizes: dict[str, int | None] = {item.place: item.size for item in items}

    unknown = [item for item in items if item.size is None]
    with suppress(UnreachableError), progress(len(unknown), "asked for sizes") as shown:
        bar = Bar(shown, in_files=True)

        def work(item: ArchiveFile) -> bool:
            whole = complete_item(client, item, job)
            sizes[item.place] = size_at(client, whole, secret=target.secret)
            bar.count_file(item.place)
            return True

        run_together(client, unknown, work, workers=job.workers)
    return list(sizes.items())


def fetch_excerpts(
    client: Client, items: list[ArchiveFile], target: Target, job: FetchJob
) -> FetchReport:
    """Write an excerpt of every recording that is not there yet.

    Each worker has a process: a file that crashes HDF5 ends only that process, and within one
    process HDF5 reads one file at a time.
    """
    brought: list[StreamReport] = []
    readers: queue.SimpleQueue[Isolated] = queue.SimpleQueue()
    with ExitStack() as stack, progress(len(items), "streamed recordings") as bar:
        for _ in range(job.workers):
            readers.put(stack.enter_context(Isolated(STREAM_WORK, STREAM_LIMITS)))

        def work(item: ArchiveFile) -> bool:
            needed = job.force or not is_there(item, target, excerpts=True)
            if needed:
                reader = readers.get()
                try:
                    brought.append(_stream(reader, complete_item(client, item, job), target, job))
                finally:
                    readers.put(reader)
            bar.advance(note=item.place)
            return needed

        done = run_together(client, items, work, workers=job.workers)
    fetched, whole = (sum(getattr(s, name) for s in brought) / 1e6 for name in SIZE_FIELDS)
    note = f"{fetched:.1f} of {whole:.1f} MB were fetched: these files are excerpts"
    return replace(done, notes=(note,)) if brought else done


def _stream(reader: Isolated, item: ArchiveFile, target: Target, job: FetchJob) -> StreamReport:
    path = target.path(item)
    waiting = path.with_name(f"{path.name}{WAITING}")
    order = StreamOrder(
        address=item.address,
        size=item.size,
        sha256=item.sha256,
        path=waiting,
        retry=job.retry,
        seed=job.seed,
    )
    try:
        answer, _ = reader.ask(to_dict(order))
    except CellFailed as error:
        raise FetchError(str(error)) from error
    streamed = StreamReport(**answer)
    if streamed.fault:
        raise (UnreachableError if streamed.unreachable else FetchError)(streamed.fault)
    move_aside(path, target.receipts.get(item.place))
    # Before the file has its name, so that every fetched file has a receipt.
    examined = Examination(size=streamed.excerpt_bytes, sha256=streamed.excerpt_sha256, fault="")
    receipt = replace(
        make_receipt(item, examined, target),
        excerpt=True,
        whole_sha256=item.sha256,
        whole_size=streamed.whole_bytes,
    )
    target.receipts.put(item.place, receipt)
    with explain_errors(path):
        waiting.replace(path)
    return streamed
