"""Rules for the consistency of the files in a data folder: one function per rule, and a table."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.files import read_csv, write_csv
from sts.base.types import CLASSES, Bools
from sts.datasets.allen import assign, contradicts
from sts.datasets.cells import Identified
from sts.datasets.ep_tables import EpTable
from sts.datasets.inventory import Inventory, take_inventory
from sts.datasets.marks import MARKS
from sts.signals.feature_names import FEATURES

CHANGE: Final = "change"
NOTE: Final = "note"
FINDING_COLUMNS: Final = ("severity", "rule", "specimen_id", "where", "detail")
# Number of cases that the line of a rule names; the file of cases lists all.
NAMED_CASES: Final = 3
# If a feature is outside its range in a larger share of a table than this, its unit or the origin
# of its times is wrong.
MOST_OUTSIDE: Final = 0.5
RANGES: Final = Path(__file__).with_name("ranges.csv")


@dataclass(frozen=True, kw_only=True)
class Range:
    """Limits of a feature, both included; times are from the stimulus onset."""

    low: float
    high: float
    unit: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case in which a rule is broken."""

    where: str
    detail: str
    specimen_id: str = ""


@dataclass(frozen=True)
class Rule:
    """A rule, and its severity."""

    severity: str
    """`change`: such data must be corrected before a study; `note`: information."""
    words: str
    """The words after the number of cases."""
    find: Callable[[Inventory], Iterable[Case]]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The content of a data folder, and the rules that it breaks."""

    inventory: Inventory
    paths: tuple[Path, ...]
    counts: tuple[tuple[str, ...], ...]
    """Data set, class, and the number of cells in each of COUNTED."""
    cases: dict[str, tuple[Case, ...]]
    """The cases by rule, in the order of RULES; only rules with a case."""

    @property
    def must_change(self) -> bool:
        """Tell whether a rule with severity `change` is broken."""
        return any(RULES[rule].severity == CHANGE for rule in self.cases)

    def lines(self, severity: str) -> list[str]:
        """Return one line for each broken rule of this severity, with some of its cases."""
        return [
            f"{len(cases)} {RULES[rule].words}: {_name_some(cases)}"
            for rule, cases in self.cases.items()
            if RULES[rule].severity == severity
        ]


def check(data: Path, *, marks: Path | None = None, may_be_empty: bool = False) -> Checked:
    """Return the content of a data folder, its contradictions, and the user's marks of cells."""
    inventory = take_inventory(data, marks=marks, may_be_empty=may_be_empty)
    found = {name: tuple(rule.find(inventory)) for name, rule in RULES.items()}
    return Checked(
        inventory=inventory,
        paths=inventory.paths,
        counts=tuple(inventory.count_cells()),
        cases={name: cases for name, cases in found.items() if cases},
    )


def write_cases(path: Path, checked: Checked) -> None:
    """Write every case as a line of CSV."""
    write_csv(
        path,
        FINDING_COLUMNS,
        (
            {"severity": RULES[rule].severity, "rule": rule, **vars(case)}
            for rule, cases in checked.cases.items()
            for case in cases
        ),
    )


def _name_some(cases: Sequence[Case]) -> str:
    named = [
        f"{case.specimen_id} ({case.detail})" if case.specimen_id else case.detail
        for case in cases[:NAMED_CASES]
    ]
    more = len(cases) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


@cache
def ranges() -> dict[str, Range]:
    """Return the range of every measured feature."""
    rows = read_csv(RANGES, ["features", "low", "high", "unit", "reason"])
    bounds = {}
    for name in FEATURES:
        # The first line that matches is used: special features are listed before general ones.
        row = next(row for row in rows if fnmatchcase(name, row["features"]))
        bounds[name] = Range(
            low=float(row["low"]),
            high=float(row["high"]),
            unit=row["unit"],
            reason=row["reason"],
        )
    return bounds


