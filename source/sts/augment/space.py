"""The space of generators and classifiers: scaled by family, complete, with flags for what lacked.

Everything in it is fitted on training rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from sts.augment.curation import DERIVED, family_of
from sts.base.errors import StsError
from sts.base.types import Bools, Floats, Ints

# Ranks are told apart no finer than this.
QUANTILES: Final = 200
# Where the middle of a column ends; what lies further out than it is wide is drawn in. A latency of
# half a second, or a ratio over nearly nothing, would else outweigh all other neurons.
MIDDLE: Final = (0.005, 0.995)
# Above it a flag reads as set: generators make numbers in between.
SET: Final = 0.5


def _ranks(rows: int) -> Any:
    # Quotients have tails that no shift and factor tames. Nothing is left to chance.
    return QuantileTransformer(
        n_quantiles=min(QUANTILES, rows), output_distribution="normal", subsample=None
    )


# As Vasques and Cif (2025) scale each family; derived features are not theirs.
SCALERS: Final[dict[str, Callable[[int], Any] | None]] = {
    "timing": lambda rows: RobustScaler(),
    "voltage": lambda rows: StandardScaler(),
    "continuous": lambda rows: StandardScaler(),
    "morphology": lambda rows: StandardScaler(),
    "ratio": None,
    DERIVED: _ranks,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """What was learnt from training rows about scales and missing values."""

    names: tuple[str, ...]
    """Of the columns that some training row has a value of, flags behind them."""
    kept: Ints
    """Where those columns stand among the features."""
    scalers: tuple[tuple[Ints, Any], ...]
    """Places among the kept columns, and what scales them."""
    low: Floats
    """(kept,) scaled values that no value goes below, and above."""
    high: Floats
    fill: Floats
    """(kept,) scaled medians, for what is missing."""
    flags: tuple[Ints, ...]
    """For each flag the kept columns that lack values in the same training rows."""

    def scaled(self, X: Floats) -> Floats:
        """Return the kept columns scaled and drawn in, NaN where a value is missing."""
        Z: Floats = np.array(X[:, self.kept], dtype=np.float64)
        for places, scaler in self.scalers:
            Z[:, places] = scaler.transform(Z[:, places])
        return np.clip(Z, self.low, self.high)

    def transform(self, X: Floats) -> Floats:
        """Return complete rows: scaled columns, missing ones filled, then the flags."""
        Z = self.scaled(X)
        lacking = np.isnan(Z)
        flags = [lacking[:, places].all(axis=1) for places in self.flags]
        return np.column_stack([np.where(lacking, self.fill, Z), *flags])

    def with_missing(self, Z: Floats) -> Floats:
        """Return the scaled columns of complete rows, NaN where a flag is set."""
        count = len(self.kept)
        found = np.array(Z[:, :count])
        for place, columns in enumerate(self.flags):
            rows = np.flatnonzero(Z[:, count + place] > SET)
            found[np.ix_(rows, columns)] = np.nan
        return found

    def inverse(self, Z: Floats) -> Floats:
        """Return complete rows in the units of the table, NaN where a flag is set."""
        found = self.with_missing(Z)
        for places, scaler in self.scalers:
            found[:, places] = scaler.inverse_transform(found[:, places])
        return found


def fit_space(X: Floats, names: Sequence[str]) -> Space:
    """Fit scales, medians and flags on training rows X (n, features), NaN where one is missing.

    A column that no training row has a value of is left out; one that is constant becomes zeros.
    """
    there = np.isfinite(X)
    kept = np.flatnonzero(there.any(axis=0))
    if not len(kept):
        raise StsError("all values of the training rows are missing: nothing can be learnt")
    known = np.asarray(X[:, kept], dtype=np.float64)
    labels = tuple(names[column] for column in kept.tolist())
    families = [family_of(name) for name in labels]
    scalers = []
    scaled = known.copy()
    for family, make in SCALERS.items():
        places = np.flatnonzero(np.array(families) == family)
        if make is not None and len(places):
            scaler = make(len(X)).fit(known[:, places])
            scaled[:, places] = scaler.transform(known[:, places])
            scalers.append((places, scaler))
    low, high = _limits(scaled)
    flags = _patterns(~there[:, kept])
    marks = tuple(f"missing_{labels[places[0]]}" for places in flags)
    return Space(
        names=(*labels, *marks),
        kept=kept,
        scalers=tuple(scalers),
        low=low,
        high=high,
        fill=np.nanmedian(scaled, axis=0),
        flags=flags,
    )


def _limits(scaled: Floats) -> tuple[Floats, Floats]:
    low, high = np.nanquantile(scaled, MIDDLE, axis=0)
    wide = high - low
    # A column that is nearly constant has no middle to measure by.
    spread = wide > 0
    least, most = np.nanmin(scaled, axis=0), np.nanmax(scaled, axis=0)
    return np.where(spread, low - wide, least), np.where(spread, high + wide, most)


def _patterns(lacking: Bools) -> tuple[Ints, ...]:
    """Return groups of columns that lack values in the same rows, without those that lack none."""
    found: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(lacking.any(axis=0)).tolist():
        found.setdefault(np.packbits(lacking[:, column]).tobytes(), []).append(column)
    return tuple(np.array(columns) for columns in found.values())
