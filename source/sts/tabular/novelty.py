"""Whether a cell looks unlike the cells a classifier of tables was fitted on.

The distance of a cell is the mean Euclidean distance to its k nearest training cells. Each feature
is first centred on its median and scaled by its quartiles, its far tails are drawn in by arsinh,
and a missing one counts as the median; then follow the leading principal components, with the
length of what those leave out as one more coordinate. Farther than a percentile of training cells
that were kept aside is unlike them. So is a cell that lacks more of the features that nearly all
training cells have than a percentile of those kept aside does: one without a stimulus of theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sts.base.types import Floats, Ints
from sts.evaluation.neighbours import (
    Distance,
    NoveltyRule,
    leading_components,
    mean_distance,
    project,
    read_coordinates,
    refuse_few,
    upper_bound,
)

# Quartiles of a normal distribution lie so many deviations apart.
QUARTILES: Final = 1.349
# A feature that so many training cells have is expected of every cell.
NEARLY_ALL: Final = 0.95
ARRAYS: Final = ("centre", "spread", "components", "cells", "expected")


@dataclass(frozen=True, kw_only=True)
class TableNoveltyRule(NoveltyRule):
    """The distance, and the number of missing features, from which on a cell is novel."""

    most_lacking: Distance = 0.0
    """How many expected features the cell at the percentile lacks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Novelty:
    """The training cells of a classifier, in the coordinates in which distances are taken."""

    rule: TableNoveltyRule
    centre: Floats
    """(features,), medians."""
    spread: Floats
    components: Floats
    """(components, features), orthonormal."""
    cells: Floats
    """(training cells, components + 1)."""
    expected: Floats
    """(features,), 1 for those that nearly all training cells have, else 0."""

    def lacking(self, X: Floats) -> Ints:
        """Return how many of the expected features each cell lacks."""
        return np.asarray((np.isnan(X) & (self.expected > 0)).sum(axis=1))

    def distances(self, X: Floats) -> Floats:
        """Return the distance of cells (cells, features)."""
        points = project(_scaled(X, self.centre, self.spread), self.components)
        return mean_distance(self.cells, points, self.rule.neighbours)

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays that are to be stored."""
        return {name: getattr(self, name) for name in ARRAYS}

    @classmethod
    def of(cls, rule: TableNoveltyRule, arrays: Mapping[str, Floats]) -> "Novelty":
        """Return what `arrays` was stored from."""
        spread, count = "spread", rule.neighbours
        return cls(rule=rule, **read_coordinates(arrays, ARRAYS, spread=spread, neighbours=count))


def measure_novelty(
    X: Floats, kept: Floats, *, neighbours: int = 5, percentile: float = 99.0
) -> Novelty:
    """Return what is needed to tell whether cells are unlike X (training cells, features).

    Parameters
    ----------
    kept
        (other cells, features), training cells that are not in X: how far they lie from those in X
        says how far is too far.
    """
    refuse_few(len(X), neighbours)
    centre, spread = _scales(X)
    scaled = _scaled(X, centre, spread)
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


def _scales(X: Floats) -> tuple[Floats, Floats]:
    """Return median and spread of each feature, 0 and 1 where they tell nothing."""
    known = np.where(np.isfinite(X).any(axis=0), X, 0.0)
    low, centre, high = np.nanpercentile(known, (25, 50, 75), axis=0)
    spread = (high - low) / QUARTILES
    # Of an indicator that most cells share, the quartiles are one; its deviation is not.
    deviation = np.nanstd(known, axis=0)
    spread = np.where(spread > 0, spread, deviation)
    return centre, np.where(spread > 0, spread, 1.0)


def _scaled(X: Floats, centre: Floats, spread: Floats) -> Floats:
    return np.arcsinh(np.nan_to_num((X - centre) / spread, nan=0.0))
