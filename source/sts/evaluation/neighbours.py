"""Distances of cells to their nearest training cells, in leading principal components."""

import numpy as np
from scipy.spatial import cKDTree

from sts.base.errors import StsError
from sts.base.types import Floats

# Past these few, what tells training cells apart is noise, and a stored model would grow.
COMPONENTS = 32


def refuse_few(cells: int, neighbours: int) -> None:
    """Refuse fewer cells than have so many neighbours each."""
    if cells <= neighbours:
        raise StsError(f"novelty needs more than {neighbours} training cells, {cells} came")


def leading_components(standard: Floats) -> Floats:
    """Return the leading principal axes (components, features) of standardised cells."""
    _, _, axes = np.linalg.svd(standard, full_matrices=False)
    return np.asarray(axes[:COMPONENTS].copy())


def turned(standard: Floats, components: Floats) -> Floats:
    """Return coordinates (cells, components + 1), the last the length of what is left out."""
    inside = standard @ components.T
    left = standard - inside @ components
    return np.column_stack([inside, np.linalg.norm(left, axis=1)])


def nearest(cells: Floats, points: Floats, count: int) -> Floats:
    """Return the distances (points, count) to the nearest cells, in rising order."""
    found, _ = cKDTree(cells).query(points, k=count)
    return np.asarray(found).reshape(len(points), count)


def mean_distance(cells: Floats, points: Floats, count: int) -> Floats:
    """Return the mean distance of each point to its `count` nearest cells."""
    return np.asarray(nearest(cells, points, count).mean(axis=1))


def mean_distance_to_others(cells: Floats, count: int) -> Floats:
    """Return the mean distance of each cell to its `count` nearest others."""
    # Every cell is its own nearest neighbour: one more is asked for, and the first left out.
    return np.asarray(nearest(cells, cells, count + 1)[:, 1:].mean(axis=1))
