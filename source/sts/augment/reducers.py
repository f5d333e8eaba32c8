"""Fewer dimensions, fitted on training rows: linear projections and manifolds."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.types import Floats, Ints

# Neighbours of a neuron on a manifold.
NEIGHBOURS: Final = 15
NONE: Final = "none"


class Reducer(Protocol):
    """What was fitted: it takes rows of the full space to the small one."""

    def transform(self, X: Floats) -> Floats:
        """Return (n, components)."""


@dataclass(frozen=True)
class Identity:
    """Leave the dimensions as they are."""

    def transform(self, X: Floats) -> Floats:
        """Return the rows themselves."""
        return X


def _pca(components: int, seed: int, rows: int) -> Any:
    from sklearn.decomposition import PCA

    return PCA(components, svd_solver="full")


def _ica(components: int, seed: int, rows: int) -> Any:
    from sklearn.decomposition import FastICA

    return FastICA(components, whiten="unit-variance", max_iter=500, random_state=seed)


def _svd(components: int, seed: int, rows: int) -> Any:
    from sklearn.decomposition import TruncatedSVD

    return TruncatedSVD(components, random_state=seed)


def _isomap(components: int, seed: int, rows: int) -> Any:
    from sklearn.manifold import Isomap

    # The sparse solver draws from the global generator; the dense one draws nothing.
    return Isomap(
        n_neighbors=min(NEIGHBOURS, rows - 1), n_components=components, eigen_solver="dense"
    )


def _lle(components: int, seed: int, rows: int) -> Any:
    from sklearn.manifold import LocallyLinearEmbedding

    return LocallyLinearEmbedding(
        n_neighbors=min(max(NEIGHBOURS, components + 1), rows - 1),
        n_components=components,
        eigen_solver="dense",
        random_state=seed,
    )


def _nca(components: int, seed: int, rows: int) -> Any:
    from sklearn.neighbors import NeighborhoodComponentsAnalysis

    return NeighborhoodComponentsAnalysis(components, init="pca", max_iter=50, random_state=seed)


REDUCERS: Final[dict[str, Callable[[int, int, int], Any] | None]] = {
    NONE: None,
    "pca": _pca,
    "ica": _ica,
    "svd": _svd,
    "isomap": _isomap,
    "lle": _lle,
    "nca": _nca,
}


def fit_reducer(name: str, X: Floats, y: Ints, *, components: int, seed: int) -> Reducer:
    """Fit a reducer on complete training rows; only NCA looks at the classes."""
    make = REDUCERS[one_of(name, REDUCERS, "reducer")]
    if make is None:
        return Identity()
    if not 1 <= components < min(X.shape):
        raise StsError(
            f"--components must lie between 1 and {min(X.shape) - 1} for {X.shape[0]} rows of "
            f"{X.shape[1]} features, not {components}"
        )
    with warnings.catch_warnings():
        # A manifold in pieces is joined, slowly; an iteration that is cut off is as far as it came.
        warnings.simplefilter("ignore")
        fitted: Reducer = make(components, seed, len(X)).fit(X, y)
    return fitted


def reduced(reducer: Reducer, X: Floats) -> Floats:
    """Return rows in the small space as float64."""
    return np.asarray(reducer.transform(X), dtype=np.float64)
