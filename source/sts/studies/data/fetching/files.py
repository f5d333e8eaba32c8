"""Whole files, several at a time."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

from sts.archives.client import Client
from sts.archives.download import (
    Target,
    download,
    is_there,
    seems_there,
    size_at,
)
from sts.archives.items import Item
from sts.archives.parts import Part, check_space
from sts.archives.patience import FetchError, Stopped, UnreachableError
from sts.base.progress import Progress, progress
from sts.studies.data.fetching.job import Done, FetchJob, completed

R = TypeVar("R")

KB: Final = 1000


class Bar:
    """Progress in kB over several threads, or in files where nobody tells how large they are."""

    def __init__(self, bar: Progress, *, in_files: bool) -> None:
        self._bar, self._in_files = bar, in_files
        self._bytes, self._lock = 0, threading.Lock()

    def brought(self, count: int) -> None:
        """Count bytes."""
        if self._in_files:
            return
        with self._lock:
            before, self._bytes = self._bytes, self._bytes + count
            self._bar.advance(self._bytes // KB - before // KB)

    def finished(self, place: str) -> None:
        """Count a file."""
        with self._lock:
            self._bar.advance(1 if self._in_files else 0, note=place)


def fetch_files(client: Client, items: list[Item], target: Target, job: FetchJob) -> Done:
    """Bring files that are not there yet, each verified; one that fails does not stop others."""
    missing = [item for item in items if job.force or not seems_there(item, target)]
    sizes = [item.size for item in missing if item.size is not None]
    in_files = len(sizes) < len(missing)
    total = sum(sizes) - sum(Part(item, target.folder).begun().size for item in missing)
    if not in_files:
        check_space(target.folder, total)
    what, count = ("files", len(items)) if in_files else ("kB", total // KB)
    with progress(count, f"fetched {what}") as shown:
        bar = Bar(shown, in_files=in_files)
        heard = replace(target, told=bar.brought)

        def work(item: Item) -> bool:
            fetched = _fetch_one(client, item, heard, job)
            bar.finished(item.place)
            return fetched

        return together(client, items, work, workers=job.workers)


def _fetch_one(client: Client, item: Item, target: Target, job: FetchJob) -> bool:
    """Bring one file; tell whether that was needed."""
    if not job.force and is_there(item, target):
        return False
    whole = completed(client, item, job)
    # A copy from elsewhere is as good, if the archive's digest says so.
    stranger = item.listed and target.receipts.get(item.place) is None
    if not job.force and stranger and is_there(whole, target):
        return False
    download(client, whole, target)
    return True


def together(
    client: Client, items: Iterable[Item], work: Callable[[Item], bool], *, workers: int
) -> Done:
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
    return Done(fetched=fetched, there=there, failures=tuple(sorted(failures)))


def sizes_of(
    client: Client, items: list[Item], target: Target, job: FetchJob
) -> list[tuple[str, int | None]]:
    """Return place and size of files; who does not list sizes is asked."""
    sizes: dict[str, int | None] = {item.place: item.size for item in items}

    unknown = [item for item in items if item.size is None]
    with suppress(UnreachableError), progress(len(unknown), "asked for sizes") as shown:
        bar = Bar(shown, in_files=True)

        def work(item: Item) -> bool:
            whole = completed(client, item, job)
            sizes[item.place] = size_at(client, whole, secret=target.secret)
            bar.finished(item.place)
            return True

        together(client, unknown, work, workers=job.workers)
    return list(sizes.items())
