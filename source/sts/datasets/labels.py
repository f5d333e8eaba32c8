"""The class and the e-type of each cell, from the user's own table or from published files."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv, refuse_special, separator_of
from sts.base.types import CLASSES
from sts.datasets.allen import assign, by_name, find_allen, is_allen_table, read_allen
from sts.datasets.table import check_id, check_name, locate_errors

# The label of cells in the published file that could not be assigned to a class.
UNSURE: Final = "Unsure"
# Files of labels in a data folder: the published file, or the user's own table.
LABEL_FILES: Final = ("cell_types_GouwensAll_new.txt", "labels.csv")
# The table of e-types in a data folder, and the names of its columns.
ETYPE_FILES: Final = ("etypes/e-type.csv", "e-type.csv")
ETYPE: Final = "e-type"
KEY: Final = "specimen_id"
# The published table has no ids. These columns identify all its neurons, except one pair that is
# equal in all features (466632464 and 322762730).
MATCHED: Final = (
    "vrest",
    "vm_for_sag",
    "ri",
    "peak_t_long_square",
    "peak_v_long_square",
    "upstroke_downstroke_ratio_long_square",
)

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class CellLabel:
    """The class of one cell; `dataset` and `donor_id` are empty if the file has none."""

    specimen_id: str
    label: str
    dataset: str = ""
    donor_id: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelFile:
    """The classes of cells in a file."""

    path: Path
    labels: dict[str, CellLabel]
    """By specimen id; only cells with a class."""
    unsure: frozenset[str]
    """Specimens without a class: labelled Unsure, or their metadata indicate none."""


def labels_of(data: Path) -> LabelFile:
    """Return the labels in a data folder, published or the user's own."""
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
    """Return the classes of cells in a file; cells labelled Unsure are left out.

    The file is one of three kinds: a table with the columns specimen_id, label and perhaps dataset
    and donor_id; lines of a class and a specimen id, as in `cell_types_GouwensAll_new.txt` of the
    study; or a table of the Allen Institute, whose classes `mapping.csv` states.
    """
    if is_allen_table(_header(path)):
        return _read_allen_labels(path)
    # The first line determines the kind: a class or specimen id contains no comma; a tab may
    # separate them.
    is_table = "," in _first_line(path) or "specimen_id" in _header(path)
    labels: dict[str, CellLabel] = {}
    lines: dict[str, int] = {}
    for line, label in _read_table(path) if is_table else _read_published(path):
        with locate_errors(f"{path}, line {line}"):
            check_id(label.specimen_id)
            for name in ("label", "dataset", "donor_id"):
                check_name(getattr(label, name), f"the {name}")
            if label.specimen_id in lines:
                raise StsError(
                    f"specimen {label.specimen_id} has a label in line "
                    f"{lines[label.specimen_id]} already; keep one of them"
                )
            lines[label.specimen_id] = line
            if label.label != UNSURE:
                one_of(label.label, CLASSES, "class")
                labels[label.specimen_id] = label
    if not labels:
        raise StsError(f"no labels in {path}: lines of specimen_id,label are needed")
    if unsure := frozenset(lines) - frozenset(labels):
        logger.info("%d cells labelled %s are left out", len(unsure), UNSURE)
    return LabelFile(path=path, labels=labels, unsure=unsure)


def identities(path: Path | None, *, near: Iterable[Path] = ()) -> dict[str, CellLabel]:
    """Return the label of a cell by any id that a recording can contain.

    Parameters
    ----------
    path
        A file of labels. Cells that are not in it have an empty label.
    near
        Folders in which tables of the Allen Institute are looked for: they say which specimen a
        session of the DANDI archive belongs to, and its donor.
    """
    labels = read_labels(path) if path is not None else {}
    names = dict(labels)
    tables = [path] if path is not None and is_allen_table(_header(path)) else find_allen(near)
    cells = by_name(cell for table in tables for cell in read_allen(table).values())
    for name, cell in cells.items():
        label = labels.get(cell.specimen_id, CellLabel(specimen_id=cell.specimen_id, label=""))
        names[name] = replace(
            label, dataset=label.dataset or cell.dataset, donor_id=label.donor_id or cell.donor_id
        )
    return names


