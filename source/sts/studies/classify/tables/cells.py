"""The cells of tables of features: labelled, divided, with the features of a model."""

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Bools, Ints
from sts.datasets.cells import with_donors
from sts.datasets.column_maps import read_column_map
from sts.datasets.ep_tables import (
    EpTable,
    find_ep_tables,
    load_ep_tables,
    with_labels,
)
from sts.datasets.feature_sets import raw_features, with_features
from sts.datasets.labels import find_labels, labels_of, read_labels
from sts.datasets.splits import PUBLISHED_SPLIT, leave_out_held, read_split_file, split_of
from sts.datasets.table import PUBLISHED_TABLES
from sts.studies.classify.cohort import Cohort, find_sides
from sts.studies.classify.tables.settings import Chosen

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class Source:
    """The source of cells."""

    data: Path
    """The folder with tables and splits, including the split of a table in another folder."""
    table: Path | None = None
    """The user's own table, instead of the tables in `data`."""
    columns: Path | None = None
    """A file that maps its columns to features."""
    labels: Path | None = None
    """A file of labels, instead of the labels in `data`."""

    @property
    def table_name(self) -> str:
        """Return the name of the split of the user's own table, "" without one."""
        return "" if self.table is None else self.table.stem

    @property
    def title(self) -> str:
        """Return the place of the cells, for messages."""
        return str(self.data if self.table is None else self.table)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableCohort(Cohort[EpTable]):
    """Cells with the chosen features."""

    def fingerprint(self) -> str:
        """Return a digest of the training cells: their ids, classes and features."""
        training = self.cells.rows(self.train_rows)
        texts = [*training.names, *training.specimen_id, *training.label, *training.dataset]
        digest = hashlib.sha256("\n".join(texts).encode())
        digest.update(np.ascontiguousarray(training.X).data)
        return digest.hexdigest()[:16]


def load_table(
    source: Source, chosen: Chosen, *, group_by: str | None = None, seed: int = 0
) -> TableCohort:
    """Return the labelled cells of a source, with the chosen features and the split of its data.

    Cells of the published test split are left out, unless the split in `data` is the published one,
    in which they are test cells.
    """
    table = with_donors(labelled_table(source, raw_features(chosen.names)), source.data)
    is_own = source.table is not None
    if not is_own:
        _check_split(source.data, table)
    table = leave_out_held(table, source.data, where=source.title, has_holdout=not is_own)
    split = split_of(table, source.data, table=source.table_name, group_by=group_by, seed=seed)
    train, test = find_sides(table, split)
    whole = _drop_missing(with_features(table, chosen.names, times=chosen.times), train, chosen)
    counts = len(train), len(test), split.origin
    logger.info("%d features; %d cells to train on, %d held out (%s)", len(whole.names), *counts)
    return TableCohort(
        cells=whole, truth=whole.truth, split=split, train_rows=train, _test_rows=test
    )


def _check_split(place: Path, table: EpTable) -> None:
    """Raise an error if cells of a published split are missing: scores would not be comparable."""
    ids = set(table.specimen_id.tolist())
    for name in PUBLISHED_SPLIT.values():
        path = place / name
        listed = read_split_file(path) if path.is_file() else {}
        if gone := sorted(set(listed) - ids):
            raise StsError(
                f"{path} lists specimens without features or without a label ({len(gone)}), such "
                f"as {gone[0]}: add the tables and the labels that belong to it"
            )


def labelled_table(source: Source, needed: tuple[str, ...]) -> EpTable:
    """Return the cells of a source with a known class, and the features that are needed."""
    paths = [source.table] if source.table is not None else find_ep_tables(source.data)
    columns = None if source.columns is None else read_column_map(source.columns)
    table = load_ep_tables(paths, needed=needed, columns=columns)
    published = {source.data / name for name in PUBLISHED_TABLES}
    if source.labels is not None:
        table = with_labels(table, read_labels(source.labels), origin=str(source.labels))
    elif published & set(paths):
        published_labels = labels_of(source.data)
        origin = str(published_labels.path)
        table = with_labels(table, published_labels.labels, origin=origin)
    elif source.table is None and (beside := find_labels(source.data)) is not None:
        table = with_labels(table, read_labels(beside), origin=str(beside))
    known = table.truth >= 0
    if not known.any():
        raise StsError(
            f"no cell in {paths[0]} has a label: give it a column label, or a file of lines of "
            "specimen_id,label with --labels"
        )
    return table.rows(known)


def _drop_missing(table: EpTable, train: Ints, chosen: Chosen) -> EpTable:
    """Return the table without features that no training cell has, or raise an error for them."""
    present: Bools = np.asarray(np.isfinite(table.X[train]).any(axis=0))
    gone = [name for name, known in zip(table.names, present.tolist(), strict=True) if not known]
    if not gone:
        return table
    if not chosen.skip_missing or not present.any():
        more = f" and {len(gone) - 1} others" if len(gone) > 1 else ""
        raise StsError(
            f"none of the {len(train)} training cells has a value of {gone[0]}{more}: leave out "
            "missing features with --skip-missing, or choose other --features"
        )
    logger.warning("%d features that no training cell has are left out: %s", len(gone), gone[0])
    kept = tuple(name for name in table.names if name not in gone)
    return replace(table, X=np.ascontiguousarray(table.X[:, present]), names=kept)