def _find_unreadable(inventory: Inventory) -> Iterator[Case]:
    for path, reason in inventory.faults:
        yield Case(where=str(path), detail=reason)


def _find_both_sides(inventory: Inventory) -> Iterator[Case]:
    if sides := inventory.sides:
        for specimen in sorted(set(sides.train) & set(sides.test)):
            yield Case(where=str(sides.path), detail="train and test", specimen_id=specimen)


def _find_donors(inventory: Inventory, *, by_donor: bool) -> Iterator[Case]:
    """Find donors with cells on both sides of a split, by donor or not."""
    sides = inventory.sides
    if sides is None or (sides.group_by == "donor") != by_donor:
        return
    donors = inventory.donors
    train, test = (
        Counter(donors[specimen] for specimen in side if specimen in donors)
        for side in (sides.train, sides.test)
    )
    for donor in sorted(train.keys() & test.keys()):
        detail = f"donor {donor}, {train[donor]} to train on, {test[donor]} held out"
        yield Case(where=str(sides.path), detail=detail)


def _find_no_side(inventory: Inventory, *, is_published: bool) -> Iterator[Case]:
    """Find labelled cells on neither side of the published split or of our own."""
    sides = inventory.sides
    if sides is None or sides.is_published != is_published:
        return
    for specimen, label in _labelled_here(inventory):
        if specimen not in sides.train and specimen not in sides.test:
            yield Case(where=str(sides.path), detail=label, specimen_id=specimen)


def _find_held_out(inventory: Inventory) -> Iterator[Case]:
    """Find cells outside the test side that are or may be published test specimens."""
    sides = inventory.sides
    held = inventory.held_out - set(sides.test if sides and sides.is_published else ())
    for cell in inventory.entries:
        if cell.specimen_id in held or cell.claimed_id in held:
            where, specimen = str(cell.path), cell.specimen_id
            yield Case(where=where, detail="trains nothing", specimen_id=specimen)


def _find_unlabelled_in_split(inventory: Inventory) -> Iterator[Case]:
    sides, classes = inventory.sides, inventory.classes
    if sides and classes:
        for specimen in sorted({*sides.train, *sides.test} - set(classes)):
            unsure = specimen in inventory.unsure
            detail = "labelled Unsure" if unsure else "nowhere labelled"
            yield Case(where=str(sides.path), detail=detail, specimen_id=specimen)


def _find_other_label(inventory: Inventory) -> Iterator[Case]:
    for cell in inventory.entries:
        known = inventory.labelled.get(cell.specimen_id)
        if known and cell.label and cell.label != known.label:
            detail = f"{cell.label} here, {known.label} there"
            yield Case(where=str(cell.path), detail=detail, specimen_id=cell.specimen_id)


def _find_other_dataset(inventory: Inventory) -> Iterator[Case]:
    if not (sides := inventory.sides):
        return
    stated = {**sides.train, **sides.test}
    for cell in inventory.entries:
        other = stated.get(cell.specimen_id)
        if cell.dataset and other and cell.dataset != other:
            detail = f"{cell.dataset} here, {other} in {sides.path}"
            yield Case(where=str(cell.path), detail=detail, specimen_id=cell.specimen_id)


def _find_repeated(holders: Mapping[Path, Identified]) -> Iterator[Case]:
    """Find specimens of a store or table that an earlier one also contains."""
    first: dict[str, Path] = {}
    for path, cells in holders.items():
        for specimen in cells.specimen_id.tolist():
            if specimen in first:
                detail = f"the first is in {first[specimen]}"
                yield Case(where=str(path), detail=detail, specimen_id=specimen)
            first.setdefault(specimen, path)


def _find_equal_features(inventory: Inventory) -> Iterator[Case]:
    """Find specimens of a table with exactly the features of another specimen."""
    for path, table in inventory.tables.items():
        first: dict[bytes, str] = {}
        for specimen, row in zip(table.specimen_id.tolist(), table.X, strict=True):
            key = np.nan_to_num(row, nan=np.inf).tobytes()
            if key in first:
                yield Case(where=str(path), detail=f"as {first[key]}", specimen_id=specimen)
            first.setdefault(key, specimen)