def _read_allen_labels(path: Path) -> LabelFile:
    labels: dict[str, CellLabel] = {}
    unsure: dict[str, str] = {}
    for specimen, cell in read_allen(path).items():
        assigned = assign(cell)
        if assigned.label:
            labels[specimen] = CellLabel(
                specimen_id=specimen,
                label=assigned.label,
                dataset=cell.dataset,
                donor_id=cell.donor_id,
            )
        else:
            unsure[specimen] = assigned.reason
    for reason, count in Counter(unsure.values()).most_common():
        logger.info("%d cells have no class: %s", count, reason)
    return LabelFile(path=path, labels=labels, unsure=frozenset(unsure))


def _header(path: Path) -> list[str]:
    """Return the columns in the first line."""
    first = _first_line(path)
    return [part.strip(' "') for part in first.split(separator_of(first))]


def _first_line(path: Path) -> str:
    """Return the first line that is not blank."""
    return next((line for line in _read_lines(path) if line.strip()), "")


def filled_lines(path: Path) -> list[int]:
    """Return the numbers of the lines of a CSV file that are not blank."""
    return [line for line, text in enumerate(_read_lines(path), start=1) if text.strip(", ;\t")]


def _read_lines(path: Path) -> list[str]:
    try:
        refuse_special(path)
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise StsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise StsError(f"{path} is not UTF-8 text: save it as UTF-8") from error


def _read_table(path: Path) -> Iterator[tuple[int, CellLabel]]:
    # The first of these lines contains the names of the columns.
    lines = filled_lines(path)[1:]
    for line, row in zip(lines, read_csv(path, ["specimen_id", "label"]), strict=False):
        texts = {name: row.get(name, "") for name in ("dataset", "donor_id")}
        yield line, CellLabel(specimen_id=row["specimen_id"], label=row["label"], **texts)


def _read_published(path: Path) -> Iterator[tuple[int, CellLabel]]:
    for line, text in enumerate(_read_lines(path), start=1):
        words = text.split()
        if len(words) == 2 and words[1].isdigit():
            yield line, CellLabel(label=words[0], specimen_id=words[1])
        elif words:
            raise StsError(
                f"{path}, line {line}: {text.strip()[:60]!r} is not a class and a specimen id; "
                "a table needs the columns specimen_id,label"
            )


def find_etypes(data: Path) -> Path | None:
    """Return the table of e-types in a folder of data, None if there is none."""
    return next((data / name for name in ETYPE_FILES if (data / name).is_file()), None)


def read_etypes(path: Path, *, features: Sequence[Mapping[str, str]] = ()) -> dict[str, str]:
    """Return the e-type of each specimen.

    Parameters
    ----------
    features
        Rows of the published PatchClamp table, by whose values specimens are recognised where the
        file has no ids.
    """
    rows = read_csv(path, [ETYPE])
    if not rows:
        raise StsError(f"no cell in {path}: a header and a line for each cell are needed")
    if bare := next((line for line, row in enumerate(rows, 2) if not row[ETYPE]), 0):
        raise StsError(f"{path}, line {bare}: no e-type; every cell needs one")
    if KEY in rows[0]:
        return {row[KEY]: row[ETYPE] for row in rows if row[KEY]}
    known: dict[tuple[str, ...], list[str]] = {}
    for cell in features:
        known.setdefault(round_features(cell), []).append(cell[KEY])
    etypes = {
        specimen: row[ETYPE] for row in rows for specimen in known.get(round_features(row), [])
    }
    logger.info("%d of %d e-types belong to specimens that are here", len(etypes), len(rows))
    return etypes


def round_features(row: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values that identify a neuron; nine of their digits are equal in all tables."""
    return tuple(_round(row.get(name, "")) for name in MATCHED)


def _round(text: str) -> str:
    try:
        return f"{float(text or 'nan'):.9g}"
    except ValueError:
        return "nan"
