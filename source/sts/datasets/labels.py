"""Which cell is of which class: from one's own table, the published file, or Allen's tables."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv, refuse_special, separator_of
from sts.base.types import CLASSES
from sts.datasets.allen import AllenCell, assign, by_name, find_allen, is_allen_table, read_allen
from sts.datasets.checks import check_id, check_name

# What the published file calls cells that no one could assign.
UNSURE: Final = "Unsure"
# Where labels lie in a folder of data: the published file, or a table of one's own.
LABEL_FILES: Final = ("cell_types_GouwensAll_new.txt", "labels.csv")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CellLabel:
    """The class of one cell; `dataset` and `donor_id` are empty where the file has none."""

    specimen_id: str
    label: str
    dataset: str = ""
    donor_id: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelFile:
    """What a file says of the classes of cells."""

    path: Path
    labels: dict[str, CellLabel]
    """By specimen id; only cells of a class."""
    unsure: frozenset[str]
    """Specimens without a class: labelled Unsure, or metadata that speak for none."""


def labels_of(data: Path) -> LabelFile:
    """Return the labels that lie in a folder of data, published or one's own."""
    path = find_labels(data)
    if path is None:
        raise StsError(
            f"no {' or '.join(LABEL_FILES)} in {data}: fetch the published labels with "
            "`data_pipeline.py fetch sts-tables`, or write lines of specimen_id,label"
        )
    return read_label_file(path)


def find_labels(data: Path) -> Path | None:
    """Return the file of labels in a folder of data, None if there is none."""
    return next((data / name for name in LABEL_FILES if (data / name).is_file()), None)


def read_labels(path: Path) -> dict[str, CellLabel]:
    """Return the labels in a file by specimen id; cells without a class are left out."""
    return read_label_file(path).labels


def read_label_file(path: Path) -> LabelFile:
    """Return what a file says of the classes of cells.

    Either a table (separated by commas, semicolons or tabs) with the columns specimen_id, label and
    perhaps dataset and donor_id, or lines of a
    class and a specimen id, as `cell_types_GouwensAll_new.txt` of the study has them, or a table of
    the Allen Institute (T-types, transgenic lines), whose classes `mapping.csv` states. Cells
    labelled Unsure are left out.
    """
    if is_allen_table(_header(path)):
        return _from_allen(path)
    labels: dict[str, CellLabel] = {}
    lines: dict[str, int] = {}
    for line, label in _entries(path):
        where = f"{path}, line {line}"
        _check_names(label, where)
        if label.specimen_id in lines:
            raise StsError(
                f"{where}: specimen {label.specimen_id} has a label in line "
                f"{lines[label.specimen_id]} already; keep one of them"
            )
        lines[label.specimen_id] = line
        if label.label != UNSURE:
            labels[label.specimen_id] = _checked(label, where)
    if not labels:
        raise StsError(f"no labels in {path}: lines of specimen_id,label are wanted")
    if unsure := frozenset(lines) - frozenset(labels):
        log.info("%d cells labelled %s are left out", len(unsure), UNSURE)
    return LabelFile(path=path, labels=labels, unsure=unsure)


def identities(path: Path | None, *, near: Iterable[Path] = ()) -> dict[str, CellLabel]:
    """Return who cells are by any id a recording may bear, with their classes.

    Parameters
    ----------
    path
        A file of labels. Cells that it does not name have an empty label.
    near
        Folders in which tables of the Allen Institute are looked for: they say which specimen a
        session of the DANDI archive belongs to, and its donor.
    """
    labels = read_labels(path) if path is not None else {}
    tables = [path] if path is not None and is_allen_table(_header(path)) else find_allen(near)
    known = by_name(cell for table in tables for cell in read_allen(table).values())
    return labels | {
        name: _known(cell, labels.get(cell.specimen_id)) for name, cell in known.items()
    }


def _known(cell: AllenCell, label: CellLabel | None) -> CellLabel:
    found = label or CellLabel(specimen_id=cell.specimen_id, label="")
    return replace(
        found, dataset=found.dataset or cell.dataset, donor_id=found.donor_id or cell.donor_id
    )


def _from_allen(path: Path) -> LabelFile:
    labels: dict[str, CellLabel] = {}
    unsure: dict[str, str] = {}
    for specimen, cell in read_allen(path).items():
        found = assign(cell)
        if found.label:
            labels[specimen] = CellLabel(
                specimen_id=specimen,
                label=found.label,
                dataset=cell.dataset,
                donor_id=cell.donor_id,
            )
        else:
            unsure[specimen] = found.reason
    for reason, count in Counter(unsure.values()).most_common():
        log.info("%d cells have no class: %s", count, reason)
    return LabelFile(path=path, labels=labels, unsure=frozenset(unsure))


def _check_names(label: CellLabel, where: str) -> None:
    try:
        check_id(label.specimen_id)
        for name in ("label", "dataset", "donor_id"):
            check_name(getattr(label, name), f"the {name}")
    except StsError as error:
        raise StsError(f"{where}: {error}") from error


def _checked(label: CellLabel, where: str) -> CellLabel:
    try:
        one_of(label.label, CLASSES, "class")
    except StsError as error:
        raise StsError(f"{where}: {error}") from error
    return label


def _entries(path: Path) -> Iterator[tuple[int, CellLabel]]:
    # The first line decides: no class and no specimen id has a comma; between them may be a tab.
    is_table = "," in _first_line(path) or "specimen_id" in _header(path)
    return _from_csv(path) if is_table else _from_published(path)


def _header(path: Path) -> list[str]:
    """Return the columns in the first line."""
    first = _first_line(path)
    return [part.strip(' "') for part in first.split(separator_of(first))]


def _first_line(path: Path) -> str:
    """Return the first line that is not blank."""
    return next((line for line in _read_lines(path) if line.strip()), "")


def filled_lines(path: Path) -> list[int]:
    """Return the numbers of the lines of a CSV file that hold anything."""
    return [line for line, text in enumerate(_read_lines(path), start=1) if text.strip(", ;\t")]


def _read_lines(path: Path) -> list[str]:
    try:
        refuse_special(path)
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise StsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise StsError(f"{path} is not UTF-8 text: save it as UTF-8") from error


def _from_csv(path: Path) -> Iterator[tuple[int, CellLabel]]:
    # The first of them holds the names of the columns.
    lines = filled_lines(path)[1:]
    for line, row in zip(lines, read_csv(path, ["specimen_id", "label"]), strict=False):
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
        if len(words) == 2 and words[1].isdigit():
            yield line, CellLabel(label=words[0], specimen_id=words[1])
        elif words:
            raise StsError(
                f"{path}, line {line}: {text.strip()[:60]!r} is not a class and a specimen id; "
                "a table needs the columns specimen_id,label"
            )
