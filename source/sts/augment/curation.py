"""Which columns describe the neuron: what family each belongs to, what is technical, and why."""

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

TABLE: Final = Path(__file__).with_name("curation.csv")
TECHNICAL: Final = "technical"
# What a column is that the table does not list.
UNLISTED: Final = "continuous"
# Computed from others by a formula; their tails are long where something is divided by.
DERIVED: Final = "derived"
FAMILIES: Final = ("timing", "voltage", "continuous", "ratio", "morphology", DERIVED)


@dataclass(frozen=True, kw_only=True)
class Column:
    """What is known of a published column."""

    family: str
    unit: str
    """Of its values; "" if they have none."""
    least: float
    """Below it a value cannot be: a reconstruction without diameters has no volume."""
    reason: str
    """Why a technical column is left out."""


@cache
def curation() -> Mapping[str, Column]:
    """Return what the table says of each published column."""
    return {
        row["column"]: Column(
            family=one_of(row["family"], (*FAMILIES, TECHNICAL), "family"),
            unit=row["unit"],
            least=float(row["least"] or -np.inf),
            reason=row["reason"],
        )
        for row in read_csv(TABLE, ("column", "family", "unit", "least", "reason"))
    }


def family_of(name: str) -> str:
    """Return the family of a column, published, derived or somebody's own."""
    known = curation().get(name)
    if known is not None:
        return known.family
    return DERIVED if name in FORMULAS_WITH_CONTRASTS else UNLISTED


def with_unit(name: str) -> str:
    """Return a column as figures call it, such as `vrest (mV)`."""
    known = curation().get(name)
    return f"{name} ({known.unit})" if known is not None and known.unit else name


def technical_columns(names: Sequence[str]) -> dict[str, str]:
    """Return those of the names that are not biology, each with the reason."""
    known = {name: curation()[name] for name in names if name in curation()}
    return {name: each.reason for name, each in known.items() if each.family == TECHNICAL}


def possible(name: str, values: Floats) -> Floats:
    """Return the values of a column, those that cannot be as missing."""
    known = curation().get(name)
    if known is None:
        return values
    with np.errstate(invalid="ignore"):
        return np.where(values < known.least, np.nan, values)
