"""What a folder of data holds, counted, and where it contradicts itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sts.base.files import write_csv
from sts.base.types import CLASSES
from sts.datasets.contradictions import CHANGE, RULES
from sts.datasets.inventory import Inventory, take_inventory
from sts.datasets.plausible import Case

COUNTED: Final = ("labels", "train", "test", "features", "sweeps")
FINDING_COLUMNS: Final = ("severity", "rule", "specimen_id", "where", "detail")
# So many cases of a rule are named; a file takes them all.
NAMED: Final = 3
UNKNOWN: Final = "not known"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found."""

    paths: tuple[Path, ...]
    counts: tuple[tuple[str, ...], ...]
    """Data set, class, and how many cells of it there are in each of COUNTED."""
    cases: dict[str, tuple[Case, ...]]
    """By rule, in the order of RULES; only rules that some case breaks."""

    @property
    def must_change(self) -> bool:
        """Tell whether anything was found that no study can rely on."""
        return any(RULES[rule].severity == CHANGE for rule in self.cases)

    def lines(self, severity: str) -> list[str]:
        """Return one line for each broken rule of this severity, with some of its cases."""
        return [
            f"{len(cases)} {RULES[rule].words}: {_named(cases)}"
            for rule, cases in self.cases.items()
            if RULES[rule].severity == severity
        ]


def check(data: Path) -> Checked:
    """Return what a folder of data holds and where it contradicts itself."""
    inventory = take_inventory(data)
    found = {name: tuple(rule.find(inventory)) for name, rule in RULES.items()}
    return Checked(
        paths=inventory.paths,
        counts=tuple(_counts(inventory)),
        cases={name: cases for name, cases in found.items() if cases},
    )


def write_cases(path: Path, checked: Checked) -> None:
    """Write every case as a line of CSV."""
    write_csv(
        path,
        FINDING_COLUMNS,
        (
            {
                "severity": RULES[rule].severity,
                "rule": rule,
                "specimen_id": case.specimen_id,
                "where": case.where,
                "detail": case.detail,
            }
            for rule, cases in checked.cases.items()
            for case in cases
        ),
    )


def _named(cases: Sequence[Case]) -> str:
    named = [
        f"{case.specimen_id} ({case.detail})" if case.specimen_id else case.detail
        for case in cases[:NAMED]
    ]
    more = len(cases) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _counts(inventory: Inventory) -> list[tuple[str, ...]]:
    """Return a line for each data set and class, and one for all."""
    members = _members(inventory)
    classes, datasets = inventory.classes, _datasets(inventory)
    counted: dict[str, Counter[tuple[str, str]]] = {}
    for name, specimens in members.items():
        counted[name] = Counter(
            (
                datasets.get(specimen, UNKNOWN),
                classes[specimen].label if specimen in classes else UNKNOWN,
            )
            for specimen in specimens
        )
    order = (*CLASSES, UNKNOWN)
    kinds = sorted(
        {kind for own in counted.values() for kind in own},
        key=lambda kind: (kind[0] == UNKNOWN, kind[0], order.index(kind[1])),
    )
    lines = [(*kind, *(str(counted[name][kind]) for name in COUNTED)) for kind in kinds]
    return [*lines, ("all", "", *(str(len(members[name])) for name in COUNTED))]


def _members(inventory: Inventory) -> dict[str, set[str]]:
    """Return the specimens behind each of COUNTED."""
    sides = inventory.sides
    labels = inventory.labels
    return {
        "labels": {*labels.labels, *labels.unsure} if labels else set(inventory.classes),
        "train": set(sides.train) if sides else set(),
        "test": set(sides.test) if sides else set(),
        "features": {id_ for own in inventory.tables.values() for id_ in own.specimen_id.tolist()},
        "sweeps": {id_ for own in inventory.stores.values() for id_ in own.specimen_id.tolist()},
    }


def _datasets(inventory: Inventory) -> dict[str, str]:
    """Return the data set of every specimen of which any file says it."""
    cells, sides = inventory.cells, inventory.sides
    labels = inventory.labels.labels if inventory.labels else {}
    known = {specimen: cell.dataset for specimen, cell in inventory.allen.items()}
    known |= {specimen: label.dataset for specimen, label in labels.items() if label.dataset}
    known |= {**sides.train, **sides.test} if sides and all(sides.train.values()) else {}
    own = zip(cells.specimen_id.tolist(), cells.dataset.tolist(), strict=True)
    return known | {specimen: dataset for specimen, dataset in own if dataset}