def _find_other_unit(inventory: Inventory) -> Iterator[Case]:
    """Find features outside their range in most cells of a table."""
    for path, table in inventory.tables.items():
        for name, outside, known in _compare_with_ranges(table):
            if known.any() and outside.sum() > MOST_OUTSIDE * known.sum():
                yield Case(where=str(path), detail=_describe_range(name))


def _find_out_of_range(inventory: Inventory) -> Iterator[Case]:
    """Find single values outside their range."""
    for path, table in inventory.tables.items():
        for name, outside, known in _compare_with_ranges(table):
            if outside.sum() > MOST_OUTSIDE * known.sum():
                continue
            values = table.columns()[name]
            for row in np.flatnonzero(outside).tolist():
                detail = f"{values[row]:.4g}, {_describe_range(name)}"
                specimen = str(table.specimen_id[row])
                yield Case(where=str(path), detail=detail, specimen_id=specimen)


def _compare_with_ranges(table: EpTable) -> Iterator[tuple[str, Bools, Bools]]:
    """Yield every feature, which cells are outside its range, and which cells have a value."""
    for name, values in table.columns().items():
        known = np.isfinite(values)
        bounds = ranges()[name]
        yield name, known & ((values < bounds.low) | (values > bounds.high)), known


def _describe_range(name: str) -> str:
    bounds = ranges()[name]
    return f"{name} is plausible from {bounds.low:g} to {bounds.high:g} {bounds.unit}".rstrip()


def _find_against_etype(inventory: Inventory) -> Iterator[Case]:
    for specimen, label in _labelled_here(inventory):
        etype = inventory.etypes.get(specimen, "")
        if etype and etype.startswith("Exc") != (label == "Excitatory"):
            yield _against_label(inventory, specimen, f"{label}, but e-type {etype}")


def _find_against_t_type(inventory: Inventory) -> Iterator[Case]:
    for specimen, label in _labelled_here(inventory):
        cell = inventory.allen.get(specimen)
        if cell and cell.t_type and assign(cell).label not in ("", label):
            yield _against_label(inventory, specimen, f"{label}, but T-type {cell.t_type}")


def _find_against_dendrite(inventory: Inventory) -> Iterator[Case]:
    for specimen, label in _labelled_here(inventory):
        cell = inventory.allen.get(specimen)
        if cell and contradicts(label, cell.dendrite):
            yield _against_label(inventory, specimen, f"{label}, but {cell.dendrite}")


def _against_label(inventory: Inventory, specimen: str, detail: str) -> Case:
    where = inventory.label_file.path if inventory.label_file else inventory.data
    return Case(where=str(where), detail=detail, specimen_id=specimen)


def _find_unsure(inventory: Inventory) -> Iterator[Case]:
    for specimen in sorted(inventory.unsure):
        yield _against_label(inventory, specimen, "left out")


def _find_no_cell(inventory: Inventory) -> Iterator[Case]:
    there = set(inventory.cells.specimen_id.tolist())
    for specimen, label in sorted(inventory.labelled.items()) if there else ():
        if specimen not in there:
            yield _against_label(inventory, specimen, label.label)


def _find_no_label(inventory: Inventory) -> Iterator[Case]:
    known = inventory.classes.keys() | inventory.unsure
    for cell in inventory.entries:
        if cell.specimen_id not in known:
            where, specimen = str(cell.path), cell.specimen_id
            yield Case(where=where, detail="no class known", specimen_id=specimen)


