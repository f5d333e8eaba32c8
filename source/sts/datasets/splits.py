"""Training and test cells: the published split, and our own, which is stored and only grows."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv, read_json, write_json
from sts.base.types import CLASSES, Bools, Ints, Texts
from sts.datasets.cells import Cells, Identified, Rows, cells_in, identify_cells, unite_cells
from sts.datasets.labels import filled_lines
from sts.datasets.table import locate_errors

# The published files, in the same folder as in the published repository.
PUBLISHED_SPLIT: Final = {"train": "Split/Train_split.csv", "test": "Split/Test_split.csv"}
# The names of the data sets in these files.
SOURCE_DATASETS: Final = {"Seq": "PatchSeq", "Clamp": "PatchClamp"}
# A list of the published test specimens, for data without the published split.
TEST_IDS: Final = "published_test_ids.txt"
SPLIT_NAME: Final = "split.json"
# Subfolder of a data folder with the splits of single tables, named like the tables.
SPLITS_FOLDER: Final = "splits"
SPLIT_FORMAT: Final = "sts-split 2"
GROUPS: Final = ("specimen", "donor")
DONOR: Final = "donor"
# One in five cells is held out, as in the published study.
HOLDOUT_PARTS: Final = 5
# Number of cells to keep aside in a large cohort: a temperature fitted on 200 cells has an error of
# about 7 %.
KEPT_CELLS: Final = 200
# A refit keeps at most one in five cells aside, and at least one in ten.
KEPT_PARTS: Final = (5, 10)

logger = logging.getLogger("sts")
T = TypeVar("T", bound=Rows)


def read_split_file(path: Path) -> dict[str, str]:
    """Return the specimens in a published file, with the data set of each."""
    listed: dict[str, str] = {}
    for where, row in _read_listed(path, ("specimen_id", "source")):
        with locate_errors(where):
            listed[row["specimen_id"]] = SOURCE_DATASETS[
                one_of(row["source"], SOURCE_DATASETS, "source")
            ]
    if not listed:
        raise StsError(
            f"{path} lists no cell: expected lines such as `specimen_id, Seq` or "
            "`specimen_id, Clamp`"
        )
    return listed


def _read_listed(path: Path, columns: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a file without a header, each with its line; no specimen occurs twice."""
    lines: dict[str, int] = {}
    listed = []
    for line, row in zip(filled_lines(path), read_csv(path, [], header=columns), strict=True):
        where, specimen = f"{path}, line {line}", row["specimen_id"]
        if not specimen.isdigit():
            raise StsError(f"{where}: {specimen[:60]!r} is not a specimen id: expected digits only")
        if (first := lines.setdefault(specimen, line)) != line:
            raise StsError(
                f"{where}: specimen {specimen} is already listed in line {first}; "
                "remove one of the two lines"
            )
        listed.append((where, row))
    return listed


def held_out_specimens(data: Path) -> frozenset[str]:
    """Return the specimens of the published test split, as far as a data folder contains them.

    They are listed in the published split of the folder, and in `published_test_ids.txt` in the
    folder or in its parent folder.
    """
    split = data / PUBLISHED_SPLIT["test"]
    known = set(read_split_file(split)) if split.is_file() else set()
    for path in (data / TEST_IDS, data.absolute().parent / TEST_IDS):
        if path.is_file():
            known |= {row["specimen_id"] for _, row in _read_listed(path, ("specimen_id",))}
    return frozenset(known)


def leave_out_held(cells: T, data: Path, *, where: str, has_holdout: bool = False) -> T:
    """Return the cells without those of the published test split, and log their number.

    Parameters
    ----------
    where
        The file or folder that contains the cells, in words.
    has_holdout
        Whether the test side of the published split in `data` stays, because the cells are divided
        by this split.
    """
    held = held_out_specimens(data)
    split = data / PUBLISHED_SPLIT["test"]
    if has_holdout and split.is_file():
        held -= read_split_file(split).keys()
    out = np.isin(cells.specimen_id, sorted(held)) | np.isin(cells.claimed_id, sorted(held))
    if not out.any():
        return cells
    logger.warning(
        "%d cells of the published test split are left out of %s: they must "
        "not be used in training",
        *(int(out.sum()), where),
    )
    if out.all():
        raise StsError(
            f"all cells of {where} belong to the published test split, which must not be used in "
            "training: add other cells"
        )
    kept: T = cells.rows(~out)
    return kept


