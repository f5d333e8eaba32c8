"""The published columns: the family of each, and the reasons why some are technical."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import one_of
from sts.base.files import read_csv
from sts.base.types import Floats
from sts.datasets.formulas import FORMULAS_WITH_CONTRASTS

CURATION_TABLE: Final = Path(__file__).with_name("curation.csv")
TECHNICAL: Final = "technical"
# The family of a column that is not in the table.
UNLISTED: Final = "continuous"
# The family of columns computed by a formula; quotients among them have long tails.
DERIVED: Final = "derived"
FAMILIES: Final = ("timing", "voltage", "continuous", "ratio", "morphology", DERIVED)


@dataclass(frozen=True, kw_only=True)
class Column:
    """The properties of a published column."""

    family: str
    unit: str
    """The unit of its values; "" if they have none."""
    least: float
    """The smallest possible value: a reconstruction without diameters has no volume."""
    reason: str
    """Why a technical column is left out."""


@cache
def read_curation() -> Mapping[str, Column]:
    """Return the properties of each published column from the table."""
    return {
        row["column"]: Column(
            family=one_of(row["family"], (*FAMILIES, TECHNICAL), "family"),
            unit=row["unit"],
            least=float(row["least"] or -np.inf),
            reason=row["reason"],
        )
        for row in read_csv(CURATION_TABLE, ("column", "family", "unit", "least", "reason"))
    }


def family_of(name: str) -> str:
    """Return the family of a column, be it published, derived or the user's own."""
    column = read_curation().get(name)
    if column is not None:
        return column.family
    return DERIVED if name in FORMULAS_WITH_CONTRASTS else UNLISTED


def label_with_unit(name: str) -> str:
    """Return the label of a column in figures, such as `vrest (mV)`."""
    column = read_curation().get(name)
    return f"{name} ({column.unit})" if column is not None and column.unit else name


def technical_columns(names: Sequence[str]) -> dict[str, str]:
    """Return the names of columns that do not describe the neuron, each with the reason."""
    columns = {name: read_curation()[name] for name in names if name in read_curation()}
    return {name: each.reason for name, each in columns.items() if each.family == TECHNICAL}


def drop_impossible(name: str, values: Floats) -> Floats:
    """Return the values of a column, with NaN for impossible values."""
    column = read_curation().get(name)
    if column is None:
        return values
    with np.errstate(invalid="ignore"):
        return np.where(values < column.least, np.nan, values)
