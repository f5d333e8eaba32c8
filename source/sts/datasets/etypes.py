"""E-types of the Allen Cell Types Database, and which specimens the published table speaks of."""

import csv
import io
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sts.base.errors import StsError

# Where the table lies in a folder of data, and what its columns are called.
ETYPE_FILES: Final = ("etypes/e-type.csv", "e-type.csv")
ETYPE: Final = "e-type"
KEY: Final = "specimen_id"
# The published table has no ids. These columns tell all its neurons apart but one pair, which is
# equal in all features (466632464 and 322762730).
MATCHED: Final = (
    "vrest",
    "vm_for_sag",
    "ri",
    "peak_t_long_square",
    "peak_v_long_square",
    "upstroke_downstroke_ratio_long_square",
)

log = logging.getLogger(__name__)


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
    rows = _rows(path)
    if KEY in rows[0]:
        return {row[KEY]: row[ETYPE] for row in rows if row[KEY]}
    known: dict[tuple[str, ...], list[str]] = {}
    for cell in features:
        known.setdefault(_features(cell), []).append(cell[KEY])
    found: dict[str, str] = {}
    for row in rows:
        for specimen in known.get(_features(row), []):
            found[specimen] = row[ETYPE]
    log.info("%d of %d e-types belong to specimens that are here", len(found), len(rows))
    return found


def _features(row: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a neuron is recognised by, to nine digits: the tables differ in how many."""
    return tuple(_rounded(row.get(name, "")) for name in MATCHED)


def _rounded(text: str) -> str:
    try:
        return f"{float(text or 'nan'):.9g}"
    except ValueError:
        return f"{math.nan}"


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        # Columns of this table are separated by semicolons.
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StsError(f"cannot read {path}: {str(error).lower()}") from error
    columns = lines[0] if lines else []
    if ETYPE not in columns or len(lines) < 2:
        raise StsError(f"no column {ETYPE!r} in {path}: columns separated by `;` are wanted")
    rows = []
    for number, values in enumerate(lines[1:], start=2):
        if len(values) != len(columns) or not values[columns.index(ETYPE)]:
            raise StsError(
                f"{path}, line {number}: {len(columns)} values with an e-type are wanted"
            )
        rows.append(dict(zip(columns, values, strict=True)))
    return rows
