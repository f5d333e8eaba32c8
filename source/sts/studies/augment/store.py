"""Computed scores on disk, shared by all runs with the same settings."""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.augment.contract import GENERATORS, read_tuned_settings
from sts.augment.evaluate import describe_setup
from sts.augment.fidelity import MEASURES, Measurement
from sts.augment.grid import Division, read_scores, score_key, write_scores
from sts.augment.tasks import Task
from sts.base.errors import StsError
from sts.base.files import make_folder, read_csv, try_lock, write_csv
from sts.base.settings import to_dict
from sts.studies.augment.results import GeneratedRows
from sts.studies.augment.settings import Job

# Must be changed whenever the meaning of the same settings changes.
SCORES_FORMAT: Final = "sts-augment 1"
# The column of the class in files of samples. No feature has this name.
LABEL: Final = "class of the row"
NOTE_COLUMN: Final = "note"
# Files of an item in addition to its scores, by the end of their name.
ITEM_FILES: Final = ("fidelity", "made", "notes")
STORE_LOCK: Final = ".lock"
# Seconds between two tries to lock a folder.
RETRY_S: Final = 0.02
FIDELITY: Final = ("measure", "against", "label", "feature", "value")


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder with files for each method and division."""

    folder: Path
    task: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    """The features."""
    tuned: bool
    generators: Mapping[str, Any]
    device: str = "cpu"
    """The kind of device of deep generators: rows depend on it."""

    def path(self, method: str, division: Division, kind: str = "") -> Path:
        """Return the file of an item: its scores, or a file of another kind."""
        name = method
        if method in GENERATORS:
            changes = self.generators.get(method, {})
            name += f"-{_digest([to_dict(read_tuned_settings(method, self.task)), changes])}"
            if GENERATORS[method].deep and self.device != "cpu":
                name += f"-{self.device}"
        end = f"-{kind}" if kind else ""
        return self.folder / f"{name}-{division.repeat}-{division.fold}{end}.csv"

    def scores(self, method: str, division: Division) -> list[dict[str, Any]]:
        """Return the stored scores of an item whose classifiers have their current settings."""
        path = self.path(method, division)
        if not path.is_file():
            return []
        try:
            rows = read_scores(path)
        except ValueError as error:
            raise StsError(f"{path} has no scores ({error}): delete it and run again") from error
        return [row for row in rows if self.tuned or _is_current(row)]

    def add_scores(
        self, method: str, division: Division, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Write the scores of an item, together with scores that another run has written."""
        with _lock_folder(self.folder):
            known = {score_key(row): row for row in (*self.scores(method, division), *rows)}
            write_scores(self.path(method, division), known.values(), self.classes)

    def measurements(self, method: str, division: Division) -> list[Measurement]:
        """Return the fidelity of an item's generator; nothing if a measure is missing."""
        path = self.path(method, division, "fidelity")
        if not path.is_file():
            return []
        rows = read_csv(path, FIDELITY)
        if {row["measure"] for row in rows} != set(MEASURES):
            return []
        return [
            Measurement(**{**row, "value": float(row["value"] or "nan")})  # type: ignore[arg-type]
            for row in rows
        ]

    def write_measurements(
        self, method: str, division: Division, measurements: Sequence[Measurement]
    ) -> None:
        """Write the fidelity of a generator."""
        path = self.path(method, division, "fidelity")
        write_csv(path, FIDELITY, [vars(measurement) for measurement in measurements])

    def samples(self, method: str, division: Division) -> GeneratedRows | None:
        """Return the stored rows of a generator, None if there are none."""
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

    def write_samples(self, method: str, division: Division, samples: GeneratedRows) -> None:
        """Write rows of a generator."""
        rows = (
            {LABEL: self.classes[label], **dict(zip(self.names, row.tolist(), strict=True))}
            for label, row in zip(samples.labels, samples.rows, strict=True)
        )
        write_csv(self.path(method, division, "made"), (LABEL, *self.names), rows)

    def notes(self, method: str, division: Division) -> list[str]:
        """Return the notes of an item's generator."""
        path = self.path(method, division, "notes")
        return (
            [row[NOTE_COLUMN] for row in read_csv(path, (NOTE_COLUMN,))] if path.is_file() else []
        )

    def write_notes(self, method: str, division: Division, notes: Sequence[str]) -> None:
        """Write the notes of a generator."""
        write_csv(
            self.path(method, division, "notes"),
            (NOTE_COLUMN,),
            [{NOTE_COLUMN: note} for note in notes],
        )

    def delete(self, method: str, division: Division) -> None:
        """Delete all files of an item."""
        for kind in ("", *ITEM_FILES):
            self.path(method, division, kind).unlink(missing_ok=True)


def open_store(output: Path, job: Job, task: Task, divisions: Sequence[Division]) -> Store:
    """Return the store of all scores on these neurons with these divisions and preparation."""
    parts = {
        "format": SCORES_FORMAT,
        "neurons": task.neurons.fingerprint(),
        "lenders": task.borrowable.fingerprint() if task.borrowable and job.borrow else None,
        # A run with more repeats uses the scores of a run with fewer repeats.
        "divided": [row.scored.tolist() for row in divisions if row.repeat == 0],
        "preparing": to_dict(job.grid.preparation),
        "tune": job.tune,
        "seed": job.seed,
    }
    if task.condition is not None:
        parts["given"] = [task.condition.words, np.flatnonzero(task.condition.met).tolist()]
    name = f"{job.task}-{job.features}-{job.protocol}-{_digest(parts)}"
    return Store(
        folder=output / "augment" / "cells" / name,
        task=job.task,
        classes=task.neurons.classes,
        names=task.neurons.names,
        tuned=job.tune,
        generators=job.generators,
        device=_choose_kind_of_device(job),
    )


def _choose_kind_of_device(job: Job) -> str:
    """Return the kind of device of deep generators; torch is imported only if there are some."""
    if not any(method in GENERATORS and GENERATORS[method].deep for method in job.methods):
        return "cpu"
    from sts.learning.device import choose_device

    return choose_device(job.device).type


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Let one process at a time change the files in a folder."""
    make_folder(folder)
    with contextlib.ExitStack() as stack:
        # If the lock file cannot be written, writing the scores fails too, with a clear message.
        with contextlib.suppress(OSError):
            file = stack.enter_context((folder / STORE_LOCK).open("ab"))
            while not try_lock(file):
                time.sleep(RETRY_S)
        yield


def _is_current(row: Mapping[str, Any]) -> bool:
    try:
        return bool(row["setup"] == describe_setup(row["classifier"], None))
    except (KeyError, StsError):
        return False


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
