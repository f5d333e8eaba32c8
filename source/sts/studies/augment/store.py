"""Finished cells on disk, shared by all runs that would arrive at the same ones."""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.augment.contract import GENERATORS, tuned_settings
from sts.augment.division import Division
from sts.augment.evaluate import setup_of
from sts.augment.fidelity.measure import MEASURES, Found
from sts.augment.grid import key_of, read_scores, write_scores
from sts.augment.tasks import Task
from sts.base.errors import StsError
from sts.base.files import make_folder, read_csv, try_lock, write_csv
from sts.base.settings import to_dict
from sts.studies.augment.results import GeneratedRows
from sts.studies.augment.settings import Job

# Raised where the same settings come to mean something else.
FORMAT: Final = "sts-augment 1"
# The column of the class, which is no feature.
LABEL: Final = "class of the row"
NOTE: Final = "note"
# What is kept of an item beside its cells: figures, rows to look at, what was done otherwise.
KINDS: Final = ("fidelity", "made", "notes")
LOCK: Final = ".lock"
# How often a lock that another run holds is asked for.
ASKED_S: Final = 0.02
FIDELITY: Final = ("measure", "against", "label", "feature", "value")


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder with a file for each method and division."""

    folder: Path
    task: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    """Of the features."""
    tuned: bool
    generators: Mapping[str, Any]
    device: str = "cpu"
    """The kind that deep generators run on: another kind gives other rows."""

    def path(self, method: str, division: Division, kind: str = "") -> Path:
        """Return the file of an item: of its cells, of another kind."""
        name = method
        if method in GENERATORS:
            given = self.generators.get(method, {})
            name += f"-{_digest([to_dict(tuned_settings(method, self.task)), given])}"
            if GENERATORS[method].deep and self.device != "cpu":
                name += f"-{self.device}"
        what = f"-{kind}" if kind else ""
        return self.folder / f"{name}-{division.repeat}-{division.fold}{what}.csv"

    def cells(self, method: str, division: Division) -> list[dict[str, Any]]:
        """Return the finished cells of an item whose classifiers are set up as they are now."""
        path = self.path(method, division)
        if not path.is_file():
            return []
        try:
            rows = read_scores(path)
        except ValueError as error:
            raise StsError(f"{path} holds no cells ({error}): delete it and run again") from error
        return [row for row in rows if self.tuned or _is_current(row)]

    def found(self, method: str, division: Division) -> list[Found]:
        """Return what was measured on the generator of an item; nothing if not all of it was."""
        path = self.path(method, division, "fidelity")
        if not path.is_file():
            return []
        rows = read_csv(path, FIDELITY)
        if {row["measure"] for row in rows} != set(MEASURES):
            return []
        return [
            Found(**{**row, "value": float(row["value"] or "nan")})  # type: ignore[arg-type]
            for row in rows
        ]

    def keep(self, method: str, division: Division, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the cells of an item, beside those that another run has scored meanwhile."""
        with _alone(self.folder):
            known = {key_of(row): row for row in (*self.cells(method, division), *rows)}
            write_scores(self.path(method, division), known.values(), self.classes)

    def keep_found(self, method: str, division: Division, found: Sequence[Found]) -> None:
        """Write what was measured on a generator."""
        write_csv(self.path(method, division, "fidelity"), FIDELITY, [vars(each) for each in found])

    def made(self, method: str, division: Division) -> GeneratedRows | None:
        """Return the rows that were made to be looked at, None if none were."""
        path = self.path(method, division, "made")
        if not path.is_file():
            return None
        rows = read_csv(path, (LABEL, *self.names))
        values = [[float(row[name] or "nan") for name in self.names] for row in rows]
        labels = [self.classes.index(row[LABEL]) for row in rows]
        return GeneratedRows(
            rows=np.array(values).reshape(len(rows), len(self.names)),
            labels=np.array(labels, dtype=np.int64),
        )

    def keep_made(self, method: str, division: Division, made: GeneratedRows) -> None:
        """Write rows that were made to be looked at."""
        rows = (
            {LABEL: self.classes[label], **dict(zip(self.names, row.tolist(), strict=True))}
            for label, row in zip(made.labels, made.rows, strict=True)
        )
        write_csv(self.path(method, division, "made"), (LABEL, *self.names), rows)

    def notes(self, method: str, division: Division) -> list[str]:
        """Return what the generator of an item did otherwise than asked for."""
        path = self.path(method, division, "notes")
        return [row[NOTE] for row in read_csv(path, (NOTE,))] if path.is_file() else []

    def keep_notes(self, method: str, division: Division, notes: Sequence[str]) -> None:
        """Write what a generator did otherwise than asked for."""
        write_csv(self.path(method, division, "notes"), (NOTE,), [{NOTE: note} for note in notes])

    def forget(self, method: str, division: Division) -> None:
        """Throw away what is known of an item."""
        for kind in ("", *KINDS):
            self.path(method, division, kind).unlink(missing_ok=True)


def open_store(output: Path, job: Job, task: Task, divided: Sequence[Division]) -> Store:
    """Return the store of all cells on these neurons, divided and prepared so."""
    parts = {
        "format": FORMAT,
        "neurons": task.neurons.fingerprint(),
        "lenders": task.lenders.fingerprint() if task.lenders and job.borrow else None,
        # More repeats go on with what fewer began.
        "divided": [row.scored.tolist() for row in divided if row.repeat == 0],
        "preparing": to_dict(job.grid.preparing),
        "tune": job.tune,
        "seed": job.seed,
    }
    name = f"{job.task}-{job.features}-{job.protocol}-{_digest(parts)}"
    return Store(
        folder=output / "augment" / "cells" / name,
        task=job.task,
        classes=task.neurons.classes,
        names=task.neurons.names,
        tuned=job.tune,
        generators=job.generators,
        device=_device_of(job),
    )


def _device_of(job: Job) -> str:
    """Return the kind of device that deep generators run on; without one torch is not needed."""
    if not any(method in GENERATORS and GENERATORS[method].deep for method in job.methods):
        return "cpu"
    from sts.learning.device import choose_device

    return choose_device(job.device).type


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time change what is in a folder."""
    make_folder(folder)
    with contextlib.ExitStack() as stack:
        # Where no lock can be made, the writing itself says why.
        with contextlib.suppress(OSError):
            file = stack.enter_context((folder / LOCK).open("ab"))
            while not try_lock(file):
                time.sleep(ASKED_S)
        yield


def _is_current(row: Mapping[str, Any]) -> bool:
    try:
        return bool(row["setup"] == setup_of(row["classifier"], None))
    except (KeyError, StsError):
        return False


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
