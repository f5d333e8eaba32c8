"""Whether made rows are new or repeat the training cells, and whether they reach all of them."""

from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from sts.base.types import Floats

# Neighbours that a cell's own region reaches to (Naeem et al., 2020).
NEIGHBOURS: Final = 5
# Of real cells that were held out so many lie nearer to a training cell than what is called near.
NEAR: Final = 0.05
# What is said of made rows, by how many of them lie near and by how far the median one lies, that
# of held-out cells being 1: at least so many, or nearer than this.
COPYING: Final = (
    (np.inf, 0.05, "copies: its rows are training cells"),
    (0.5, 0.5, "close to copies: most rows lie nearer to a training cell than real cells do"),
    (0.15, 0.8, "near: more of its rows lie near training cells than real cells do"),
)
NEW: Final = "new: no nearer to training cells than real cells are"


def nearest(rows: Floats, real: Floats) -> Floats:
    """Return the distance of each row to the nearest real one, (rows,)."""
    distances, _ = cKDTree(real).query(rows, k=1)
    return np.asarray(distances)


def nearness(rows: Floats, held_out: Floats, training: Floats) -> float:
    """Return the part of rows that lie nearer to a training cell than nearly all held-out ones."""
    if not len(rows):
        return float("nan")
    limit = np.quantile(nearest(held_out, training), NEAR)
    return float((nearest(rows, training) < limit).mean())


def copying_in_words(near: float, distance: float) -> str:
    """Return whether made rows are copies.

    Parameters
    ----------
    near
        The part of rows that lie nearer to a training cell than nearly all held-out ones.
    distance
        The median one to the nearest training cell, that of held-out cells being 1.
    """
    if np.isnan(near) or np.isnan(distance):
        return "not known"
    return next((words for many, far, words in COPYING if near >= many or distance < far), NEW)


def coverage(made: Floats, real: Floats) -> float:
    """Return the part of real cells in whose region a made row lies.

    The region of a cell reaches to its fifth nearest real neighbour.
    """
    count = min(NEIGHBOURS, len(real) - 1)
    if count < 1 or not len(made):
        return float("nan")
    distances, _ = cKDTree(real).query(real, k=[count + 1])
    return float((nearest(real, made) <= np.ravel(distances)).mean())
