"""The labelled cells of a study, divided into training cells, holdout and folds."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.datasets.cells import Cells, Identified, Rows, identify_cells
from sts.datasets.splits import Split, folds_of, keep_aside
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import Scores, by_dataset

logger = logging.getLogger("sts")

C = TypeVar("C", bound=Rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Rows of a cohort for the fit, for early stopping, and for the scores."""

    fit: Ints
    validation: Ints
    """Empty for a model that is fitted in one step."""
    scored: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """Predictions of cells and their scores, pooled and by data set."""

    predictions: Predictions
    scores: dict[str, Scores]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort(ABC, Generic[C]):
    """Labelled cells, sorted by specimen id, and their sides of the split."""

    cells: C
    truth: Ints
    """Index into CLASSES."""
    split: Split
    train_rows: Ints
    _test_rows: Ints
    # Parts of a fold's cells of which one decides when to stop; 0: all cells are fitted.
    validation_parts: ClassVar[int] = 0

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a digest of the training cells: their ids, their classes and their data."""

    def is_trained_on(self, fingerprint: str) -> bool:
        """Tell whether a model with this fingerprint was trained on these training cells."""
        return fingerprint == self.fingerprint()

    def open_holdout(self, why: str) -> Ints:
        """Return the held-out rows, and write a line to the log."""
        logger.info("the holdout of %d cells is opened: %s", len(self._test_rows), why)
        return self._test_rows

    def rows_of(self, specimens: Sequence[str]) -> Ints:
        """Return the rows of these specimens."""
        places = {name: row for row, name in enumerate(self.cells.specimen_id.tolist())}
        if unknown := [name for name in specimens if name not in places]:
            raise StsError(
                f"no labelled specimen {unknown[0]!r} in these data: one that is there is "
                f"{self.cells.specimen_id[0]}"
            )
        return np.array([places[name] for name in specimens], dtype=np.int64)

    def folds(self, count: int, *, group_by: str, seed: int) -> list[Fold]:
        """Return the folds of the training cells, stratified by class and data set."""
        training = identify_cells(self.cells, self.train_rows)
        folds = []
        for number, (fitted, scored) in enumerate(
            folds_of(training, count, group_by=group_by, seed=seed)
        ):
            rest, validation = self._validation(
                identify_cells(training, fitted), group_by=group_by, seed=seed + number
            )
            folds.append(
                Fold(
                    fit=self.train_rows[fitted[rest]],
                    validation=self.train_rows[fitted[validation]],
                    scored=self.train_rows[scored],
                )
            )
        return folds

    def _validation(self, fitted: Cells, *, group_by: str, seed: int) -> tuple[Ints, Ints]:
        if not self.validation_parts:
            return np.arange(len(fitted)), np.array([], dtype=np.int64)
        return folds_of(fitted, self.validation_parts, group_by=group_by, seed=seed)[0]

    def keep_aside(self, *, group_by: str, seed: int) -> tuple[Ints, Ints]:
        """Return the training rows for the fit of the final model, and the rows kept aside."""
        training = identify_cells(self.cells, self.train_rows)
        fitted, kept = keep_aside(training, group_by=group_by, seed=seed)
        return self.train_rows[fitted], self.train_rows[kept]

    def predictions(self, rows: Ints, probabilities: Floats) -> Predictions:
        """Return the probabilities of these rows together with their true classes."""
        return Predictions(
            specimen_id=self.cells.specimen_id[rows],
            dataset=self.cells.dataset[rows],
            truth=self.truth[rows],
            probabilities=probabilities,
            donor_id=self.cells.donor_id[rows],
        )

    def evaluate(self, rows: Ints, probabilities: Floats, *, rng: np.random.Generator) -> Evaluated:
        """Return the predictions of these rows and their scores."""
        predictions = self.predictions(rows, probabilities)
        return Evaluated(predictions=predictions, scores=by_dataset(predictions, rng=rng))


def find_sides(cells: Identified, split: Split) -> tuple[Ints, Ints]:
    """Return the training rows and the held-out rows."""
    train, test = (
        np.flatnonzero(np.isin(cells.specimen_id, sorted(side)))
        for side in (split.train, split.test)
    )
    return train, test
