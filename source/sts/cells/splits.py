"""Which cells are trained on and which are held out: made once, kept on disk, never remade."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv, read_json, write_json
from sts.base.types import CLASSES, Ints
from sts.cells.identity import Cells, Identified, cells_in, united
from sts.cells.labels import filled_lines
from sts.cells.store import Texts

SPLIT_NAME: Final = "split.json"
FORMAT: Final = "sts-split 2"
# The published files, in the folder the published repository keeps them in.
PUBLISHED: Final = {"train": "Split/Train_split.csv", "test": "Split/Test_split.csv"}
# What they call the data sets.
SOURCES: Final = {"Seq": "PatchSeq", "Clamp": "PatchClamp"}
GROUPS: Final = ("specimen", "donor")
# One in five cells is held out, as in the published study.
PARTS: Final = 5
# From so many cells a temperature is good to about 7 %; a share of many cells would cost more.
KEPT: Final = 200
# A refit keeps at most one cell in five aside, and at least one in ten.
KEPT_PARTS: Final = (5, 10)

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class Split:
    """Specimen ids of both sides, and where the division comes from."""

    train: frozenset[str]
    test: frozenset[str]
    origin: str
    group_by: str = "specimen"
    fingerprint: str = ""
    """Of the cells that were divided; empty for the published split, of which one may have few."""


def split_of(cells: Identified, data: Path, *, group_by: str = "specimen", seed: int = 0) -> Split:
    """Return the split kept in `data`, published or our own; make and keep one if there is none.

    Ours divides all labelled cells in `data`, in sweep stores and in tables of features, so that
    every study finds the same cells on the same side.
    """
    one_of(group_by, GROUPS, "grouping")
    split = find_split(data)
    if split is not None and split.group_by != group_by:
        raise StsError(
            f"{split.origin} was divided by {split.group_by}, not by {group_by}: ask for "
            f"--group-by {split.group_by}, or {_remake(split)}"
        )
    if split is None or split.fingerprint:
        everyone = united([cells, cells_in(data)])
        labelled = everyone.rows(everyone.label != "")
        split = split or _make(labelled, data / SPLIT_NAME, group_by, seed)
        _check_same(everyone, split)
    else:
        _check_published(set(cells.specimen_id[cells.label != ""].tolist()), split)
    return split


def _check_same(cells: Cells, split: Split) -> None:
    """Refuse a split of other cells than there are, or of the same ones with other donors."""
    divided = split.train | split.test
    if new := sorted(set(cells.specimen_id[cells.label != ""].tolist()) - divided):
        raise StsError(
            f"{len(new)} labelled cells stand on neither side of {split.origin}, such as {new[0]}: "
            f"take them away, or {_remake(split)}"
        )
    if gone := sorted(divided - set(cells.specimen_id.tolist())):
        raise StsError(
            f"{len(gone)} cells of {split.origin} are gone, such as {gone[0]}: put them back, or "
            f"{_remake(split)}"
        )
    same = cells.rows(np.isin(cells.specimen_id, sorted(divided)))
    if split.fingerprint != _fingerprint(same, split.group_by):
        raise StsError(
            f"the donors of cells are others than when {split.origin} was divided by "
            f"{split.group_by}: put the old ones back, or {_remake(split)}"
        )


def _check_published(there: set[str], split: Split) -> None:
    """Refuse cells that the published study does not divide; it may divide many others."""
    if new := sorted(there - split.train - split.test):
        raise StsError(
            f"{len(new)} labelled cells stand on neither side of {split.origin}, such as {new[0]}: "
            "they are none of the study; name a folder of their own with --data"
        )
    if gone := sorted((split.train | split.test) - there):
        logger.warning(
            "%d specimens of %s are not among these %d cells, such as %s",
            *(len(gone), split.origin, len(there), gone[0]),
        )


def _remake(split: Split) -> str:
    return (
        f"move {split.origin} away to divide all cells anew (old holdout figures do not compare "
        "with new ones)"
    )


def _fingerprint(cells: Cells, group_by: str) -> str:
    """Return a digest of the cells that were divided, and of what kept some of them together."""
    groups = _groups(cells) if group_by == "donor" else cells.specimen_id
    lines = sorted(f"{a}\t{b}" for a, b in zip(cells.specimen_id, groups, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def find_split(data: Path) -> Split | None:
    """Return the split kept in a folder of data, the published one first, None without any."""
    published = [data / name for name in PUBLISHED.values()]
    if all(path.is_file() for path in published):
        return _published(data)
    if alone := [path for path in published if path.is_file()]:
        raise StsError(
            f"{alone[0]} is one half of the published split: fetch the other with "
            "`data_pipeline.py fetch sts-tables`, or move this one away"
        )
    path = data / SPLIT_NAME
    return _read(path) if path.is_file() else None


def read_split_file(path: Path) -> dict[str, str]:
    """Return the specimens that a published file lists, and the data set of each."""
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    rows = read_csv(path, [], header=("specimen_id", "source"))
    for line, row in zip(filled_lines(path), rows, strict=True):
        where, specimen = f"{path}, line {line}", row["specimen_id"]
        if not specimen.isdigit():
            raise StsError(f"{where}: {specimen!r} is no specimen id; digits are wanted")
        if specimen in lines:
            raise StsError(
                f"{where}: specimen {specimen} is listed already in line {lines[specimen]}; keep "
                "one of them"
            )
        lines[specimen] = line
        try:
            found[specimen] = SOURCES[one_of(row["source"], SOURCES, "source")]
        except StsError as error:
            raise StsError(f"{where}: {error}") from error
    if not found:
        raise StsError(f"{path} lists no cell: lines of `specimen_id, Seq` or `, Clamp` are wanted")
    return found


def folds_of(
    cells: Identified, folds: int, *, group_by: str = "specimen", seed: int = 0
) -> list[tuple[Ints, Ints]]:
    """Return rows to fit on and rows to score on, for each fold, the classes evenly spread."""
    return list(_divide(cells, folds, group_by, seed))


def keep_aside(
    cells: Identified, *, group_by: str = "specimen", seed: int = 0
) -> tuple[Ints, Ints]:
    """Return rows to fit the final model on, and rows to stop, calibrate and compare it with."""
    groups = _groups(cells) if group_by == "donor" else cells.specimen_id
    fewest = min(len(set(groups[cells.label == label].tolist())) for label in set(cells.label))
    wanted = int(np.clip(len(cells) // KEPT, *KEPT_PARTS))
    return folds_of(cells, max(2, min(wanted, fewest)), group_by=group_by, seed=seed)[0]


def _divide(cells: Identified, parts: int, group_by: str, seed: int) -> Iterator[tuple[Ints, Ints]]:
    groups = _groups(cells) if group_by == "donor" else cells.specimen_id
    for label in CLASSES:
        found = len(set(groups[cells.label == label].tolist()))
        if found < parts:
            raise StsError(
                f"only {found} {group_by}s of class {label} for {parts} parts: every part needs "
                "one; add cells or lower --folds"
            )
    rows = np.zeros((len(cells), 1))
    if group_by == "donor":
        grouped = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        return iter(grouped.split(rows, _strata(cells, parts), groups))
    single = StratifiedKFold(parts, shuffle=True, random_state=seed)
    return iter(single.split(rows, _strata(cells, parts)))


def _strata(cells: Identified, parts: int) -> Texts:
    """Return what is spread evenly: class and data set, or the class where that is too fine."""
    fine = np.array([f"{a}|{b}" for a, b in zip(cells.label, cells.dataset, strict=True)])
    kinds, counts = np.unique(fine, return_counts=True)
    coarse = {str(kind).split("|")[0] for kind in kinds[counts < parts]}
    return np.where(np.isin(cells.label, sorted(coarse)), cells.label, fine)


def _groups(cells: Identified) -> Texts:
    """Return donors; a cell whose donor is not known is one of its own."""
    own = [f"specimen {specimen}" for specimen in cells.specimen_id]
    return np.where(cells.donor_id != "", cells.donor_id, own)


def _make(cells: Cells, path: Path, group_by: str, seed: int) -> Split:
    train, test = next(_divide(cells, PARTS, group_by, seed))
    sides = {
        side: sorted(cells.specimen_id[rows].tolist())
        for side, rows in (("train", train), ("test", test))
    }
    fingerprint = _fingerprint(cells, group_by)
    about = {"format": FORMAT, "group_by": group_by, "seed": seed, "fingerprint": fingerprint}
    write_json(path, about | sides)
    logger.info(
        "%d cells are divided by %s into %s: %d to train on, %d held out",
        *(len(cells), group_by, path, len(sides["train"]), len(sides["test"])),
    )
    return Split(
        train=frozenset(sides["train"]),
        test=frozenset(sides["test"]),
        origin=str(path),
        group_by=group_by,
        fingerprint=fingerprint,
    )


def _read(path: Path) -> Split:
    kept = read_json(path)
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise StsError(
            f"{path} is not a split of this program (format {FORMAT!r}): move it away to make one"
        )
    sides = [kept.get(side) for side in ("train", "test")]
    listed = [name for side in sides if isinstance(side, list) for name in side]
    texts = [kept.get("group_by"), kept.get("fingerprint"), *listed]
    if not all(isinstance(side, list) for side in sides) or not all(
        isinstance(text, str) for text in texts
    ):
        raise StsError(f"{path} lacks sides, group_by or fingerprint: move it away to make one")
    if len(set(listed)) < len(listed):
        twice = next(name for name in listed if listed.count(name) > 1)
        raise StsError(f"specimen {twice} is listed twice in {path}: move it away to make one")
    one_of(kept["group_by"], GROUPS, f"grouping in {path}")
    return Split(
        train=frozenset(kept["train"]),
        test=frozenset(kept["test"]),
        origin=str(path),
        group_by=kept["group_by"],
        fingerprint=kept["fingerprint"],
    )


def _published(data: Path) -> Split:
    sides = {side: frozenset(read_split_file(data / name)) for side, name in PUBLISHED.items()}
    origin = str((data / PUBLISHED["train"]).parent)
    if both := sorted(sides["train"] & sides["test"]):
        raise StsError(
            f"{len(both)} specimens stand on both sides of {origin}, such as {both[0]}: fetch the "
            "split again, or take them off one side"
        )
    return Split(train=sides["train"], test=sides["test"], origin=origin)
