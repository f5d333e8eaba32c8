"""Distances of cells to their nearest training cells, in leading principal components."""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from scipy.spatial import cKDTree

from sts.base.errors import StsError
from sts.base.settings import Bounds
from sts.base.types import Floats, Ints

# Past these few, what tells training cells apart is noise, and a stored model would grow.
COMPONENTS = 32

Neighbours = Annotated[int, Bounds(1, 1000)]
Percentile = Annotated[float, Bounds(0, 100, open_low=True)]
Distance = Annotated[float, Bounds(0, 1e30)]


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


def nearest_distances(cells: Floats, points: Floats, count: int) -> Floats:
    """Return the distances (points, count) to the nearest cells, in rising order."""
    found, _ = cKDTree(cells).query(points, k=count)
    return np.asarray(found).reshape(len(points), count)


def mean_distance(cells: Floats, points: Floats, count: int) -> Floats:
    """Return the mean distance of each point to its `count` nearest cells."""
    return np.asarray(nearest_distances(cells, points, count).mean(axis=1))


def upper_bound(values: Floats | Ints, percentile: float) -> float:
    """Return what a new value exceeds with a probability of 100 - `percentile` per cent at most.

    Of n values that is the k-th smallest, k = ceil((n + 1) percentile / 100), as in conformal
    prediction (Vovk et al., 2005). Of too few for it the largest is returned, which a new one
    exceeds with a probability of 1 / (n + 1).
    """
    # Rounded, since (99 + 1) * 0.99 is a little more than 99.
    rank = math.ceil(round((len(values) + 1) * percentile / 100, 9))
    return float(np.sort(values)[min(rank, len(values)) - 1])


def check_coordinates(arrays: Mapping[str, Floats], *, spread: str, neighbours: int) -> None:
    """Refuse stored arrays that are no coordinates of training cells.

    Parameters
    ----------
    arrays
        `components` (components, features), `cells` (training cells, components + 1), and others,
        all of shape (features,).
    spread
        Which of these is divided by.
    """
    components, cells = arrays["components"], arrays["cells"]
    others = {each.shape for name, each in arrays.items() if name not in ("components", "cells")}
    count = len(components) if components.ndim == 2 else -1
    fits = others == {components.shape[1:]} and cells.shape[1:] == (count + 1,)
    if not fits or not (arrays[spread] > 0).all():
        raise StsError("the arrays of the model's novelty do not fit together: train it again")
    if len(cells) < neighbours:
        raise StsError(
            f"the model's novelty takes {neighbours} neighbours of {len(cells)} cells: train it "
            "again"
        )
