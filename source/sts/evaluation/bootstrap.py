"""Intervals: by resampling cells or donors within classes, and of proportions by Wilson."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from sts.base.types import Floats, Ints

RESAMPLES: Final = 2000
# 95 % lie between these.
QUANTILES: Final = (0.025, 0.975)
# Numbers in one block of resamples: 16 MB.
BLOCK: Final = 2**21
# Of fewer cells a resample shows too few of the errors that there could be.
FEW: Final = 30


@dataclass(frozen=True)
class Interval:
    """A value and the 95 % interval around it; NaN where there is nothing to measure."""

    value: float
    low: float
    high: float

    @classmethod
    def from_dict(cls, mapping: Mapping[str, float | None]) -> "Interval":
        """Return what a report holds, in which null stands for NaN."""
        kept = {name: mapping.get(name) for name in ("value", "low", "high")}
        return cls(**{name: math.nan if v is None else float(v) for name, v in kept.items()})

    def excludes(self, number: float) -> bool:
        """Tell whether a number lies outside."""
        return number < self.low or number > self.high

    def in_words(self, digits: int = 3) -> str:
        """Return "0.912 [0.893, 0.930]"."""
        if math.isnan(self.value):
            return "–"
        if math.isnan(self.low):
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def resampled_sums(
    contributions: Floats,
    strata: Ints,
    rng: np.random.Generator,
    *,
    resamples: int,
    donors: NDArray[np.str_] | None = None,
) -> Floats:
    """Return sums over cells drawn with replacement within their strata, (resamples, terms).

    Parameters
    ----------
    contributions
        (cells, terms), what one drawing of a cell adds.
    strata
        (cells,), the stratum of each cell; every resample has as many cells of it as there are.
    donors
        (cells,), the animal of each cell: all its cells are drawn together. A cell of "" is drawn
        alone.
    """
    if donors is not None:
        contributions, strata = _by_donor(contributions, strata, donors)
    blocks = _multiplicities(strata, rng, resamples=resamples)
    return np.concatenate([times @ contributions for times in blocks])


def _by_donor(contributions: Floats, strata: Ints, donors: NDArray[np.str_]) -> tuple[Floats, Ints]:
    """Return what the cells of each donor add together, and the stratum of most of them."""
    alone = [f"cell {row}" for row in range(len(donors))]
    _, first, place = np.unique(
        np.where(donors == "", alone, "donor " + donors.astype(object)).astype(str),
        return_index=True,
        return_inverse=True,
    )
    # In the order of their first cells, so that donors of one cell each are drawn as cells are.
    place = np.argsort(np.argsort(first))[place]
    sums = np.zeros((len(first), contributions.shape[1]))
    np.add.at(sums, place, contributions)
    counts = np.zeros((len(first), int(strata.max()) + 1))
    np.add.at(counts, (place, strata), 1.0)
    return sums, counts.argmax(axis=1)


def _multiplicities(strata: Ints, rng: np.random.Generator, *, resamples: int) -> Iterator[Floats]:
    """Yield blocks of resamples as (rows, cells): how often each cell is drawn."""
    n = len(strata)
    order = np.argsort(strata, kind="stable")
    sorted_strata = strata[order]
    first = np.searchsorted(sorted_strata, sorted_strata, side="left")
    behind = np.searchsorted(sorted_strata, sorted_strata, side="right")
    most = max(1, BLOCK // n)
    for begin in range(0, resamples, most):
        rows = min(most, resamples - begin)
        drawn = order[rng.integers(first, behind, size=(rows, n))]
        places = drawn + n * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def interval_of(value: float, resampled: Floats) -> Interval:
    """Return a value with the interval that its resamples (resamples,) span.

    Resampling adds noise to noise: where the percentiles leave the value out, the interval reaches
    to it. Resamples without a cell to measure are left out.
    """
    drawn = resampled[~np.isnan(resampled)]
    if not len(drawn):
        return Interval(float(value), math.nan, math.nan)
    low, high = np.quantile(drawn, QUANTILES)
    return Interval(float(value), float(np.minimum(low, value)), float(np.maximum(high, value)))


def proportion_of(hits: int, cells: int) -> Interval:
    """Return a proportion with its interval by Wilson (1927); of no cell it is 0, from 0 to 1."""
    if not cells:
        return Interval(0.0, 0.0, 1.0)
    found = binomtest(hits, cells).proportion_ci(method="wilson")
    return Interval(hits / cells, float(found.low), float(found.high))


def proportion_interval(hits: int, cells: int, resampled: Floats, *, grouped: bool) -> Interval:
    """Return a proportion with its interval: of few cells, or where all are alike, by Wilson.

    Parameters
    ----------
    grouped
        Whether donors were drawn: Wilson takes cells for independent, so that the interval then
        reaches as far as that of the resamples does too.
    """
    wilson = proportion_of(hits, cells)
    if cells >= FEW and 0 < hits < cells:
        return interval_of(hits / cells, resampled)
    if not grouped:
        return wilson
    drawn = interval_of(wilson.value, resampled)
    return Interval(
        wilson.value, float(np.fmin(wilson.low, drawn.low)), float(np.fmax(wilson.high, drawn.high))
    )
