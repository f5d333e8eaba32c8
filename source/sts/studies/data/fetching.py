"""What is to be fetched and what became of it: whole files, or excerpts, several at a time."""

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sts.archives import allen, dandi, kaggle
from sts.archives.client import Client
from sts.archives.download import (
    Part,
    Target,
    check_disk,
    download,
    explain_errors,
    is_there,
    move_aside,
    receipt_for,
    seems_there,
    size_at,
)
from sts.archives.excerpt import StreamOrder, StreamReport
from sts.archives.items import ArchiveFile, Examination
from sts.archives.patience import FetchError, Patience, Stopped, UnreachableError
from sts.archives.sources import METADATA, find_source, table_items
from sts.base.errors import CellFailed, StsError
from sts.base.progress import Progress, progress
from sts.base.sandbox import Isolated, Limits
from sts.base.settings import to_dict

WORKERS: Final = 2
# Sources of cells one can choose from, and those that can be read where they are.
BY_CELL: Final = ("allen", "dandi", "kaggle")
STREAMED: Final = ("dandi", "kaggle")
KB: Final = 1000
# Under this name an excerpt waits for its receipt.
WAITING: Final = ".excerpt.part"
WORK: Final = "sts.archives.excerpt:stream"
# Longer than for a file on disk: the network is waited for.
LIMITS: Final = Limits(processor_s=300, wall_s=3600.0)
SIZES: Final = ("brought_bytes", "whole_bytes")


@dataclass(frozen=True, kw_only=True)
class FetchJob:
    """What is wanted, from where, and into which folder."""

    source: str
    out: Path
    metadata: tuple[Path, ...] = ()
    """Folders in which the patch-seq metadata may lie."""
    cells: tuple[str, ...] | None = None
    limit: int | None = None
    api_url: str = ""
    dandiset: str = dandi.DANDISET
    workers: int = WORKERS
    patience: Patience = field(default_factory=Patience)
    seed: int = 0
    """Of the waits between attempts."""
    force: bool = False
    stream: bool = False

    def __post_init__(self) -> None:
        """Refuse what this source cannot do."""
        find_source(self.source)
        if self.source not in BY_CELL and (self.cells is not None or self.limit is not None):
            raise StsError(f"{self.source} comes whole: leave out --cells and --limit")
        if self.stream and self.source not in STREAMED:
            raise StsError(f"--stream is for {' and '.join(STREAMED)}, not for {self.source}")
        if self.dandiset != dandi.DANDISET and self.source != "dandi":
            raise StsError(f"--dandiset is for dandi, not for {self.source}")


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """What became of the files."""

    fetched: int = 0
    there: int = 0
    """They were there already, and were verified again."""
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Method = Callable[[Client, list[ArchiveFile], Target, FetchJob], FetchReport]


def items_of(client: Client, job: FetchJob) -> list[ArchiveFile]:
    """Return the files that are wanted, those that are there already too."""
    return LISTS.get(job.source, _tables)(client, job)


def complete_item(client: Client, item: ArchiveFile, job: FetchJob) -> ArchiveFile:
    """Return a file with what only a question about it tells."""
    if not item.listed:
        return item
    if job.source == "allen":
        return allen.complete_recording(client, item)
    return dandi.complete_asset(client, _dandiset(job), item)


def _tables(client: Client, job: FetchJob) -> list[ArchiveFile]:
    del client  # what is published once and for all needs no list
    return table_items(find_source(job.source), api_url=job.api_url)


def _dandiset(job: FetchJob) -> dandi.Dandiset:
    return dandi.dandiset_of(job.dandiset, api_url=job.api_url)


def _dandi(client: Client, job: FetchJob) -> list[ArchiveFile]:
    items = dandi.list_recordings(client, _dandiset(job))
    if job.cells is not None:
        found = next((f / METADATA for f in job.metadata if (f / METADATA).is_file()), None)
        sessions = dandi.sessions_of(found) if found else {}
        items = dandi.select_recordings(items, job.cells, sessions)
    return items[: job.limit]


def _allen(client: Client, job: FetchJob) -> list[ArchiveFile]:
    specimens = job.cells
    if specimens is None:
        specimens = tuple(allen.list_specimens(client, api_url=job.api_url))
    return allen.recordings_of(specimens[: job.limit], api_url=job.api_url)


def _kaggle(client: Client, job: FetchJob) -> list[ArchiveFile]:
    del client  # it is one archive, whose members are chosen once it is here
    return [kaggle.archive_item(job.api_url)]


LISTS: Final = {"dandi": _dandi, "allen": _allen, "kaggle": _kaggle}


class Bar:
    """Progress in kB over several threads, or in files where nobody tells how large they are."""

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
    """Bring files that are not there yet, each verified; one that fails does not stop others."""
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
    """Bring one file; tell whether that was needed."""
    if not job.force and is_there(item, target):
        return False
    whole = complete_item(client, item, job)
    # A copy from elsewhere is as good, if the archive's digest says so.
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
    """Do the work on several files at a time; without a network, end at the first of them.

    Threads, since all of them wait for others: they share connections and one bar.
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


def sizes_of(
    client: Client, items: list[ArchiveFile], target: Target, job: FetchJob
) -> list[tuple[str, int | None]]:
    """Return place and size of files; where a list has none, the server is asked."""
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

    In processes, one a worker: a file that crashes HDF5 takes no more than its process along, and
    in one process HDF5 would read one file at a time.
    """
    brought: list[StreamReport] = []
    readers: queue.SimpleQueue[Isolated] = queue.SimpleQueue()
    with ExitStack() as stack, progress(len(items), "streamed recordings") as bar:
        for _ in range(job.workers):
            readers.put(stack.enter_context(Isolated(WORK, LIMITS)))

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
    came, whole = (sum(getattr(s, name) for s in brought) / 1e6 for name in SIZES)
    note = f"{came:.1f} MB came of {whole:.1f} MB: these are excerpts, and say so"
    return replace(done, notes=(note,)) if brought else done


def _stream(reader: Isolated, item: ArchiveFile, target: Target, job: FetchJob) -> StreamReport:
    path = target.path(item)
    waiting = path.with_name(f"{path.name}{WAITING}")
    order = StreamOrder(
        address=item.address,
        size=item.size,
        sha256=item.sha256,
        path=waiting,
        patience=job.patience,
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
    # First, so that no file of ours ever lies there without one.
    found = Examination(size=streamed.excerpt_bytes, sha256=streamed.excerpt_sha256, fault="")
    receipt = replace(
        receipt_for(item, found, target),
        excerpt=True,
        whole_sha256=item.sha256,
        whole_size=streamed.whole_bytes,
    )
    target.receipts.put(item.place, receipt)
    with explain_errors(path):
        waiting.replace(path)
    return streamed
