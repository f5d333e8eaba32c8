"""The cells of a study: labelled, divided, and the holdout behind one door."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.types import CLASSES, Floats, Ints
from sts.cells.splits import Split, folds_of, split_of
from sts.cells.store import NUMBERS, TEXTS, SweepStore, load_store
from sts.evaluation.predictions import Predictions
from sts.networks.images import ImageBank
from sts.scalograms.device import choose_device
from sts.scalograms.image import ImageSettings
from sts.studies.data.show import find_stores

logger = logging.getLogger("sts")

# Inside a fold one cell in five decides when training stops (Amprimo et al., 2025).
VALIDATION_PARTS: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Rows of a store that are fitted, that tell when to stop, and that are scored."""

    fit: Ints
    validation: Ints
    scored: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """Labelled cells, ordered by specimen id, and on which side each stands."""

    store: SweepStore
    labels: Ints
    """Index into CLASSES."""
    split: Split
    train_rows: Ints
    _test_rows: Ints

    def open_holdout(self, why: str) -> Ints:
        """Return the rows that are held out, and leave a line in the log."""
        logger.info("the holdout of %d cells is opened: %s", len(self._test_rows), why)
        return self._test_rows

    def fingerprint(self) -> str:
        """Return a digest of the training cells: who they are, their classes and sweeps."""
        training = self.store.rows(self.train_rows)
        digest = hashlib.sha256("\n".join([*training.specimen_id, *training.label]).encode())
        digest.update(np.ascontiguousarray(training.traces).data)
        return digest.hexdigest()[:16]

    def folds(self, count: int, *, group_by: str, seed: int) -> list[Fold]:
        """Return the folds of the training cells, each with its own validation cells."""
        training = self.store.rows(self.train_rows)
        folds = []
        for number, (fitted, scored) in enumerate(
            folds_of(training, count, group_by=group_by, seed=seed)
        ):
            inner, validation = folds_of(
                training.rows(fitted), VALIDATION_PARTS, group_by=group_by, seed=seed + number
            )[0]
            folds.append(
                Fold(
                    fit=self.train_rows[fitted[inner]],
                    validation=self.train_rows[fitted[validation]],
                    scored=self.train_rows[scored],
                )
            )
        return folds

    def bank(self, images: ImageSettings, device: str) -> ImageBank:
        """Return the images of all cells, by row."""
        return ImageBank(self.store, images, choose_device(device))

    def predictions(self, rows: Ints, probabilities: Floats) -> Predictions:
        """Return what a classifier says of these rows, beside the truth."""
        return Predictions(
            specimen_id=self.store.specimen_id[rows],
            dataset=self.store.dataset[rows],
            truth=self.labels[rows],
            probabilities=probabilities,
        )


def load_cohort(data: Path, *, group_by: str, seed: int) -> Cohort:
    """Return the labelled cells of all sweep stores in `data`, divided as kept there."""
    store = merged([load_store(path) for path in find_stores(data)])
    labelled = store.rows(np.isin(store.label, CLASSES))
    if not len(labelled):
        raise StsError(f"no cell in {data} has a label: build with --labels")
    store = labelled.rows(np.argsort(labelled.specimen_id))
    split = split_of(store, data, group_by=group_by, seed=seed)
    sides = {
        name: np.flatnonzero(np.isin(store.specimen_id, sorted(side)))
        for name, side in (("train", split.train), ("test", split.test))
    }
    logger.info(
        "%d cells to train on, %d held out (%s)",
        len(sides["train"]),
        len(sides["test"]),
        split.origin,
    )
    return Cohort(
        store=store,
        labels=np.array([CLASSES.index(label) for label in store.label.tolist()]),
        split=split,
        train_rows=sides["train"],
        _test_rows=sides["test"],
    )


def merged(stores: Sequence[SweepStore]) -> SweepStore:
    """Return one store of all cells; a specimen in two of them is refused by name."""
    if len(stores) == 1:
        return stores[0]
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(store, name) for store in stores])
        for name in ("traces", *TEXTS, *NUMBERS)
    }
    ids, times = np.unique(arrays["specimen_id"], return_counts=True)
    if (times > 1).any():
        raise StsError(
            f"specimen {ids[times > 1][0]} is in two sweep stores: name the one to use with --data"
        )
    return SweepStore(**arrays)
