"""What data say against themselves: one function a rule, and the table of rules."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sts.base.types import CLASSES
from sts.datasets.allen import assign, contradicts
from sts.datasets.identity import Identified
from sts.datasets.inventory import Inventory, SplitSides
from sts.datasets.labels import CellLabel
from sts.datasets.plausible import Case, alike, other_unit, out_of_range

CHANGE: Final = "change"
NOTE: Final = "note"


@dataclass(frozen=True)
class Rule:
    """What should be so, and how grave it is if it is not."""

    severity: str
    """`change`: no study can rely on such data; `note`: to know."""
    words: str
    """What is said after the number of cases."""
    find: Callable[[Inventory], Iterator[Case]]


def _unreadable(inventory: Inventory) -> Iterator[Case]:
    for path, reason in inventory.faults:
        yield Case(where=str(path), detail=reason)


def _both_sides(inventory: Inventory) -> Iterator[Case]:
    if sides := inventory.sides:
        for specimen in sorted(set(sides.train) & set(sides.test)):
            yield Case(where=str(sides.path), detail="train and test", specimen_id=specimen)


def _donors_divided(inventory: Inventory) -> Iterator[Case]:
    if (sides := inventory.sides) and sides.group_by == "donor":
        yield from _donors(inventory)


def _donors_shared(inventory: Inventory) -> Iterator[Case]:
    if (sides := inventory.sides) and sides.group_by != "donor":
        yield from _donors(inventory)


def _donors(inventory: Inventory) -> Iterator[Case]:
    if sides := inventory.sides:
        donors = inventory.donors
        train, test = (
            Counter(donors[specimen] for specimen in side if specimen in donors)
            for side in (sides.train, sides.test)
        )
        for donor in sorted(train.keys() & test.keys()):
            detail = f"donor {donor}, {train[donor]} to train on, {test[donor]} held out"
            yield Case(where=str(sides.path), detail=detail)


def _no_side(inventory: Inventory) -> Iterator[Case]:
    if (sides := inventory.sides) and sides.is_published:
        yield from _undivided(inventory, sides)


def _new_to_split(inventory: Inventory) -> Iterator[Case]:
    if (sides := inventory.sides) and not sides.is_published:
        yield from _undivided(inventory, sides)


def _undivided(inventory: Inventory, sides: SplitSides) -> Iterator[Case]:
    divided = {*sides.train, *sides.test}
    for specimen, label in _labelled_here(inventory):
        if specimen not in divided:
            yield Case(where=str(sides.path), detail=label.label, specimen_id=specimen)


def _held_out_elsewhere(inventory: Inventory) -> Iterator[Case]:
    sides = inventory.sides
    stay = set(sides.test) if sides and sides.is_published else set()
    for path, cells in inventory.holders:
        for specimen in cells.specimen_id.tolist():
            if specimen in inventory.held_out and specimen not in stay:
                yield Case(where=str(path), detail="trains nothing", specimen_id=specimen)


def _unknown_in_split(inventory: Inventory) -> Iterator[Case]:
    sides, classes = inventory.sides, inventory.classes
    unsure = inventory.labels.unsure if inventory.labels else frozenset()
    if sides and classes:
        for specimen in sorted({*sides.train, *sides.test} - set(classes)):
            detail = "labelled Unsure" if specimen in unsure else "nowhere labelled"
            yield Case(where=str(sides.path), detail=detail, specimen_id=specimen)


def _other_label(inventory: Inventory) -> Iterator[Case]:
    labels = inventory.labels.labels if inventory.labels else {}
    for path, cells in inventory.holders:
        for specimen, label in zip(cells.specimen_id.tolist(), cells.label.tolist(), strict=True):
            known = labels.get(specimen)
            if known and label and label != known.label:
                detail = f"{label} here, {known.label} there"
                yield Case(where=str(path), detail=detail, specimen_id=specimen)


def _other_dataset(inventory: Inventory) -> Iterator[Case]:
    if not (sides := inventory.sides):
        return
    said = {**sides.train, **sides.test}
    for path, cells in inventory.holders:
        for specimen, own in zip(cells.specimen_id.tolist(), cells.dataset.tolist(), strict=True):
            if own and said.get(specimen) and own != said[specimen]:
                detail = f"{own} here, {said[specimen]} in {sides.path}"
                yield Case(where=str(path), detail=detail, specimen_id=specimen)


def _second_store(inventory: Inventory) -> Iterator[Case]:
    return _again(inventory.stores)


def _second_table(inventory: Inventory) -> Iterator[Case]:
    return _again(inventory.tables)


def _again(holders: Mapping[Path, Identified]) -> Iterator[Case]:
    first: dict[str, Path] = {}
    for path, cells in holders.items():
        for specimen in cells.specimen_id.tolist():
            if specimen in first:
                detail = f"the first is in {first[specimen]}"
                yield Case(where=str(path), detail=detail, specimen_id=specimen)
            first.setdefault(specimen, path)


def _etype(inventory: Inventory) -> Iterator[Case]:
    for specimen, label in _labelled_here(inventory):
        etype = inventory.etypes.get(specimen, "")
        if etype and etype.startswith("Exc") != (label.label == "Excitatory"):
            yield _against(inventory, specimen, f"{label.label}, but e-type {etype}")


def _t_type(inventory: Inventory) -> Iterator[Case]:
    for specimen, label in _labelled_here(inventory):
        cell = inventory.allen.get(specimen)
        if cell and cell.t_type and assign(cell).label not in ("", label.label):
            yield _against(inventory, specimen, f"{label.label}, but T-type {cell.t_type}")


def _dendrite(inventory: Inventory) -> Iterator[Case]:
    for specimen, label in _labelled_here(inventory):
        cell = inventory.allen.get(specimen)
        if cell and contradicts(label.label, cell.dendrite):
            yield _against(inventory, specimen, f"{label.label}, but {cell.dendrite}")


def _against(inventory: Inventory, specimen: str, detail: str) -> Case:
    where = str(inventory.labels.path) if inventory.labels else str(inventory.data)
    return Case(where=where, detail=detail, specimen_id=specimen)


def _unsure(inventory: Inventory) -> Iterator[Case]:
    if labels := inventory.labels:
        for specimen in sorted(labels.unsure):
            yield Case(where=str(labels.path), detail="left out", specimen_id=specimen)


def _no_cell(inventory: Inventory) -> Iterator[Case]:
    there = set(inventory.cells.specimen_id.tolist())
    if there and inventory.labels:
        for specimen, label in sorted(inventory.labels.labels.items()):
            if specimen not in there:
                where = str(inventory.labels.path)
                yield Case(where=where, detail=label.label, specimen_id=specimen)


def _no_label(inventory: Inventory) -> Iterator[Case]:
    classes = inventory.classes
    unsure = inventory.labels.unsure if inventory.labels else frozenset()
    for path, cells in inventory.holders:
        for specimen in cells.specimen_id.tolist():
            if specimen not in classes and specimen not in unsure:
                yield Case(where=str(path), detail="no class known", specimen_id=specimen)


def _empty_class(inventory: Inventory) -> Iterator[Case]:
    found = {label.label for label in inventory.classes.values()}
    for label in CLASSES:
        if found and label not in found:
            yield Case(where=str(inventory.data), detail=label)


def _labelled_here(inventory: Inventory) -> Iterator[tuple[str, CellLabel]]:
    """Yield the labelled cells of stores and tables; all labelled ones where there are none."""
    there = set(inventory.cells.specimen_id.tolist())
    for specimen, label in sorted(inventory.classes.items()):
        if not there or specimen in there:
            yield specimen, label


RULES: Final = {
    "unreadable": Rule(CHANGE, "files cannot be used", _unreadable),
    "both sides": Rule(CHANGE, "specimens stand on both sides of the split", _both_sides),
    "donor": Rule(CHANGE, "donors stand on both sides of a split by donor", _donors_divided),
    "unlabelled in split": Rule(CHANGE, "specimens of the split have no class", _unknown_in_split),
    "other label": Rule(CHANGE, "cells bear another label than in the label file", _other_label),
    "other data set": Rule(CHANGE, "cells are of another data set in the split", _other_dataset),
    "second store": Rule(CHANGE, "specimens are in a second sweep store", _second_store),
    "unit": Rule(CHANGE, "features are outside their range in most cells", other_unit),
    "empty class": Rule(CHANGE, "classes have no cell", _empty_class),
    "no side": Rule(
        NOTE, "labelled cells are in neither part of the published split and are left out", _no_side
    ),
    "new to split": Rule(
        NOTE, "labelled cells are new to the split: the next training divides them", _new_to_split
    ),
    "published test": Rule(
        NOTE, "cells are of the published test split and are left out", _held_out_elsewhere
    ),
    "second table": Rule(
        NOTE, "specimens are in a second table, which is passed over", _second_table
    ),
    "range": Rule(NOTE, "values are outside the plausible range", out_of_range),
    "alike": Rule(NOTE, "specimens have exactly the features of another one", alike),
    "e-type": Rule(NOTE, "labels contradict the e-type", _etype),
    "T-type": Rule(NOTE, "labels contradict the T-type", _t_type),
    "dendrite": Rule(NOTE, "labels contradict the dendrite type", _dendrite),
    "shared donor": Rule(NOTE, "donors have cells on both sides of the split", _donors_shared),
    "Unsure": Rule(NOTE, "cells have no class in the label file", _unsure),
    "no cell": Rule(NOTE, "labels are of cells that are in no store or table", _no_cell),
    "no label": Rule(NOTE, "cells of stores and tables have no label", _no_label),
}
