"""Whether made rows are new or repeat the training cells, and whether they reach all of them."""

import numpy as np
from scipy.spatial import cKDTree

from sts.base.types import Floats

# Neighbours that a cell's own region reaches to (Naeem et al., 2020).
NEIGHBOURS = 5


def nearest(rows: Floats, real: Floats) -> Floats:
    """Return the distance of each row to the nearest real one, (rows,)."""
    distances, _ = cKDTree(real).query(rows, k=1)
    return np.asarray(distances)


def coverage(made: Floats, real: Floats) -> float:
    """Return the part of real cells in whose region a made row lies.

    The region of a cell reaches to its fifth nearest real neighbour.
    """
    count = min(NEIGHBOURS, len(real) - 1)
    if count < 1 or not len(made):
        return float("nan")
    distances, _ = cKDTree(real).query(real, k=[count + 1])
    return float((nearest(real, made) <= np.ravel(distances)).mean())
