"""The published split, and the specimens of its test side, which train no model of the classes."""

import logging
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv
from sts.base.types import CLASSES
from sts.datasets.identity import Identified, Rows
from sts.datasets.labels import filled_lines

# The published files, in the folder the published repository keeps them in.
PUBLISHED: Final = {"train": "Split/Train_split.csv", "test": "Split/Test_split.csv"}
# What they call the data sets.
SOURCES: Final = {"Seq": "PatchSeq", "Clamp": "PatchClamp"}
# A list of the published test specimens, for data that come without the published split.
TEST_IDS: Final = "published_test_ids.txt"

logger = logging.getLogger("sts")
T = TypeVar("T", bound=Rows)


def read_split_file(path: Path) -> dict[str, str]:
    """Return the specimens that a published file lists, and the data set of each."""
    found: dict[str, str] = {}
    for where, row in _listed(path, ("specimen_id", "source")):
        try:
            found[row["specimen_id"]] = SOURCES[one_of(row["source"], SOURCES, "source")]
        except StsError as error:
            raise StsError(f"{where}: {error}") from error
    if not found:
        raise StsError(f"{path} lists no cell: lines of `specimen_id, Seq` or `, Clamp` are wanted")
    return found


def _listed(path: Path, columns: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a file without a header, and where each stands; no specimen twice."""
    lines: dict[str, int] = {}
    listed = []
    for line, row in zip(filled_lines(path), read_csv(path, [], header=columns), strict=True):
        where, specimen = f"{path}, line {line}", row["specimen_id"]
        if not specimen.isdigit():
            raise StsError(f"{where}: {specimen[:60]!r} is no specimen id; digits are wanted")
        if specimen in lines:
            raise StsError(
                f"{where}: specimen {specimen} is listed already in line {lines[specimen]}; keep "
                "one of them"
            )
        lines[specimen] = line
        listed.append((where, row))
    return listed


def held_out_specimens(data: Path) -> frozenset[str]:
    """Return the specimens of the published test split that a folder of data knows.

    They are those of its published split and those that `published_test_ids.txt` lists, in the
    folder or in the one that it lies in.
    """
    split = data / PUBLISHED["test"]
    known = set(read_split_file(split)) if split.is_file() else set()
    for path in (data / TEST_IDS, data.absolute().parent / TEST_IDS):
        if path.is_file():
            known |= {row["specimen_id"] for _, row in _listed(path, ("specimen_id",))}
    return frozenset(known)


def leave_out_held(cells: T, data: Path, *, where: str, has_holdout: bool = False) -> T:
    """Return the cells without those of the published test split, and say how many they were.

    Parameters
    ----------
    where
        What holds the cells, in words.
    has_holdout
        Whether the test side of the published split in `data` stays: the cells are divided by it.
    """
    held = held_out_specimens(data)
    split = data / PUBLISHED["test"]
    if has_holdout and split.is_file():
        held -= read_split_file(split).keys()
    out = np.isin(cells.specimen_id, sorted(held))
    if not out.any():
        return cells
    logger.warning(
        "%d cells of the published test split are left out of %s: they train nothing",
        *(int(out.sum()), where),
    )
    if out.all():
        raise StsError(
            f"all cells of {where} are of the published test split, which trains nothing: bring "
            "other cells"
        )
    kept: T = cells.rows(~out)
    return kept


def count_in_words(cells: Identified) -> str:
    """Return how many cells there are of each class and data set, as "Sst 8 (PatchSeq 8)"."""
    words = []
    for label in [name for name in CLASSES if name in cells.label]:
        own = cells.dataset[cells.label == label]
        names, counts = np.unique(own, return_counts=True)
        parts = [
            f"{name or 'not known'} {count}" for name, count in zip(names, counts, strict=True)
        ]
        words.append(f"{label} {len(own)} ({', '.join(parts)})")
    return ", ".join(words)
