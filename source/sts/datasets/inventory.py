"""The content of a data folder: labels, splits, tables, stores, and unreadable files."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.base.types import CLASSES
from sts.datasets.allen import AllenCell, find_allen, read_allen
from sts.datasets.cells import (
    Cells,
    cells_of_store,
    find_stores,
    find_tables,
    unite_cells,
)
from sts.datasets.ep_tables import (
    EpTable,
    read_ep_table,
)
from sts.datasets.labels import (
    CellLabel,
    LabelFile,
    find_etypes,
    find_labels,
    read_etypes,
    read_label_file,
)
from sts.datasets.laboratories import find_laboratories
from sts.datasets.marks import CellMark, read_marks
from sts.datasets.splits import (
    PUBLISHED_SPLIT,
    SPLIT_NAME,
    find_split,
    held_out_specimens,
    read_split_file,
)
from sts.datasets.table import PUBLISHED_TABLES

T = TypeVar("T")
# The counts for each class and data set.
COUNTED: Final = ("labels", "train", "test", "features", "sweeps")
UNKNOWN_SOURCE: Final = "not known"
_PATCH_CLAMP: Final = next(name for name, dataset in PUBLISHED_TABLES.items() if "Clamp" in dataset)


@dataclass(frozen=True, kw_only=True)
class SplitSides:
    """A division into training cells and held-out cells."""

    path: Path
    group_by: str
    is_published: bool
    train: Mapping[str, str]
    """Data set of each specimen, empty if the file has none."""
    test: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CellEntry:
    """One cell of one store or table; texts are empty if unknown."""

    path: Path
    specimen_id: str
    label: str
    dataset: str
    claimed_id: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Inventory:
    """All readable files of a data folder, and which files are unreadable."""

    data: Path
    label_file: LabelFile | None
    sides: SplitSides | None
    tables: dict[Path, EpTable]
    stores: dict[Path, Cells]
    etypes: dict[str, str]
    allen: dict[str, AllenCell]
    held_out: frozenset[str]
    """Specimens of the published test split."""
    faults: tuple[tuple[Path, str], ...]
    marks: dict[str, CellMark] = field(default_factory=dict)
    """The marks that the user has given to cells in the viewer."""

    @cached_property
    def entries(self) -> list[CellEntry]:
        """Return the cells of every store and every table, in their order."""
        names = ("specimen_id", "label", "dataset", "claimed_id")
        return [
            CellEntry(path=path, **dict(zip(names, texts, strict=True)))
            for path, cells in [*self.stores.items(), *self.tables.items()]
            for texts in zip(*(getattr(cells, name).tolist() for name in names), strict=True)
        ]

    @cached_property
    def cells(self) -> Cells:
        """Return the cells of all stores and tables, each once."""
        return unite_cells([*self.stores.values(), *self.tables.values()])

    @property
    def labelled(self) -> dict[str, CellLabel]:
        """Return the cells of a class in the label file."""
        return self.label_file.labels if self.label_file else {}

    @property
    def unsure(self) -> frozenset[str]:
        """Return the cells without a class in the label file."""
        return self.label_file.unsure if self.label_file else frozenset()

    @cached_property
    def donors(self) -> dict[str, str]:
        """Return the donor of every specimen, if any file contains it."""
        own = zip(self.cells.specimen_id.tolist(), self.cells.donor_id.tolist(), strict=True)
        named = [(cell.specimen_id, cell.donor_id) for cell in self.labelled.values()]
        allen = [(specimen, cell.donor_id) for specimen, cell in self.allen.items()]
        return {specimen: donor for specimen, donor in (*own, *named, *allen) if donor}

    @cached_property
    def classes(self) -> dict[str, str]:
        """Return the classes of cells, from the label file, else from stores and tables."""
        own = zip(self.cells.specimen_id.tolist(), self.cells.label.tolist(), strict=True)
        named = {specimen: cell.label for specimen, cell in self.labelled.items()}
        return {specimen: label for specimen, label in own if label} | named

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files that were read."""
        labels = [self.label_file.path] if self.label_file else []
        split = [self.sides.path] if self.sides else []
        return (*labels, *split, *self.tables, *self.stores)

    def count_cells(self) -> list[tuple[str, ...]]:
        """Return rows of data set, class and the counts in COUNTED; the last row is the total."""
        members = self._members()
        datasets = self._datasets()
        kinds = {
            name: Counter(
                (datasets.get(specimen, UNKNOWN_SOURCE), self.classes.get(specimen, UNKNOWN_SOURCE))
                for specimen in specimens
            )
            for name, specimens in members.items()
        }
        order = (*CLASSES, UNKNOWN_SOURCE)
        lines = sorted(
            set().union(*kinds.values()),
            key=lambda kind: (kind[0] == UNKNOWN_SOURCE, kind[0], order.index(kind[1])),
        )
        return [
            *((*kind, *(str(kinds[name][kind]) for name in COUNTED)) for kind in lines),
            ("all", "", *(str(len(members[name])) for name in COUNTED)),
        ]

    def _members(self) -> dict[str, set[str]]:
        """Return the specimens of each count in COUNTED."""
        sides = self.sides
        return {
            "labels": {*self.labelled, *self.unsure} if self.label_file else set(self.classes),
            "train": set(sides.train) if sides else set(),
            "test": set(sides.test) if sides else set(),
            "features": {cell.specimen_id for cell in self.entries if cell.path in self.tables},
            "sweeps": {cell.specimen_id for cell in self.entries if cell.path in self.stores},
        }

    def _datasets(self) -> dict[str, str]:
        """Return the data set of every specimen, if any file contains it; the last file is used."""
        allen = [(specimen, cell.dataset) for specimen, cell in self.allen.items()]
        named = [(cell.specimen_id, cell.dataset) for cell in self.labelled.values()]
        sides = {**self.sides.train, **self.sides.test} if self.sides else {}
        own = zip(self.cells.specimen_id.tolist(), self.cells.dataset.tolist(), strict=True)
        known = (*allen, *named, *sides.items(), *own)
        return {specimen: dataset for specimen, dataset in known if dataset}


