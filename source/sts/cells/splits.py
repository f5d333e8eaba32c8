"""Which cells are trained on and which are held out: made once, kept on disk, never remade."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv, read_json, write_json
from sts.base.types import CLASSES, Ints
from sts.cells.store import SweepStore, Texts

SPLIT_NAME: Final = "split.json"
FORMAT: Final = "sts-split 1"
# The published files, in the folder the published repository keeps them in.
PUBLISHED: Final = {"train": "Split/Train_split.csv", "test": "Split/Test_split.csv"}
GROUPS: Final = ("specimen", "donor")
# One in five cells is held out, as in the published study.
PARTS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Split:
    """Specimen ids of both sides, and where the division comes from."""

    train: frozenset[str]
    test: frozenset[str]
    origin: str


def split_of(store: SweepStore, data: Path, *, group_by: str = "specimen", seed: int = 0) -> Split:
    """Return the split kept in `data`, published or our own; make and keep one if there is none."""
    one_of(group_by, GROUPS, "grouping")
    if all((data / name).is_file() for name in PUBLISHED.values()):
        return _published(data)
    path = data / SPLIT_NAME
    split = _read(path, group_by) if path.is_file() else _make(store, path, group_by, seed)
    unknown = sorted(set(store.specimen_id.tolist()) - split.train - split.test)
    if unknown:
        raise StsError(
            f"{len(unknown)} cells stand on neither side of {path}, such as {unknown[0]}: move the "
            "file away to divide all cells anew (old holdout figures do not compare with new ones)"
        )
    return split


def folds_of(
    store: SweepStore, folds: int, *, group_by: str = "specimen", seed: int = 0
) -> list[tuple[Ints, Ints]]:
    """Return rows to fit on and rows to score on, for each fold, the classes evenly spread."""
    return list(_divide(store, folds, group_by, seed))


def _divide(store: SweepStore, parts: int, group_by: str, seed: int) -> Iterator[tuple[Ints, Ints]]:
    groups = _groups(store) if group_by == "donor" else store.specimen_id
    for label in CLASSES:
        found = len(set(groups[store.label == label].tolist()))
        if found < parts:
            raise StsError(
                f"only {found} {group_by}s of class {label} for {parts} parts: every part needs "
                "one; add cells or lower --folds"
            )
    rows = np.zeros((len(store), 1))
    if group_by == "donor":
        grouped = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        return iter(grouped.split(rows, _strata(store, parts), groups))
    single = StratifiedKFold(parts, shuffle=True, random_state=seed)
    return iter(single.split(rows, _strata(store, parts)))


def _strata(store: SweepStore, parts: int) -> Texts:
    """Return what is spread evenly: class and data set, or the class where that is too fine."""
    fine = np.array([f"{a}|{b}" for a, b in zip(store.label, store.dataset, strict=True)])
    kinds, counts = np.unique(fine, return_counts=True)
    coarse = {str(kind).split("|")[0] for kind in kinds[counts < parts]}
    return np.where(np.isin(store.label, sorted(coarse)), store.label, fine)


def _groups(store: SweepStore) -> Texts:
    """Return donors; a cell whose donor is not known is one of its own."""
    own = [f"specimen {specimen}" for specimen in store.specimen_id]
    return np.where(store.donor_id != "", store.donor_id, own)


def _make(store: SweepStore, path: Path, group_by: str, seed: int) -> Split:
    train, test = next(_divide(store, PARTS, group_by, seed))
    sides = {
        side: sorted(store.specimen_id[rows].tolist())
        for side, rows in (("train", train), ("test", test))
    }
    write_json(path, {"format": FORMAT, "group_by": group_by, "seed": seed, **sides})
    return Split(train=frozenset(sides["train"]), test=frozenset(sides["test"]), origin=str(path))


def _read(path: Path, group_by: str) -> Split:
    kept = read_json(path)
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise StsError(f"{path} is not a split of this program: move it away to make one")
    if kept["group_by"] != group_by:
        raise StsError(
            f"{path} was divided by {kept['group_by']}, not by {group_by}: ask for --group-by "
            f"{kept['group_by']}, or move the file away to divide all cells anew"
        )
    return _checked(frozenset(kept["train"]), frozenset(kept["test"]), str(path))


def _published(data: Path) -> Split:
    sides = {
        side: frozenset(
            row["specimen_id"]
            for row in read_csv(data / name, ["specimen_id"], header=("specimen_id", "source"))
        )
        for side, name in PUBLISHED.items()
    }
    return _checked(sides["train"], sides["test"], str((data / PUBLISHED["train"]).parent))


def _checked(train: frozenset[str], test: frozenset[str], origin: str) -> Split:
    if both := sorted(train & test):
        raise StsError(f"{len(both)} specimens stand on both sides of {origin}, such as {both[0]}")
    return Split(train=train, test=test, origin=origin)
