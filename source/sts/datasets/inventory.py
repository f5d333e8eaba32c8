"""What lies in a folder of data: labels, splits, tables, stores, and what cannot be read of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.datasets.allen import AllenCell, find_allen, read_allen
from sts.datasets.ep_tables import PUBLISHED_TABLES, EpTable, read_ep_table
from sts.datasets.etypes import find_etypes, read_etypes
from sts.datasets.identity import (
    Cells,
    Identified,
    cells_of_store,
    find_stores,
    find_tables,
    united,
)
from sts.datasets.labels import CellLabel, LabelFile, find_labels, read_label_file
from sts.datasets.laboratories import find_laboratories
from sts.datasets.published_split import PUBLISHED, held_out_specimens, read_split_file
from sts.datasets.splits import SPLIT_NAME, find_split

T = TypeVar("T")
PATCH_CLAMP: Final = next(name for name, dataset in PUBLISHED_TABLES.items() if "Clamp" in dataset)


@dataclass(frozen=True, kw_only=True)
class SplitSides:
    """A division into cells to train on and cells that are held out."""

    path: Path
    group_by: str
    is_published: bool
    train: Mapping[str, str]
    """Data set of each specimen, empty where the file does not say it."""
    test: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Inventory:
    """All that could be read in a folder of data, and what could not."""

    data: Path
    labels: LabelFile | None
    sides: SplitSides | None
    tables: dict[Path, EpTable]
    stores: dict[Path, Cells]
    etypes: dict[str, str]
    allen: dict[str, AllenCell]
    held_out: frozenset[str]
    """Specimens of the published test split."""
    faults: tuple[tuple[Path, str], ...]

    @property
    def holders(self) -> list[tuple[Path, Identified]]:
        """Return the stores and tables that hold cells."""
        return [*self.stores.items(), *self.tables.items()]

    @cached_property
    def cells(self) -> Cells:
        """Return the cells of all stores and tables, each once."""
        return united([each for _, each in self.holders])

    @cached_property
    def donors(self) -> dict[str, str]:
        """Return the donor of every specimen of which any file says it."""
        labels = self.labels.labels if self.labels else {}
        own = zip(self.cells.specimen_id.tolist(), self.cells.donor_id.tolist(), strict=True)
        named = {specimen: label.donor_id for specimen, label in labels.items()}
        tables = {specimen: cell.donor_id for specimen, cell in self.allen.items()}
        known = [*own, *named.items(), *tables.items()]
        return {specimen: donor for specimen, donor in known if donor}

    @cached_property
    def classes(self) -> dict[str, CellLabel]:
        """Return the classes of cells: of the label file, or else those of stores and tables."""
        known = self.labels.labels if self.labels else {}
        cells = self.cells
        own = zip(cells.specimen_id.tolist(), cells.label.tolist(), strict=True)
        return {a: CellLabel(specimen_id=a, label=b) for a, b in own if b} | known

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files that were read."""
        one = [self.labels.path] if self.labels else []
        split = [self.sides.path] if self.sides else []
        return (*one, *split, *self.tables, *self.stores)


def take_inventory(data: Path) -> Inventory:
    """Read all that lies in a folder of data; a file that cannot be read is named, not raised."""
    # By reason: two may read the same file.
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
        labels=next(iter(labels.values()), None),
        sides=next(iter(sides.values()), None),
        tables=dict(attempt(read_ep_table, find_tables(data))),
        stores=dict(attempt(cells_of_store, find_stores(data))),
        etypes=next(iter(etypes.values()), {}),
        allen={key: cell for table in allen.values() for key, cell in table.items()},
        held_out=held_out.get(data, frozenset()),
        faults=tuple((path, reason) for reason, path in faults.items()),
    )
    if not (inventory.paths or inventory.faults or find_laboratories(data)):
        raise StsError(
            f"nothing to check in {data}: fetch the published tables with `data_pipeline.py fetch "
            "sts-tables` and `data_pipeline.py fetch etypes`, or build recordings into it with "
            "`data_pipeline.py build FOLDER --out DIR`"
        )
    return inventory


def _split_paths(data: Path) -> list[Path]:
    published = [data / name for name in PUBLISHED.values()]
    if any(path.is_file() for path in published):
        return [published[0].parent]
    return [data / SPLIT_NAME] if (data / SPLIT_NAME).is_file() else []


def _read_sides(path: Path) -> SplitSides:
    """Return both sides, also of a published split that has cells on both."""
    if path.name == SPLIT_NAME:
        split = find_split(path.parent)
        if split is None:
            raise StsError(f"cannot read {path}: it has gone")
        own = [dict.fromkeys(sorted(side), "") for side in (split.train, split.test)]
        return SplitSides(
            path=path, group_by=split.group_by, is_published=False, train=own[0], test=own[1]
        )
    published = {side: read_split_file(path.parent / name) for side, name in PUBLISHED.items()}
    return SplitSides(path=path, group_by="specimen", is_published=True, **published)


def _etypes(path: Path, data: Path) -> dict[str, str]:
    table = data / PATCH_CLAMP
    return read_etypes(path, features=read_csv(table, []) if table.is_file() else ())
