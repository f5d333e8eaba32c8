"""Tables that say which column of a file is which of our features, and in which unit.

`columns.csv` maps the published tables of other laboratories. The user's own table needs a file of
the same kind.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from sts.base.errors import StsError, one_of
from sts.base.files import list_some, read_csv
from sts.datasets.table import CLAIMED, ROW_IDENTITY, check_name, read_number
from sts.signals.feature_names import FEATURES

COLUMN_MAPS: Final = Path(__file__).with_name("columns.csv")
# How well a column agrees with our feature: equal for cells in two data sets; of the same
# definition, without common cells to check it; of a similar definition.
AGREEMENTS: Final = ("equal", "defined", "close")


@dataclass(frozen=True, kw_only=True)
class Term:
    """The term that one column adds to a feature: `factor` times its value, plus `offset`."""

    column: str
    factor: float
    offset: float


@dataclass(frozen=True, kw_only=True)
class ColumnMap:
    """How the columns of one table become our features."""

    path: Path
    dataset: str
    """Empty if the file does not name it."""
    names: Mapping[str, str]
    """The column of each name of ROW_IDENTITY that the file maps."""
    terms: Mapping[str, tuple[Term, ...]]
    """By feature, which is the sum of its terms."""
    agreement: Mapping[str, str]
    """By feature: one of AGREEMENTS, empty if the file has none."""
    unmapped: tuple[str, ...]
    """Columns, or patterns of columns, that are not features of ours."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that a table must have."""
        of_terms = (term.column for terms in self.terms.values() for term in terms)
        return tuple(dict.fromkeys([*self.names.values(), *of_terms]))

    def measure(self, row: Mapping[str, str], feature: str) -> float:
        """Return a feature of a row, NaN if a column that it needs is empty."""
        return sum(
            term.factor * read_number(row[term.column], term.column) + term.offset
            for term in self.terms[feature]
        )

    def says_unmapped(self, column: str) -> bool:
        """Tell whether the file says that a column is not a feature of ours."""
        return any(fnmatchcase(column, pattern) for pattern in self.unmapped)


def read_column_map(path: Path, *, dataset: str = "") -> ColumnMap:
    """Return a column map.

    Parameters
    ----------
    path
        A table with the columns source and feature, and perhaps dataset, factor, offset, agreement
        and checked. A feature in several lines is the sum of them.
    dataset
        Read only the lines of this data set; None: the file must have a single data set.
    """
    lines = list(enumerate(read_csv(path, ["source", "feature"]), start=2))
    datasets = sorted({row.get("dataset", "") for _, row in lines})
    if dataset:
        lines = [(line, row) for line, row in lines if row.get("dataset", "") == dataset]
    elif len(datasets) > 1:
        raise StsError(f"{path} maps several data sets, {', '.join(datasets)}: keep one of them")
    if not lines:
        raise StsError(f"no line in {path}: lines of source,feature,factor,offset are needed")
    for line, row in lines:
        _check(row, f"{path}, line {line}")
    rows = [row for _, row in lines]
    mapped = [row for row in rows if row["feature"] in FEATURES]
    return ColumnMap(
        path=path,
        dataset=dataset or datasets[0],
        names={row["feature"]: row["source"] for row in rows if row["feature"] in ROW_IDENTITY},
        terms={
            row["feature"]: tuple(_term(own) for own in mapped if own["feature"] == row["feature"])
            for row in mapped
        },
        agreement={row["feature"]: row.get("agreement", "") for row in mapped},
        unmapped=tuple(row["source"] for row in rows if not row["feature"]),
    )


def _term(row: Mapping[str, str]) -> Term:
    return Term(
        column=row["source"],
        factor=float(row.get("factor") or 1),
        offset=float(row.get("offset") or 0),
    )


def _check(row: Mapping[str, str], where: str) -> None:
    """Refuse a line without a column, with an unknown feature, or with text instead of a number."""
    try:
        check_name(row["source"], "a column")
        check_name(row.get("dataset", ""), "the dataset")
        if not row["source"]:
            raise StsError("no column under source")
        if row["feature"]:
            one_of(row["feature"], (*ROW_IDENTITY, *FEATURES), "feature")
        if row.get("agreement"):
            one_of(row["agreement"], AGREEMENTS, "agreement")
        for name in ("factor", "offset"):
            read_number(row.get(name, ""), name)
    except StsError as error:
        raise StsError(f"{where}: {str(error).split(' choose from')[0]}") from error


def require_columns(there: Iterable[str], columns: ColumnMap, *, title: str) -> None:
    """Refuse a table without the columns that its map names, or without an id."""
    known = set(there)
    if missing := [name for name in columns.columns if name not in known]:
        raise StsError(
            f"no column {list_some(map(repr, missing))} in {title}: {columns.path} maps it"
        )
    if columns.names.get("specimen_id", "specimen_id") not in known:
        raise StsError(
            f"no column 'specimen_id' in {title}: name the column of the ids in {columns.path} by "
            "a line whose feature is specimen_id"
        )


def translate_row(row: Mapping[str, str], columns: ColumnMap) -> dict[str, str]:
    """Return a row with our names of cells and features, empty if a value is missing.

    A column that already has our name is used unchanged, unless the map contains it.
    """
    translated = {
        name: row.get(columns.names.get(name, name), "") for name in (*ROW_IDENTITY, CLAIMED)
    }
    translated["dataset"] = translated["dataset"] or columns.dataset
    for name in FEATURES:
        if name in columns.terms:
            value = columns.measure(row, name)
            # NaN, the one value that differs from itself, leaves a cell empty.
            translated[name] = "" if value != value else repr(value)
        elif not columns.says_unmapped(name):
            translated[name] = row.get(name, "")
    return translated
