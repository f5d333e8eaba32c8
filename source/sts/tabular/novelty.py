"""Detect cells that are unlike the training cells of a classifier of tables.

The distance of a cell is the mean Euclidean distance to its k nearest training cells. Each feature
is centred on its median and scaled by its quartiles, its tails are compressed by arsinh, and a
missing value is replaced by the median. The coordinates are the leading principal components, and
the length of the remainder. A cell is unlike the training cells if its distance is above a
percentile of the distances of training cells that were kept aside. It is also unlike them if it
lacks more of the features that nearly all training cells have than a percentile of the cells kept
aside: for example a cell without one of the stimuli.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sts.base.types import Floats, Ints
from sts.evaluation.neighbours import (
    UNLIKE_PERCENTILE,
    Distance,
    NoveltyRule,
    leading_components,
    mean_distance,
    project,
    read_coordinates,
    refuse_few,
    upper_bound,
)

# Distance between the quartiles of a normal distribution, in standard deviations.
QUARTILES: Final = 1.349
# A feature that at least this share of the training cells has is expected of every cell.
NEARLY_ALL: Final = 0.95
TABLE_ARRAYS: Final = ("centre", "spread", "components", "cells", "expected")


@dataclass(frozen=True, kw_only=True)
class TableNoveltyRule(NoveltyRule):
    """The distance, and the number of missing features, above which a cell is novel."""

    most_lacking: Distance = 0.0
    """Number of missing expected features at the percentile: more are unusual."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Novelty:
    """The training cells of a classifier, in the coordinates for distances."""

    rule: TableNoveltyRule
    centre: Floats
    """(features,), medians."""
    spread: Floats
    components: Floats
    """(components, features), orthonormal."""
    cells: Floats
    """(training cells, components + 1)."""
    expected: Floats
    """(features,), 1 for features that nearly all training cells have, else 0."""

    def lacking(self, X: Floats) -> Ints:
        """Return the number of expected features that are missing in each cell."""
        return np.asarray((np.isnan(X) & (self.expected > 0)).sum(axis=1))

    def distances(self, X: Floats) -> Floats:
        """Return the distance of cells (cells, features)."""
        points = project(_scale(X, self.centre, self.spread), self.components)
        return mean_distance(self.cells, points, self.rule.neighbours)

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays to be stored."""
        return {name: getattr(self, name) for name in TABLE_ARRAYS}

    @classmethod
    def of(cls, rule: TableNoveltyRule, arrays: Mapping[str, Floats]) -> "Novelty":
        """Return the object from stored `arrays`."""
        spread, count = "spread", rule.neighbours
        return cls(
            rule=rule, **read_coordinates(arrays, TABLE_ARRAYS, spread=spread, neighbours=count)
        )


def measure_novelty(
    X: Floats, kept: Floats, *, neighbours: int = 5, percentile: float = UNLIKE_PERCENTILE
) -> Novelty:
    """Return a rule that detects cells unlike X (training cells, features).

    Parameters
    ----------
    kept
        (other cells, features), training cells that are not in X: their distances from the cells
        in X determine the threshold.
    """
    refuse_few(len(X), neighbours)
    centre, spread = _find_scales(X)
    scaled = _scale(X, centre, spread)
    components = leading_components(scaled)
    cells = project(scaled, components)
    expected = 1.0 - np.isnan(X).mean(axis=0) >= NEARLY_ALL
    novelty = Novelty(
        rule=TableNoveltyRule(neighbours=neighbours, percentile=percentile),
        expected=expected.astype(np.float64),
        centre=centre,
        spread=spread,
        components=components,
        cells=cells,
    )
    rule = replace(
        novelty.rule,
        threshold=upper_bound(novelty.distances(kept), percentile),
        most_lacking=upper_bound(novelty.lacking(kept), percentile),
    )
    return replace(novelty, rule=rule)


def _find_scales(X: Floats) -> tuple[Floats, Floats]:
    """Return median and spread of each feature, 0 and 1 if they are unknown."""
    known = np.where(np.isfinite(X).any(axis=0), X, 0.0)
    low, centre, high = np.nanpercentile(known, (25, 50, 75), axis=0)
    spread = (high - low) / QUARTILES
    # If most cells have the same value of an indicator, its quartiles are equal: use its deviation.
    deviation = np.nanstd(known, axis=0)
    spread = np.where(spread > 0, spread, deviation)
    return centre, np.where(spread > 0, spread, 1.0)


def _scale(X: Floats, centre: Floats, spread: Floats) -> Floats:
    return np.arcsinh(np.nan_to_num((X - centre) / spread, nan=0.0))
