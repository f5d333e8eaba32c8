"""Whether a cell looks unlike the cells a network was trained on.

The distance of a cell is the mean Euclidean distance to its k nearest training cells, among the
features that the network's head sees: each feature standardised over the training cells, then
turned to their leading principal components, with the length of what those leave out as one more
coordinate. A cell farther than a percentile of the training cells' own leave-one-out distances is
called novel.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from sts.base.errors import StsError
from sts.base.types import Bools, Floats

# Past these few, what tells training cells apart is noise, and the model file would grow.
COMPONENTS: Final = 32
# A feature that moves less than this part of the median one is dead in the training cells: divided
# by next to nothing it would outweigh all others.
DEAD: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class NoveltyRule:
    """How far is too far."""

    neighbours: int = 5
    percentile: float = 99.0
    threshold: float = 0.0
    """Distance at the percentile, of training cells to the others among them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Novelty:
    """The training cells of a network, as its head sees them."""

    rule: NoveltyRule
    mean: Floats
    """(features,)."""
    deviation: Floats
    components: Floats
    """(components, features), orthonormal."""
    cells: Floats
    """(training cells, components + 1)."""

    def distances(self, features: Floats) -> Floats:
        """Return the distance of cells whose features (cells, features) the head was given."""
        found = nearest(self.cells, _turned(features, self), self.rule.neighbours)
        return np.asarray(found.mean(axis=1))

    def is_novel(self, features: Floats) -> Bools:
        """Tell which cells lie beyond the threshold."""
        return np.asarray(self.distances(features) > self.rule.threshold)

    def tensors(self) -> dict[str, Tensor]:
        """Return the arrays as tensors to be stored."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        return {name: torch.from_numpy(value.astype(np.float32)) for name, value in arrays.items()}

    @classmethod
    def of(cls, rule: NoveltyRule, tensors: dict[str, Tensor]) -> "Novelty":
        """Return what `tensors` was stored from."""
        if missing := [name for name in ARRAYS if name not in tensors]:
            raise StsError(f"the model lacks novelty's {', '.join(missing)}: train it again")
        arrays = {name: np.asarray(tensors[name].double().numpy()) for name in ARRAYS}
        return cls(rule=rule, **arrays)


ARRAYS: Final = ("mean", "deviation", "components", "cells")


def measure_novelty(features: Floats, *, neighbours: int = 5, percentile: float = 99.0) -> Novelty:
    """Return what is needed to tell novel cells from `features` (training cells, features)."""
    if len(features) <= neighbours:
        raise StsError(f"novelty needs more than {neighbours} training cells, {len(features)} came")
    # What float32 will make of them on disk, so that a stored model answers as it did.
    features = features.astype(np.float32).astype(np.float64)
    mean = features.mean(axis=0)
    deviation = _deviation(features)
    _, _, axes = np.linalg.svd((features - mean) / deviation, full_matrices=False)
    empty = Novelty(
        rule=NoveltyRule(neighbours=neighbours, percentile=percentile),
        mean=_single(mean),
        deviation=_single(deviation),
        components=_single(axes[:COMPONENTS]),
        cells=np.zeros((0, 0)),
    )
    cells = _single(_turned(features, empty))
    # Every cell is its own nearest neighbour: one more is asked for, and the first left out.
    others = nearest(cells, cells, neighbours + 1)[:, 1:]
    threshold = float(np.percentile(others.mean(axis=1), percentile))
    return Novelty(
        rule=NoveltyRule(neighbours=neighbours, percentile=percentile, threshold=threshold),
        mean=empty.mean,
        deviation=empty.deviation,
        components=empty.components,
        cells=cells,
    )


def _deviation(features: Floats) -> Floats:
    deviation = features.std(axis=0)
    usual = float(np.median(deviation[deviation > 0])) if deviation.any() else 1.0
    return np.where(deviation < DEAD * usual, usual, deviation)


def nearest(cells: Floats, points: Floats, count: int) -> Floats:
    """Return the distances (points, count) to the nearest cells, in rising order."""
    found, _ = cKDTree(cells).query(points, k=count)
    return np.asarray(found).reshape(len(points), count)


def _turned(features: Floats, novelty: Novelty) -> Floats:
    """Return coordinates (cells, components + 1)."""
    standard = (features - novelty.mean) / novelty.deviation
    inside = standard @ novelty.components.T
    left = standard - inside @ novelty.components
    return np.column_stack([inside, np.linalg.norm(left, axis=1)])


def _single(values: Floats) -> Floats:
    return np.asarray(values.astype(np.float32).astype(np.float64))
