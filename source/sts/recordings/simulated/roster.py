"""Who is simulated: class, data set and donor of every cell, from the published numbers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from sts.base.errors import one_of
from sts.base.types import CLASSES

DATASETS: Final = ("PatchClamp", "PatchSeq")
# Training cells of the published study.
PUBLISHED: Final = {
    ("PatchClamp", "Pvalb"): 185,
    ("PatchClamp", "Excitatory"): 536,
    ("PatchClamp", "Vip/Lamp5"): 242,
    ("PatchClamp", "Sst"): 135,
    ("PatchSeq", "Pvalb"): 667,
    ("PatchSeq", "Excitatory"): 101,
    ("PatchSeq", "Vip/Lamp5"): 1196,
    ("PatchSeq", "Sst"): 1410,
}
SHARES: Final = ("equal", "published")
# A class has so many cells in either data set before the rest follow their shares.
LEAST: Final = 3
CELLS_PER_DONOR: Final = 3
# Demos train on cells of this seed, which is the default of no command: what `simulate` makes up
# without being asked for a seed are other cells, on which a demo's model can be tried.
DEMO_SEED: Final = 1_000_003


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell to be simulated."""

    index: int
    member: int
    """Which of its population it is, from 0."""
    label: str
    dataset: str
    specimen_id: str
    donor_id: str


def roster(cells: int, *, seed: int, shares: str = "equal") -> list[Entry]:
    """Return the first cells of a roster; a longer one begins with the same cells."""
    one_of(shares, SHARES, "shares")
    entries = _entries(seed=seed, shares=shares)
    return [next(entries) for _ in range(cells)]


def _entries(*, seed: int, shares: str) -> Iterator[Entry]:
    classes: Counter[str] = Counter()
    members: Counter[tuple[str, str]] = Counter()
    donors: Counter[str] = Counter()
    for index in count():
        label = _next_class(classes, shares)
        dataset = _next_dataset(label, members)
        donor = donors[dataset] // CELLS_PER_DONOR
        classes[label] += 1
        members[dataset, label] += 1
        donors[dataset] += 1
        yield Entry(
            index=index,
            member=members[dataset, label] - 1,
            label=label,
            dataset=dataset,
            specimen_id=f"sim{seed}cell{index:05d}",
            donor_id=f"sim{seed}{dataset.lower()}{donor:05d}",
        )


def _next_class(classes: Counter[str], shares: str) -> str:
    """Return the class that lags furthest behind its share."""
    sizes = {
        label: sum(PUBLISHED[dataset, label] for dataset in DATASETS) if shares != "equal" else 1
        for label in CLASSES
    }
    return min(CLASSES, key=lambda label: (classes[label] + 1) / sizes[label])


def _next_dataset(label: str, members: Counter[tuple[str, str]]) -> str:
    """Return the smaller data set of a class when it lags behind its share, else the larger."""
    smaller, larger = sorted(DATASETS, key=lambda dataset: PUBLISHED[dataset, label])
    share = PUBLISHED[smaller, label] / (PUBLISHED[smaller, label] + PUBLISHED[larger, label])
    present = members[smaller, label]
    total = present + members[larger, label] + 1
    due = max(share * total, min(LEAST, total / 2))
    return smaller if present + 1 <= due else larger