def take_inventory(
    data: Path, *, marks: Path | None = None, may_be_empty: bool = False
) -> Inventory:
    """Read all files in a data folder; an unreadable file is listed and raises no error.

    Parameters
    ----------
    marks
        A table that the viewer has exported.
    may_be_empty
        Accept a folder without any file.
    """
    # By reason, since the same file can be read twice.
    faults: dict[str, Path] = {}

    def attempt(read: Callable[[Path], T], paths: Iterable[Path]) -> Iterator[tuple[Path, T]]:
        for path in paths:
            try:
                yield path, read(path)
            except StsError as error:
                faults.setdefault(str(error), path)

    labels = dict(attempt(read_label_file, filter(None, [find_labels(data)])))
    sides = dict(attempt(_read_sides, _split_paths(data)))
    etypes = dict(attempt(lambda path: _etypes(path, data), filter(None, [find_etypes(data)])))
    allen = dict(attempt(read_allen, find_allen([data])))
    held_out = dict(attempt(held_out_specimens, [data]))
    inventory = Inventory(
        data=data,
        label_file=next(iter(labels.values()), None),
        sides=next(iter(sides.values()), None),
        tables=dict(attempt(read_ep_table, find_tables(data))),
        stores=dict(attempt(cells_of_store, find_stores(data))),
        etypes=next(iter(etypes.values()), {}),
        allen={key: cell for table in allen.values() for key, cell in table.items()},
        held_out=held_out.get(data, frozenset()),
        faults=tuple((path, reason) for reason, path in faults.items()),
        marks={} if marks is None else read_marks(marks),
    )
    is_empty = not (inventory.paths or inventory.faults or find_laboratories(data))
    if is_empty and not may_be_empty:
        raise StsError(
            f"nothing to check in {data}: fetch the published tables with `data_pipeline.py fetch "
            "sts-tables` and `data_pipeline.py fetch etypes`, or build recordings into it with "
            "`data_pipeline.py build FOLDER --out DIR`"
        )
    return inventory


def _split_paths(data: Path) -> list[Path]:
    published = [data / name for name in PUBLISHED_SPLIT.values()]
    if any(path.is_file() for path in published):
        return [published[0].parent]
    return [data / SPLIT_NAME] if (data / SPLIT_NAME).is_file() else []


def _read_sides(path: Path) -> SplitSides:
    """Return both sides, also of a published split with cells on both sides."""
    if path.name == SPLIT_NAME:
        split = find_split(path.parent)
        if split is None:
            raise StsError(f"cannot read {path}: it has gone")
        own = [dict.fromkeys(sorted(side), "") for side in (split.train, split.test)]
        return SplitSides(
            path=path, group_by=split.group_by, is_published=False, train=own[0], test=own[1]
        )
    published = {
        side: read_split_file(path.parent / name) for side, name in PUBLISHED_SPLIT.items()
    }
    return SplitSides(path=path, group_by="specimen", is_published=True, **published)


def _etypes(path: Path, data: Path) -> dict[str, str]:
    table = data / _PATCH_CLAMP
    return read_etypes(path, features=read_csv(table, []) if table.is_file() else ())