def _find_marks(inventory: Inventory, *, mark: str, is_known: bool = True) -> Iterator[Case]:
    """Find the marks of one kind, of cells that are there or of other ones."""
    there = set(inventory.cells.specimen_id.tolist())
    for specimen, own in inventory.marks.items():
        if own.mark == mark and (specimen in there) == is_known:
            words = [own.note or "no note", inventory.classes.get(specimen, "")]
            detail = ", ".join(filter(None, words))
            yield Case(where="marks", detail=detail, specimen_id=specimen)


def _find_lost_marks(inventory: Inventory) -> Iterator[Case]:
    for mark in ("", *MARKS):
        for case in _find_marks(inventory, mark=mark, is_known=False):
            yield replace(case, detail=f"{mark or 'a note'}, {case.detail}")


def _find_empty_class(inventory: Inventory) -> Iterator[Case]:
    present = set(inventory.classes.values())
    for label in CLASSES:
        if present and label not in present:
            yield Case(where=str(inventory.data), detail=label)


def _labelled_here(inventory: Inventory) -> Iterator[tuple[str, str]]:
    """Yield the labelled cells of stores and tables; without stores and tables, all labelled."""
    there = set(inventory.cells.specimen_id.tolist())
    for specimen, label in sorted(inventory.classes.items()):
        if not there or specimen in there:
            yield specimen, label


RULES: Final = {
    "unreadable": Rule(CHANGE, "files cannot be used", _find_unreadable),
    "both sides": Rule(CHANGE, "specimens are on both sides of the split", _find_both_sides),
    "donor": Rule(
        CHANGE,
        "donors are on both sides of a split by donor",
        partial(_find_donors, by_donor=True),
    ),
    "unlabelled in split": Rule(
        CHANGE, "specimens of the split have no class", _find_unlabelled_in_split
    ),
    "other label": Rule(
        CHANGE, "cells have another label than in the label file", _find_other_label
    ),
    "other data set": Rule(
        CHANGE, "cells are of another data set in the split", _find_other_dataset
    ),
    "second store": Rule(
        CHANGE,
        "specimens are in a second sweep store",
        lambda inventory: _find_repeated(inventory.stores),
    ),
    "unit": Rule(CHANGE, "features are outside their range in most cells", _find_other_unit),
    "empty class": Rule(CHANGE, "classes have no cell", _find_empty_class),
    "no side": Rule(
        NOTE,
        "labelled cells are in neither part of the published split and are left out",
        partial(_find_no_side, is_published=True),
    ),
    "new to split": Rule(
        NOTE,
        "labelled cells are new to the split: the next training divides them",
        partial(_find_no_side, is_published=False),
    ),
    "published test": Rule(
        NOTE, "cells are of the published test split and are left out", _find_held_out
    ),
    "second table": Rule(
        NOTE,
        "specimens are in a second table, which is ignored",
        lambda inventory: _find_repeated(inventory.tables),
    ),
    "range": Rule(NOTE, "values are outside the plausible range", _find_out_of_range),
    "alike": Rule(NOTE, "specimens have exactly the features of another one", _find_equal_features),
    "e-type": Rule(NOTE, "labels contradict the e-type", _find_against_etype),
    "T-type": Rule(NOTE, "labels contradict the T-type", _find_against_t_type),
    "dendrite": Rule(NOTE, "labels contradict the dendrite type", _find_against_dendrite),
    "shared donor": Rule(
        NOTE, "donors have cells on both sides of the split", partial(_find_donors, by_donor=False)
    ),
    "Unsure": Rule(NOTE, "cells have no class in the label file", _find_unsure),
    "no cell": Rule(NOTE, "labels are of cells that are in no store or table", _find_no_cell),
    "no label": Rule(NOTE, "cells of stores and tables have no label", _find_no_label),
    **{
        f"marked {mark}": Rule(
            NOTE, f"cells are marked as {mark!r} by you", partial(_find_marks, mark=mark)
        )
        for mark in MARKS
    },
    "marked unknown": Rule(
        NOTE, "marks are of cells that are in no store or table", _find_lost_marks
    ),
}
