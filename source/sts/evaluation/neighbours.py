"""Novelty: distances of cells to their nearest training cells, in leading principal components."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from scipy.spatial import cKDTree

from sts.base.errors import StsError
from sts.base.settings import Bounds, check_fields
from sts.base.types import Floats, Ints

# Prefix of the arrays of a novelty rule in the file of a model.
NOVELTY: Final = "novelty."
# Number of leading components: later ones are mostly noise and make a stored model larger.
COMPONENTS: Final = 32
# A cell is unlike the training cells beyond this percentile of cells outside the fit.
UNLIKE_PERCENTILE: Final = 95.0

Neighbours = Annotated[int, Bounds(1, 1000)]
Percentile = Annotated[float, Bounds(0, 100, open_low=True)]
Distance = Annotated[float, Bounds(0, 1e30)]


@dataclass(frozen=True, kw_only=True)
class NoveltyRule:
    """The distance above which a cell is novel."""

    neighbours: Neighbours = 5
    percentile: Percentile = UNLIKE_PERCENTILE
    threshold: Distance = 0.0
    """Percentile of the distances from cells that were kept aside to fitted cells."""

    def __post_init__(self) -> None:
        """Raise an error for values that no measurement can give."""
        check_fields(self)


def refuse_few(cells: int, neighbours: int) -> None:
    """Raise an error if there are too few cells for this number of neighbours."""
    if cells <= neighbours:
        raise StsError(f"novelty needs more than {neighbours} training cells, not {cells}")


def leading_components(standard: Floats) -> Floats:
    """Return the leading principal axes (components, features) of standardised cells."""
    _, _, axes = np.linalg.svd(standard, full_matrices=False)
    return np.asarray(axes[:COMPONENTS].copy())


def project(standard: Floats, components: Floats) -> Floats:
    """Return coordinates (cells, components + 1); the last is the length of the remainder."""
    inside = standard @ components.T
    left = standard - inside @ components
    return np.column_stack([inside, np.linalg.norm(left, axis=1)])


def mean_distance(cells: Floats, points: Floats, count: int) -> Floats:
    """Return the mean distance of each point to its `count` nearest cells."""
    distances, _ = cKDTree(cells).query(points, k=count)
    return np.asarray(np.reshape(distances, (len(points), count)).mean(axis=1))


def upper_bound(values: Floats | Ints, percentile: float) -> float:
    """Return a limit that a new value exceeds with a probability of at most 100 - `percentile` %.

    Of n values that is the k-th smallest, k = ceil((n + 1) percentile / 100), as in conformal
    prediction (Vovk et al., 2005). Where n is too small for this the largest is returned, which a
    new value exceeds with a probability of 1 / (n + 1).
    """
    # Rounded, since (99 + 1) * 0.99 is a little more than 99.
    rank = math.ceil(round((len(values) + 1) * percentile / 100, 9))
    return float(np.sort(values)[min(rank, len(values)) - 1])


def read_coordinates(
    arrays: Mapping[str, Floats], names: Sequence[str], *, spread: str, neighbours: int
) -> dict[str, Floats]:
    """Return stored arrays in float64; other arrays than coordinates of cells are an error.

    Parameters
    ----------
    names
        `components` (components, features), `cells` (training cells, components + 1), and others,
        all of shape (features,).
    spread
        The name of the array of divisors.
    """
    if missing := [name for name in names if name not in arrays]:
        raise StsError(f"the model lacks novelty's {', '.join(missing)}: train it again")
    own: dict[str, Floats] = {name: np.asarray(arrays[name], dtype=np.float64) for name in names}
    components, cells = own["components"], own["cells"]
    others = {each.shape for name, each in own.items() if name not in ("components", "cells")}
    count = len(components) if components.ndim == 2 else -1
    fits = others == {components.shape[1:]} and cells.shape[1:] == (count + 1,)
    if not fits or not (own[spread] > 0).all():
        raise StsError("the arrays of the model's novelty do not fit together: train it again")
    if len(cells) < neighbours:
        raise StsError(
            f"the model's novelty takes {neighbours} neighbours of {len(cells)} cells: train it "
            "again"
        )
    return own
