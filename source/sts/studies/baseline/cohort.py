"""The labelled cells of a feature table, divided, and the holdout behind one door."""

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Bools, Floats, Ints
from sts.datasets.ep_tables import (
    PUBLISHED_TABLES,
    EpTable,
    find_ep_tables,
    load_ep_tables,
    with_labels,
)
from sts.datasets.feature_sets import raw_features, with_features
from sts.datasets.identity import with_donors
from sts.datasets.labels import find_labels, labels_of, read_labels
from sts.datasets.published_split import PUBLISHED, leave_out_held, read_split_file
from sts.datasets.splits import Split, folds_of, keep_aside, split_of
from sts.evaluation.predictions import Predictions
from sts.studies.baseline.settings import Chosen

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where cells come from."""

    data: Path
    """Where splits are kept, also that of a table that lies elsewhere."""
    table: Path | None = None
    """A table of one's own, instead of those in `data`; nothing beside it is read."""
    labels: Path | None = None
    """A file of labels, instead of those in `data`."""

    @property
    def table_name(self) -> str:
        """Return what the split of a table of one's own is called, "" without one."""
        return "" if self.table is None else self.table.stem

    @property
    def title(self) -> str:
        """Return what holds the cells."""
        return str(self.data if self.table is None else self.table)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Rows of a table that are fitted, and that are scored."""

    fit: Ints
    scored: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """Labelled cells, ordered by specimen id, and on which side each stands."""

    table: EpTable
    """With the chosen features."""
    truth: Ints
    """Index into CLASSES."""
    split: Split
    train_rows: Ints
    _test_rows: Ints

    def open_holdout(self, why: str) -> Ints:
        """Return the rows that are held out, and leave a line in the log."""
        logger.info("the holdout of %d cells is opened: %s", len(self._test_rows), why)
        return self._test_rows

    def fingerprint(self) -> str:
        """Return a digest of the training cells: who they are, their classes and features."""
        training = self.table.rows(self.train_rows)
        texts = [*training.names, *training.specimen_id, *training.label, *training.dataset]
        digest = hashlib.sha256("\n".join(texts).encode())
        digest.update(np.ascontiguousarray(training.X).data)
        return digest.hexdigest()[:16]

    def folds(self, count: int, *, group_by: str, seed: int) -> list[Fold]:
        """Return the folds of the training cells, classes and data sets evenly spread."""
        training = self.table.rows(self.train_rows)
        return [
            Fold(fit=self.train_rows[fitted], scored=self.train_rows[scored])
            for fitted, scored in folds_of(training, count, group_by=group_by, seed=seed)
        ]

    def keep_aside(self, *, group_by: str, seed: int) -> tuple[Ints, Ints]:
        """Return the training rows that the final model is fitted on, and those kept aside."""
        training = self.table.rows(self.train_rows)
        fitted, kept = keep_aside(training, group_by=group_by, seed=seed)
        return self.train_rows[fitted], self.train_rows[kept]

    def predictions(self, rows: Ints, probabilities: Floats) -> Predictions:
        """Return what a classifier says of these rows, beside the truth."""
        return Predictions(
            specimen_id=self.table.specimen_id[rows],
            dataset=self.table.dataset[rows],
            truth=self.truth[rows],
            probabilities=probabilities,
            donor_id=self.table.donor_id[rows],
        )


def load_cohort(
    source: Source, chosen: Chosen, *, group_by: str | None = None, seed: int = 0
) -> Cohort:
    """Return the labelled cells of a source with the chosen features, divided as kept in its data.

    Of the published test split there are those cells alone that the published split in `data` holds
    out.
    """
    table = with_donors(labelled_table(source, raw_features(chosen.names)), source.data)
    is_own = source.table is not None
    if not is_own:
        _check_split(source.data, table)
    table = leave_out_held(table, source.data, where=source.title, has_holdout=not is_own)
    split = split_of(table, source.data, table=source.table_name, group_by=group_by, seed=seed)
    train, test = (
        np.flatnonzero(np.isin(table.specimen_id, sorted(side)))
        for side in (split.train, split.test)
    )
    whole = _present(with_features(table, chosen.names, times=chosen.times), train, chosen)
    logger.info(
        "%d features; %d cells to train on, %d held out (%s)",
        *(len(whole.names), len(train), len(test), split.origin),
    )
    return Cohort(table=whole, truth=whole.truth, split=split, train_rows=train, _test_rows=test)


def _check_split(place: Path, table: EpTable) -> None:
    """Refuse a published split of cells that are not there: its figures would not compare."""
    ids = set(table.specimen_id.tolist())
    for name in PUBLISHED.values():
        path = place / name
        listed = read_split_file(path) if path.is_file() else {}
        if gone := sorted(set(listed) - ids):
            raise StsError(
                f"{path} lists specimens without features or without a label ({len(gone)}), such "
                f"as {gone[0]}: bring the tables and the labels that belong to it"
            )


def labelled_table(source: Source, needed: tuple[str, ...]) -> EpTable:
    """Return the cells of a source whose class is known, with the features that are needed."""
    paths = [source.table] if source.table is not None else find_ep_tables(source.data)
    table = load_ep_tables(paths, needed=needed)
    published = {source.data / name for name in PUBLISHED_TABLES}
    if source.labels is not None:
        table = with_labels(table, read_labels(source.labels), origin=str(source.labels))
    elif published & set(paths):
        found = labels_of(source.data)
        table = with_labels(table, found.labels, origin=str(found.path))
    elif source.table is None and (beside := find_labels(source.data)) is not None:
        table = with_labels(table, read_labels(beside), origin=str(beside))
    known = table.truth >= 0
    if not known.any():
        raise StsError(
            f"no cell in {paths[0]} has a label: give it a column label, or a file of lines of "
            "specimen_id,label with --labels"
        )
    return table.rows(known)


def _present(table: EpTable, train: Ints, chosen: Chosen) -> EpTable:
    """Return the table without features that no training cell has, if that is asked for."""
    there: Bools = np.asarray(np.isfinite(table.X[train]).any(axis=0))
    gone = [name for name, known in zip(table.names, there.tolist(), strict=True) if not known]
    if not gone:
        return table
    if not chosen.skip_missing or not there.any():
        more = f" and {len(gone) - 1} others" if len(gone) > 1 else ""
        raise StsError(
            f"none of the {len(train)} training cells has a value of {gone[0]}{more}: leave out "
            "what is missing with --skip-missing, or name other --features"
        )
    logger.warning("%d features that no training cell has are left out: %s", len(gone), gone[0])
    kept = tuple(name for name in table.names if name not in gone)
    return replace(table, X=np.ascontiguousarray(table.X[:, there]), names=kept)
