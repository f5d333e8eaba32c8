"""Bring public recordings and tables here: planned, in parallel, verified, reported by file."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.archives import kaggle
from sts.archives.client import Client
from sts.archives.download import Target, explain_errors, seems_there
from sts.archives.items import Receipts
from sts.archives.sources import find_source
from sts.base.errors import StsError
from sts.base.files import make_folder, read_csv, sweep_temporaries, try_lock
from sts.studies.data.fetching import (
    FetchJob,
    FetchReport,
    Method,
    fetch_excerpts,
    fetch_files,
    items_of,
    sizes_of,
)
from sts.studies.data.unpacking import fetch_archive

LOCK: Final = ".fetch.lock"
NUMBER: Final = re.compile(r"(?<![\w.-])\d+(?![\w.])")
# What a split or a table calls the cells that a source does not have.
OTHERS: Final = {
    "allen": re.compile(r"\b(Patch)?Seq\b"),
    "dandi": re.compile(r"\b(Patch)?Clamp\b"),
}
NOBODY: Final = re.compile(r"(?!)")
ID_COLUMNS: Final = ("specimen_id", "cell_specimen_id", "specimen__id")
# Where a source is not brought file by file.
METHODS: Final[dict[tuple[str, bool], Method]] = {
    ("dandi", True): fetch_excerpts,
    ("kaggle", False): fetch_archive,
    ("kaggle", True): fetch_archive,
}


@dataclass(frozen=True, kw_only=True)
class FetchPlan:
    """What would be fetched."""

    todo: tuple[tuple[str, int | None], ...]
    """Place and size of each file, None where nobody tells."""
    there: int
    """Files that seem to be there already."""

    @property
    def total_bytes(self) -> int:
        """Return the sum of the sizes that are known."""
        return sum(size or 0 for _, size in self.todo)

    @property
    def without_size(self) -> int:
        """Return of how many files nobody tells the size."""
        return sum(size is None for _, size in self.todo)


def plan_fetch(job: FetchJob) -> FetchPlan:
    """Return what a fetch would bring; nothing is written."""
    with closing(_client(job)) as client:
        items, target = items_of(client, job), _target(job)
        todo = [i for i in items if job.force or not seems_there(i, target, excerpts=job.stream)]
        sizes = sizes_of(client, todo, target, job)
    return FetchPlan(todo=tuple(sizes), there=len(items) - len(todo))


def fetch(job: FetchJob) -> FetchReport:
    """Bring what is not there yet; go on where an earlier process stopped."""
    with closing(_client(job)) as client:
        items = items_of(client, job)
        with _claimed(job.out):
            method = METHODS.get((job.source, job.stream), fetch_files)
            return method(client, items, _target(job), job)


def _client(job: FetchJob) -> Client:
    return Client(job.patience, rng=np.random.default_rng(job.seed))


def _target(job: FetchJob) -> Target:
    return Target(
        folder=job.out,
        source=job.source,
        receipts=Receipts(job.out),
        secret=kaggle.find_secret() if job.source == "kaggle" else None,
    )


@contextlib.contextmanager
def _claimed(out: Path) -> Iterator[None]:
    """Keep other processes from writing the same files."""
    make_folder(out)
    with explain_errors(out):
        lock = (out / LOCK).open("ab")
    with lock:
        if not try_lock(lock):
            raise StsError(f"another fetch works in {out}: wait until it has ended")
        sweep_temporaries(out, older_than_s=0)
        yield


def default_folder(source: str, data: Path | None) -> Path:
    """Return where the other commands look for what a source brings."""
    if data is None:
        return torch_cache()
    return data / find_source(source).folder


def torch_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where torch keeps weights, without importing it, which takes seconds."""
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("TORCH_HOME") or f"{cache}/torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def read_cell_ids(words: Sequence[str], *, source: str = "") -> tuple[str, ...]:
    """Return the specimen ids that words name: ids, or files of ids.

    Of a file that says which data set each cell is of, only those of this source are taken.
    """
    cells: list[str] = []
    for word in words:
        path = Path(word)
        cells += _cells_of(path, OTHERS.get(source, NOBODY)) if path.is_file() else word.split(",")
    for cell in cells:
        if not re.fullmatch(r"[\w-]+", cell):
            raise StsError(f"{cell[:60]!r} is neither a specimen id nor a file of them")
    return tuple(dict.fromkeys(cells))


def _cells_of(path: Path, others: re.Pattern[str]) -> list[str]:
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
        found = (NUMBER.search(line) for line in lines if not others.search(line))
        cells = [match[0] for match in found if match]
    if not cells:
        raise StsError(f"no specimen ids in {path}: a list, or a table with specimen_id, is wanted")
    return cells
