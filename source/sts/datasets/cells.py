"""The identity of cells, from a sweep store, a table of features or a folder of data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar

import numpy as np

from sts.base import guard
from sts.base.errors import StsError
from sts.base.types import Bools, Ints, Texts
from sts.datasets.allen import find_allen, read_allen
from sts.datasets.labels import find_labels, read_labels
from sts.datasets.store import TEXTS, read_cell_texts
from sts.datasets.table import OWN_TABLE, PUBLISHED_TABLES

STORE_NAME: Final = "sweeps.h5"


class Identified(Protocol):
    """Cells with their ids, donors and labels; element i of every array belongs to cell i."""

    @property
    def specimen_id(self) -> Texts:
        """Return ids; they are unique and not empty."""

    @property
    def donor_id(self) -> Texts:
        """Return the animals, empty if unknown."""

    @property
    def label(self) -> Texts:
        """Return the classes, empty if unknown."""

    @property
    def dataset(self) -> Texts:
        """Return the data sets of origin, empty if unknown."""

    @property
    def claimed_id(self) -> Texts:
        """Return the id in the file if several files have this id, else an empty text."""

    def __len__(self) -> int: ...


class Rows(Identified, Protocol):
    """A dataclass of cells from which some can be selected."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def rows(self, which: Bools | Ints) -> Self:
        """Return the cells that a mask or indices choose, in that order."""


T = TypeVar("T", bound=Rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """The identity of n cells, without sweeps or features."""

    specimen_id: Texts
    donor_id: Texts
    label: Texts
    dataset: Texts
    claimed_id: Texts

    def __len__(self) -> int:
        return len(self.specimen_id)

    def rows(self, which: Bools | Ints) -> "Cells":
        """Return the cells that a mask or indices choose, in that order."""
        return Cells(**{name: getattr(self, name)[which] for name in TEXTS})


def identify_cells(cells: Identified, rows: Ints | None = None) -> Cells:
    """Return the identity of the cells in `rows`, or of all cells."""
    which: Any = slice(None) if rows is None else rows
    return Cells(**{name: getattr(cells, name)[which] for name in TEXTS})


def with_donors(cells: T, data: Path) -> T:
    """Return the cells with the donors from the tables of the Allen Institute in `data`.

    The institute uses the same animal numbers in all data sets. The donors of other cells stay.
    """
    tables = [read_allen(path) for path in find_allen([data])]
    known = {name: cell.donor_id for table in tables for name, cell in table.items()}
    if not known:
        return cells
    pairs = zip(cells.specimen_id.tolist(), cells.donor_id.tolist(), strict=True)
    donors = [known.get(name) or own for name, own in pairs]
    return replace(cells, donor_id=np.array(donors, dtype=np.str_))


def find_tables(data: Path) -> list[Path]:
    """Return the tables of features in a data folder and in the folders of its data sets."""
    published = [data / name for name in PUBLISHED_TABLES]
    return [path for path in (*published, *_find_in_data_sets(data, OWN_TABLE)) if path.is_file()]


def find_stores(data: Path) -> list[Path]:
    """Return the sweep stores in a data folder and in the folders of its data sets."""
    return [path for path in _find_in_data_sets(data, STORE_NAME) if path.is_file()]


def require_stores(data: Path) -> list[Path]:
    """Return the sweep stores; without any, raise an error that explains how to make one."""
    if not (stores := find_stores(data)):
        raise StsError(
            f"no {STORE_NAME} in {data} or the folders in it: make one with `data_pipeline.py "
            "build FOLDER --out DIR`, or try --demo"
        )
    return stores


def _find_in_data_sets(data: Path, name: str) -> list[Path]:
    return [data / name, *sorted(data.glob(f"*/{name}"))]


def cells_of_store(path: Path) -> Cells:
    """Return the identity of the cells of a sweep store, without its sweeps."""
    try:
        with guard.open_hdf5(path) as file:
            return Cells(**read_cell_texts(file, max_bytes=path.stat().st_size))
    except StsError as error:
        raise StsError(f"the sweep store {path} {error}") from error


def cells_of_table(path: Path) -> Cells:
    """Return the identity of the cells of a table of features, without their features."""
    # Most folders of sweeps contain no table.
    from sts.datasets.ep_tables import read_ep_table

    return identify_cells(read_ep_table(path, needed=()))


def cells_in(data: Path) -> Cells:
    """Return all cells in a data folder in any form, each once, sorted by id, with labels."""
    label_file = find_labels(data)
    labels = read_labels(label_file) if label_file else {}
    sources = [
        *(cells_of_store(path) for path in find_stores(data)),
        *(cells_of_table(path) for path in find_tables(data)),
    ]
    cells = unite_cells(sources)
    known = [labels[name] for name in cells.specimen_id.tolist() if name in labels]
    labelled = _to_cells([vars(label) for label in known])
    return with_donors(unite_cells([cells, labelled]), data)


def unite_cells(sources: Iterable[Identified]) -> Cells:
    """Return the cells of all sources, each once, sorted by id; sources fill empty texts."""
    rows: dict[str, dict[str, str]] = {}
    for source in sources:
        columns = (getattr(source, name).tolist() for name in TEXTS)
        for values in zip(*columns, strict=True):
            row = dict(zip(TEXTS, values, strict=True))
            known = rows.setdefault(row["specimen_id"], row)
            rows[row["specimen_id"]] = {name: known[name] or row[name] for name in TEXTS}
    return _to_cells([rows[specimen] for specimen in sorted(rows)])


def _to_cells(rows: Sequence[Mapping[str, str]]) -> Cells:
    return Cells(
        **{name: np.array([row.get(name, "") for row in rows], dtype=np.str_) for name in TEXTS}
    )
