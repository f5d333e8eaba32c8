"""The cells of a study: labelled, divided, and the holdout behind one door."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.identity import Cells, identify_cells, with_donors
from sts.datasets.identity import find_stores as stores_in
from sts.datasets.published_split import leave_out_held
from sts.datasets.splits import Split, folds_of, keep_aside, split_of
from sts.datasets.store import SweepStore, load_store, merge_stores
from sts.evaluation.predictions import Predictions
from sts.learning.device import choose_device
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings
from sts.scalograms.published import has_published
from sts.studies.data.show import find_stores
from sts.studies.sts.published import published_cells

logger = logging.getLogger("sts")

# Inside a fold one cell in five decides when training stops (Amprimo et al., 2025).
VALIDATION_PARTS: Final = 5
# Where scalograms come from: computed from a sweep store, read from published files, or from a
# store if there is one.
ORIGINS: Final = ("auto", "computed", "published")


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Rows of a cohort that are fitted, that tell when to stop, and that are scored."""

    fit: Ints
    validation: Ints
    scored: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """Labelled cells, ordered by specimen id, and on which side each stands."""

    cells: SweepStore | Cells
    """With their sweeps, unless their scalograms are published."""
    labels: Ints
    """Index into CLASSES."""
    split: Split
    train_rows: Ints
    _test_rows: Ints

    def open_holdout(self, why: str) -> Ints:
        """Return the rows that are held out, and leave a line in the log."""
        logger.info("the holdout of %d cells is opened: %s", len(self._test_rows), why)
        return self._test_rows

    @property
    def is_published(self) -> bool:
        """Tell whether scalograms are read instead of being computed."""
        return not isinstance(self.cells, SweepStore)

    def fingerprint(self) -> str:
        """Return a digest of who the training cells are and of their classes, and one of sweeps."""
        training = identify_cells(self.cells, self.train_rows)
        who = hashlib.sha256("\n".join([*training.specimen_id, *training.label]).encode())
        if not isinstance(self.cells, SweepStore):
            return who.hexdigest()[:16]
        sweeps = hashlib.sha256(np.ascontiguousarray(self.cells.traces[self.train_rows]).data)
        return f"{who.hexdigest()[:16]}-{sweeps.hexdigest()[:16]}"

    def rows_of(self, specimens: Sequence[str]) -> Ints:
        """Return the rows of these specimens."""
        places = {name: row for row, name in enumerate(self.cells.specimen_id.tolist())}
        if unknown := [name for name in specimens if name not in places]:
            raise StsError(
                f"no labelled specimen {unknown[0]!r} in these data: one that is there is "
                f"{self.cells.specimen_id[0]}"
            )
        return np.array([places[name] for name in specimens], dtype=np.int64)

    def only(self, rows: Ints) -> "Cohort":
        """Return the cohort of these rows, in their order."""
        place = np.full(len(self.cells), -1)
        place[rows] = np.arange(len(rows))
        train, test = (place[side][place[side] >= 0] for side in (self.train_rows, self._test_rows))
        cells = self.cells
        some = cells.rows(rows) if isinstance(cells, SweepStore) else identify_cells(cells, rows)
        return replace(
            self, cells=some, labels=self.labels[rows], train_rows=train, _test_rows=test
        )

    def folds(self, count: int, *, group_by: str, seed: int) -> list[Fold]:
        """Return the folds of the training cells, each with its own validation cells."""
        training = identify_cells(self.cells, self.train_rows)
        folds = []
        for number, (fitted, scored) in enumerate(
            folds_of(training, count, group_by=group_by, seed=seed)
        ):
            inner, validation = folds_of(
                identify_cells(training, fitted),
                VALIDATION_PARTS,
                group_by=group_by,
                seed=seed + number,
            )[0]
            folds.append(
                Fold(
                    fit=self.train_rows[fitted[inner]],
                    validation=self.train_rows[fitted[validation]],
                    scored=self.train_rows[scored],
                )
            )
        return folds

    def keep_aside(self, *, group_by: str, seed: int) -> tuple[Ints, Ints]:
        """Return the training rows that the final network is fitted on, and those kept aside."""
        training = identify_cells(self.cells, self.train_rows)
        fitted, kept = keep_aside(training, group_by=group_by, seed=seed)
        return self.train_rows[fitted], self.train_rows[kept]

    def bank(self, images: ImageSettings, device: str) -> ImageBank:
        """Return the images of all cells, by row."""
        if not isinstance(self.cells, SweepStore):
            raise StsError("published scalograms are tested and explained on, not trained on")
        return ImageBank(self.cells, images, choose_device(device))

    def predictions(self, rows: Ints, probabilities: Floats) -> Predictions:
        """Return what a classifier says of these rows, beside the truth."""
        return Predictions(
            specimen_id=self.cells.specimen_id[rows],
            dataset=self.cells.dataset[rows],
            truth=self.labels[rows],
            probabilities=probabilities,
            donor_id=self.cells.donor_id[rows],
        )


def load_cohort(
    data: Path, *, group_by: str | None = None, seed: int, scalograms: str = "computed"
) -> Cohort:
    """Return the labelled cells in `data`, divided as kept there.

    Of the published test split there are those cells alone that the published split in `data` holds
    out. `scalograms` is one of ORIGINS.
    """
    published = _origin(data, scalograms) == "published"
    cells = with_donors(published_cells(data) if published else _labelled(data), data)
    cells = leave_out_held(cells, data, where=str(data), has_holdout=True)
    split = split_of(cells, data, group_by=group_by, seed=seed)
    train, test = (
        np.flatnonzero(np.isin(cells.specimen_id, sorted(side)))
        for side in (split.train, split.test)
    )
    counts = len(train), len(test), split.origin
    logger.info("%d cells to train on, %d held out (%s)", *counts)
    return Cohort(
        cells=cells,
        labels=np.array([CLASSES.index(label) for label in cells.label.tolist()]),
        split=split,
        train_rows=train,
        _test_rows=test,
    )


def _origin(data: Path, scalograms: str) -> str:
    """Return where scalograms come from, and leave a line in the log."""
    one_of(scalograms, ORIGINS, "origin of scalograms")
    stored, published = bool(stores_in(data)), has_published(data)
    if scalograms == "auto":
        scalograms = "published" if published and not stored else "computed"
    if scalograms == "published":
        logger.info("scalograms are the published ones in %s", data)
    elif published:
        logger.info("scalograms are computed from sweeps; the published ones are not looked at")
    return scalograms


def _labelled(data: Path) -> SweepStore:
    """Return the labelled cells of all sweep stores, by specimen id."""
    store = merge_stores([load_store(path) for path in find_stores(data)])
    labelled = store.rows(np.isin(store.label, CLASSES))
    if not len(labelled):
        raise StsError(f"no cell in {data} has a label: build with --labels")
    return labelled.rows(np.argsort(labelled.specimen_id))
