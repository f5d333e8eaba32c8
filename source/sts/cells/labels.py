"""Which cell is of which class: from a table of one's own or from the published label file."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv
from sts.base.types import CLASSES

# What the published file calls cells that no one could assign.
UNSURE: Final = "Unsure"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CellLabel:
    """The class of one cell; `dataset` and `donor_id` are empty where the file has none."""

    specimen_id: str
    label: str
    dataset: str = ""
    donor_id: str = ""


def read_labels(path: Path) -> dict[str, CellLabel]:
    """Return the labels in a file by specimen id.

    Either CSV with the columns specimen_id, label and perhaps dataset and donor_id, or lines of a
    class and a specimen id, as `cell_types_GouwensAll_new.txt` of the study has them. Cells
    labelled Unsure are left out.
    """
    labels: dict[str, CellLabel] = {}
    lines: dict[str, int] = {}
    unsure = 0
    for line, label in _entries(path):
        where = f"{path}, line {line}"
        if not label.specimen_id:
            raise StsError(f"{where}: no specimen id; give every label one")
        if label.specimen_id in lines:
            raise StsError(
                f"{where}: specimen {label.specimen_id} has a label in line "
                f"{lines[label.specimen_id]} already; keep one of them"
            )
        lines[label.specimen_id] = line
        if label.label == UNSURE:
            unsure += 1
        else:
            labels[label.specimen_id] = _checked(label, where)
    if not labels:
        raise StsError(f"no labels in {path}: lines of specimen_id,label are wanted")
    if unsure:
        log.info("%d cells labelled %s are left out", unsure, UNSURE)
    return labels


def _checked(label: CellLabel, where: str) -> CellLabel:
    try:
        one_of(label.label, CLASSES, "class")
    except StsError as error:
        raise StsError(f"{where}: {error}") from error
    return label


def _entries(path: Path) -> Iterator[tuple[int, CellLabel]]:
    return _from_csv(path) if _is_csv(path) else _from_published(path)


def _is_csv(path: Path) -> bool:
    """Tell by the first line: no class and no specimen id has a comma."""
    return "," in next((line for line in _read_lines(path) if line.strip()), "")


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise StsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise StsError(f"{path} is not UTF-8 text: save it as UTF-8") from error


def _from_csv(path: Path) -> Iterator[tuple[int, CellLabel]]:
    filled = [line for line, text in enumerate(_read_lines(path), start=1) if text.strip(", \t")]
    # The first of them holds the names of the columns.
    for line, row in zip(filled[1:], read_csv(path, ["specimen_id", "label"]), strict=False):
        yield (
            line,
            CellLabel(
                specimen_id=row["specimen_id"],
                label=row["label"],
                dataset=row.get("dataset", ""),
                donor_id=row.get("donor_id", ""),
            ),
        )


def _from_published(path: Path) -> Iterator[tuple[int, CellLabel]]:
    for line, text in enumerate(_read_lines(path), start=1):
        words = text.split()
        if len(words) == 2:
            yield line, CellLabel(label=words[0], specimen_id=words[1])
        elif words:
            raise StsError(
                f"{path}, line {line}: {text.strip()[:60]!r} is not a class and a specimen id; "
                "a table needs the columns specimen_id,label"
            )
