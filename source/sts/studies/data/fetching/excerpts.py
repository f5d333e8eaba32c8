"""Recordings of which only the needed sweeps are read, by ranges, where they are."""

import queue
from contextlib import ExitStack
from typing import Final

from sts.archives.client import Client
from sts.archives.download import Target, is_there, keep_aside
from sts.archives.items import Item
from sts.archives.parts import writing
from sts.archives.patience import FetchError, UnreachableError
from sts.archives.receipts import Receipt, now
from sts.archives.streaming import Order, Streamed
from sts.base.errors import CellFailed
from sts.base.inside import Limits
from sts.base.progress import progress
from sts.base.sandbox import Isolated
from sts.base.settings import to_dict
from sts.studies.data.fetching.files import together
from sts.studies.data.fetching.job import Done, FetchJob, completed

# Under this name an excerpt waits for its receipt.
WAITING: Final = ".excerpt.part"
WORK: Final = "sts.archives.streaming:stream"
# Longer than for a file on disk: the network is waited for.
LIMITS: Final = Limits(processor_s=300, wall_s=3600.0)


def fetch_excerpts(client: Client, items: list[Item], target: Target, job: FetchJob) -> Done:
    """Write an excerpt of every recording that is not there yet.

    In processes, one a worker: a file that crashes HDF5 takes no more than its process along, and
    in one process HDF5 would read one file at a time.
    """
    brought: list[Streamed] = []
    readers: queue.SimpleQueue[Isolated] = queue.SimpleQueue()
    with ExitStack() as stack, progress(len(items), "streamed recordings") as bar:
        for _ in range(job.workers):
            readers.put(stack.enter_context(Isolated(WORK, LIMITS)))

        def work(item: Item) -> bool:
            needed = job.force or not is_there(item, target, excerpts=True)
            if needed:
                reader = readers.get()
                try:
                    brought.append(_stream(reader, completed(client, item, job), target, job))
                finally:
                    readers.put(reader)
            bar.advance(note=item.place)
            return needed

        done = together(client, items, work, workers=job.workers)
    came, whole = (sum(getattr(s, name) for s in brought) / 1e6 for name in SIZES)
    note = f"{came:.1f} MB came of {whole:.1f} MB: these are excerpts, and say so"
    return Done(**{**vars(done), "notes": (note,) if brought else ()})


SIZES: Final = ("brought_bytes", "whole_bytes")


def _stream(reader: Isolated, item: Item, target: Target, job: FetchJob) -> Streamed:
    path = target.path(item)
    waiting = path.with_name(f"{path.name}{WAITING}")
    order = Order(
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
    streamed = Streamed(**answer)
    if streamed.fault:
        raise (UnreachableError if streamed.unreachable else FetchError)(streamed.fault)
    keep_aside(path, target.receipts.get(item.place))
    # First, so that no file of ours ever lies there without one.
    target.receipts.put(item.place, _receipt(streamed, item, target))
    with writing(path):
        waiting.replace(path)
    return streamed


def _receipt(streamed: Streamed, item: Item, target: Target) -> Receipt:
    return Receipt(
        size=streamed.excerpt_bytes,
        sha256=streamed.excerpt_sha256,
        source=target.source,
        address=item.address,
        key=item.key,
        date=now(),
        excerpt=True,
        whole_sha256=item.sha256,
        whole_size=streamed.whole_bytes,
    )
