"""Detect cells that are unlike the training cells of a network.

The distance of a cell is the mean Euclidean distance to its k nearest training cells. The space is
that of the inputs of the network's head: each feature is standardised over the training cells. The
coordinates are the leading principal components, and the length of the remainder. A cell is novel
if it is farther than a percentile of the training cells that the network was not fitted on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sts.base.types import Floats
from sts.evaluation.neighbours import (
    UNLIKE_PERCENTILE,
    NoveltyRule,
    leading_components,
    mean_distance,
    project,
    read_coordinates,
    refuse_few,
    upper_bound,
)

# A feature whose deviation is below this share of the median deviation is constant in the training
# cells: divided by a deviation near 0 it would dominate all others.
DEAD: Final = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkNovelty:
    """The training cells of a network, as features before its head."""

    rule: NoveltyRule
    mean: Floats
    """(features,)."""
    deviation: Floats
    components: Floats
    """(components, features), orthonormal."""
    cells: Floats
    """(training cells, components + 1)."""

    def distances(self, features: Floats) -> Floats:
        """Return the distance of cells with these inputs of the head, (cells, features)."""
        points = project((features - self.mean) / self.deviation, self.components)
        return mean_distance(self.cells, points, self.rule.neighbours)

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays to be stored, in float32."""
        return {name: getattr(self, name).astype(np.float32) for name in NETWORK_ARRAYS}

    @classmethod
    def of(cls, rule: NoveltyRule, arrays: Mapping[str, Floats]) -> "NetworkNovelty":
        """Return the object from stored `arrays`."""
        spread, count = "deviation", rule.neighbours
        return cls(
            rule=rule, **read_coordinates(arrays, NETWORK_ARRAYS, spread=spread, neighbours=count)
        )


NETWORK_ARRAYS: Final = ("mean", "deviation", "components", "cells")


def measure_network_novelty(
    features: Floats, kept: Floats, *, neighbours: int = 5, percentile: float = UNLIKE_PERCENTILE
) -> NetworkNovelty:
    """Return a rule that detects novel cells.

    Parameters
    ----------
    features
        (cells, features), of the training cells of the network.
    kept
        (other cells, features), of training cells that it was not fitted on: their distances from
        the others determine the threshold.
    """
    refuse_few(len(features), neighbours)
    # Rounded to float32 as on disk, so that a stored model gives the same results.
    features = _single(features)
    mean, deviation = _single(features.mean(axis=0)), _single(_deviation(features))
    standard = (features - mean) / deviation
    components = _single(leading_components(standard))
    cells = _single(project(standard, components))
    novelty = NetworkNovelty(
        rule=NoveltyRule(neighbours=neighbours, percentile=percentile),
        mean=mean,
        deviation=deviation,
        components=components,
        cells=cells,
    )
    threshold = upper_bound(novelty.distances(kept), percentile)
    return replace(novelty, rule=replace(novelty.rule, threshold=threshold))


def _deviation(features: Floats) -> Floats:
    deviation = features.std(axis=0)
    usual = float(np.median(deviation[deviation > 0])) if deviation.any() else 1.0
    return np.where(deviation < DEAD * usual, usual, deviation)


def _single(values: Floats) -> Floats:
    return np.asarray(values.astype(np.float32).astype(np.float64))
