"""What is to be fetched, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sts.archives import allen, dandi, kaggle
from sts.archives.client import Client
from sts.archives.download import Target
from sts.archives.items import Item
from sts.archives.patience import Patience
from sts.archives.sources import METADATA, source_of, table_items
from sts.base.errors import StsError

WORKERS: Final = 2
# Sources of cells one can choose from, and those that can be read where they are.
BY_CELL: Final = ("allen", "dandi", "kaggle")
STREAMED: Final = ("dandi", "kaggle")


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
        source_of(self.source)
        if self.source not in BY_CELL and (self.cells is not None or self.limit is not None):
            raise StsError(f"{self.source} comes whole: leave out --cells and --limit")
        if self.stream and self.source not in STREAMED:
            raise StsError(f"--stream is for {' and '.join(STREAMED)}, not for {self.source}")
        if self.dandiset != dandi.DANDISET and self.source != "dandi":
            raise StsError(f"--dandiset is for dandi, not for {self.source}")


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of the files."""

    fetched: int = 0
    there: int = 0
    """They were there already, and were verified again."""
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Method = Callable[[Client, list[Item], Target, FetchJob], Done]


def items_of(client: Client, job: FetchJob) -> list[Item]:
    """Return the files that are wanted, those that are there already too."""
    return LISTS.get(job.source, _tables)(client, job)


def completed(client: Client, item: Item, job: FetchJob) -> Item:
    """Return a file with what only a question about it tells."""
    if not item.listed:
        return item
    return dandi.complete(client, item) if job.source == "dandi" else allen.complete(client, item)


def _tables(client: Client, job: FetchJob) -> list[Item]:
    del client  # what is published once and for all needs no list
    return table_items(source_of(job.source), api_url=job.api_url)


def _dandi(client: Client, job: FetchJob) -> list[Item]:
    items = dandi.list_recordings(client, dandi.dandiset_of(job.dandiset, api_url=job.api_url))
    if job.cells is not None:
        found = next((f / METADATA for f in job.metadata if (f / METADATA).is_file()), None)
        sessions = dandi.sessions_of(found) if found else {}
        items = dandi.select(items, job.cells, sessions)
    return items[: job.limit]


def _allen(client: Client, job: FetchJob) -> list[Item]:
    specimens = job.cells
    if specimens is None:
        specimens = tuple(allen.list_specimens(client, api_url=job.api_url))
    return allen.recordings_of(specimens[: job.limit], api_url=job.api_url)


def _kaggle(client: Client, job: FetchJob) -> list[Item]:
    del client  # it is one archive, whose members are chosen once it is here
    return [kaggle.archive_item(job.api_url)]


LISTS: Final = {"dandi": _dandi, "allen": _allen, "kaggle": _kaggle}