def count_in_words(cells: Identified) -> str:
    """Return the number of cells of each class and data set, such as "Sst 8 (PatchSeq 8)"."""
    words = []
    for label in [name for name in CLASSES if name in cells.label]:
        own = cells.dataset[cells.label == label]
        names, counts = np.unique(own, return_counts=True)
        parts = [f"{name or 'unknown'} {count}" for name, count in zip(names, counts, strict=True)]
        words.append(f"{label} {len(own)} ({', '.join(parts)})")
    return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Specimen ids of both sides, and the source of the split."""

    train: frozenset[str]
    test: frozenset[str]
    origin: str
    group_by: str = "specimen"
    seed: int = 0
    is_published: bool = False
    """Whether it is the published split, to which no cells are ever added."""


def split_of(
    cells: Identified, data: Path, *, table: str = "", group_by: str | None = None, seed: int = 0
) -> Split:
    """Return the split stored in `data`, published or our own; make and store one if there is none.

    Our own split divides all labelled cells in `data`, in sweep stores and in tables of features,
    so that every study has the same cells on the same side. New cells are divided separately: all
    others stay on their sides.

    Parameters
    ----------
    table
        The name of the user's own table: its split is stored in `data` and contains only its cells.
    group_by
        One of GROUPS; None: the grouping of the stored split, or by donor for a new split.
    """
    if group_by is not None:
        one_of(group_by, GROUPS, "grouping")
    if not table and (published := _find_published(data)) is not None:
        _report_left_out(cells, published)
        return published
    path = data / SPLITS_FOLDER / f"{table}.json" if table else data / SPLIT_NAME
    kept = _read(path) if path.is_file() else None
    if kept is not None and group_by not in (None, kept.group_by):
        raise StsError(
            f"{path} was divided by {kept.group_by}, not by {group_by}: use "
            f"--group-by {kept.group_by}, or {_advise_remake(path)}"
        )
    everyone = unite_cells([cells] if table else [cells, cells_in(data)])
    labelled = everyone.rows(np.isin(everyone.label, CLASSES))
    labelled = leave_out_held(labelled, data, where=str(path))
    if kept is None:
        return _make_split(labelled, path, group_by or DONOR, seed)
    return _add_cells(kept, labelled, path)


def _report_left_out(cells: Identified, split: Split) -> None:
    """Log which labelled cells the published split does not contain, and the reverse."""
    labelled = cells.label != ""
    divided = split.train | split.test
    rest = labelled & ~np.isin(cells.specimen_id, sorted(divided))
    if labelled.any() and not (labelled & ~rest).any():
        raise StsError(
            f"none of these {int(labelled.sum())} labelled cells is in the published split "
            f"{split.origin}: use a separate folder with --data"
        )
    if rest.any():
        logger.warning(
            "%d labelled cells are in neither part of the published split and are left out: %s",
            *(int(rest.sum()), count_in_words(identify_cells(cells, np.flatnonzero(rest)))),
        )
    if gone := sorted(divided - set(cells.specimen_id[labelled].tolist())):
        logger.warning(
            "%d specimens of %s are not among these %d cells, such as %s",
            *(len(gone), split.origin, int(labelled.sum()), gone[0]),
        )


def _advise_remake(path: Path) -> str:
    return (
        f"move {path} to another folder to divide all cells again (holdout scores from before and "
        "after cannot be compared)"
    )


def find_split(data: Path) -> Split | None:
    """Return the split stored in a data folder, preferably the published one, None without any."""
    path = data / SPLIT_NAME
    return _find_published(data) or (_read(path) if path.is_file() else None)


def folds_of(
    cells: Identified, folds: int, *, group_by: str = DONOR, seed: int = 0
) -> list[tuple[Ints, Ints]]:
    """Return rows to fit on and rows to score on for each fold, stratified by class."""
    grouping = one_of(group_by, GROUPS, "grouping")
    return list(_divide(cells, folds, grouping, seed, advice="add cells or lower --folds"))


def keep_aside(cells: Identified, *, group_by: str = DONOR, seed: int = 0) -> tuple[Ints, Ints]:
    """Return rows to fit the final model on, and rows to stop, calibrate and compare it."""
    groups = _list_groups(cells, group_by)
    fewest = min(len(set(groups[cells.label == label].tolist())) for label in set(cells.label))
    wanted = int(np.clip(len(cells) // KEPT_CELLS, *KEPT_PARTS))
    return folds_of(cells, max(2, min(wanted, fewest)), group_by=group_by, seed=seed)[0]


def _divide(
    cells: Identified, parts: int, group_by: str, seed: int, *, advice: str = "add cells"
) -> Iterator[tuple[Ints, Ints]]:
    groups = _list_groups(cells, group_by)
    by_donor = len(np.unique(groups)) < len(cells)
    for label in CLASSES:
        count = len(set(groups[cells.label == label].tolist()))
        if count < parts:
            who, more = ("donor", ", or use --group-by specimen") if by_donor else ("specimen", "")
            raise StsError(
                f"only {count} {who}s of class {label} for {parts} parts: every part needs "
                f"at least one; {advice}{more}"
            )
    rows = np.zeros((len(cells), 1))
    if by_donor:
        grouped = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        return iter(grouped.split(rows, _find_strata(cells, parts), groups))
    single = StratifiedKFold(parts, shuffle=True, random_state=seed)
    return iter(single.split(rows, _find_strata(cells, parts)))


def _find_strata(cells: Identified, parts: int) -> Texts:
    """Return strata: class and data set, or the class alone if these have too few cells."""
    fine = _label_and_dataset(cells)
    kinds, counts = np.unique(fine, return_counts=True)
    coarse = {str(kind).split("|")[0] for kind in kinds[counts < parts]}
    return np.where(np.isin(cells.label, sorted(coarse)), cells.label, fine)


def _label_and_dataset(cells: Identified) -> Texts:
    return np.array([f"{a}|{b}" for a, b in zip(cells.label, cells.dataset, strict=True)])


def _list_groups(cells: Identified, group_by: str) -> Texts:
    return donor_groups(cells) if group_by == DONOR else cells.specimen_id


def donor_groups(cells: Identified) -> Texts:
    """Return donor ids; a cell with an unknown donor is a group of its own."""
    own = [f"specimen {specimen}" for specimen in cells.specimen_id]
    return np.where(cells.donor_id != "", cells.donor_id, own)


def _make_split(cells: Cells, path: Path, group_by: str, seed: int) -> Split:
    train, test = next(_divide(cells, HOLDOUT_PARTS, group_by, seed))
    split = Split(
        train=frozenset(cells.specimen_id[train].tolist()),
        test=frozenset(cells.specimen_id[test].tolist()),
        origin=str(path),
        group_by=group_by,
        seed=seed,
    )
    _write(split, path)
    logger.info(
        "%d cells are divided by %s into %s: %d for training, %d held out",
        *(len(cells), group_by, path, len(split.train), len(split.test)),
    )
    return split


def _add_cells(kept: Split, cells: Cells, path: Path) -> Split:
    """Return the split with the new cells added; all others stay on their sides."""
    is_test = {specimen: False for specimen in kept.train} | dict.fromkeys(kept.test, True)
    groups = _list_groups(cells, kept.group_by)
    side_of: dict[str, bool] = {}
    for specimen, group in zip(cells.specimen_id.tolist(), groups.tolist(), strict=True):
        side = is_test.get(specimen)
        if side is not None and side_of.setdefault(group, side) != side:
            raise StsError(
                f"donor {group} has cells on both sides of {path}: donor ids have changed since "
                f"the split was made; restore the old ids, or {_advise_remake(path)}"
            )
    new = np.array([specimen not in is_test for specimen in cells.specimen_id.tolist()], dtype=bool)
    if not new.any():
        return kept
    _place_cells(cells, groups, new, is_test, side_of, seed=kept.seed)
    split = replace(
        kept,
        train=frozenset(name for name, side in is_test.items() if not side),
        test=frozenset(name for name, side in is_test.items() if side),
    )
    _write(split, path)
    logger.info(
        "%d new cells are added to %s: %d for training, %d held out; the other cells "
        "stay on their sides",
        *(int(new.sum()), path),
        *(len(split.train) - len(kept.train), len(split.test) - len(kept.test)),
    )
    return split


def _place_cells(
    cells: Cells,
    groups: Texts,
    new: Bools,
    is_test: dict[str, bool],
    side_of: dict[str, bool],
    *,
    seed: int,
) -> None:
    """Put each new group on the side of its donor, else on the side with too few of its classes.

    A group is held out if this brings the held-out share of its classes and data sets closer to
    1 / HOLDOUT_PARTS.
    """
    kinds = _label_and_dataset(cells)
    wanted = {kind: count / HOLDOUT_PARTS for kind, count in Counter(kinds.tolist()).items()}
    for specimen, kind in zip(cells.specimen_id.tolist(), kinds.tolist(), strict=True):
        wanted[kind] -= is_test.get(specimen, False)
    order = np.random.default_rng([seed, len(is_test)]).permutation(np.unique(groups[new]))
    # Groups with a fixed side are placed first: the rest balance the counts.
    for group in sorted(order.tolist(), key=lambda name: name not in side_of):
        members = new & (groups == group)
        counts = Counter(kinds[members].tolist())
        gain = sum(count * (2 * wanted[kind] - count) for kind, count in counts.items())
        held = side_of.get(group, gain > 0)
        for kind, count in counts.items():
            wanted[kind] -= count * held
        is_test |= dict.fromkeys(cells.specimen_id[members].tolist(), held)


def _write(split: Split, path: Path) -> None:
    about = {"format": SPLIT_FORMAT, "group_by": split.group_by, "seed": split.seed}
    write_json(path, about | {"train": sorted(split.train), "test": sorted(split.test)})


def _read(path: Path) -> Split:
    kept = read_json(path)
    if not isinstance(kept, dict) or kept.get("format") != SPLIT_FORMAT:
        raise StsError(
            f"{path} is not a split of this program (format {SPLIT_FORMAT!r}): move it to another "
            "folder to make one"
        )
    sides = [kept.get(side) for side in ("train", "test")]
    listed = [name for side in sides if isinstance(side, list) for name in side]
    texts = [kept.get("group_by"), *listed]
    seed = kept.get("seed", 0)
    if not all(isinstance(side, list) for side in sides) or not all(
        isinstance(text, str) for text in texts
    ):
        raise StsError(f"{path} lacks sides or group_by: move it to another folder to make one")
    if not isinstance(seed, int) or seed < 0:
        raise StsError(f"seed in {path} is {seed!r}: expected a whole number, at least 0")
    if len(set(listed)) < len(listed):
        twice = Counter(listed).most_common(1)[0][0]
        raise StsError(
            f"specimen {twice} is listed twice in {path}: move it to another folder to make one"
        )
    return Split(
        train=frozenset(kept["train"]),
        test=frozenset(kept["test"]),
        origin=str(path),
        group_by=one_of(kept["group_by"], GROUPS, f"grouping in {path}"),
        seed=seed,
    )


def _find_published(data: Path) -> Split | None:
    paths = {side: data / name for side, name in PUBLISHED_SPLIT.items()}
    there = [path for path in paths.values() if path.is_file()]
    if not there:
        return None
    if len(there) < len(paths):
        raise StsError(
            f"{there[0]} is one half of the published split: fetch the other half with "
            "`data_pipeline.py fetch sts-tables`, or move this file to another folder"
        )
    sides = {side: frozenset(read_split_file(path)) for side, path in paths.items()}
    origin = str(paths["train"].parent)
    if both := sorted(sides["train"] & sides["test"]):
        raise StsError(
            f"{len(both)} specimens are on both sides of {origin}, such as {both[0]}: fetch the "
            "split again, or remove them from one side"
        )
    return Split(train=sides["train"], test=sides["test"], origin=origin, is_published=True)
