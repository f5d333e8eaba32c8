"""Prototypes of types: how far a cell is from each of them, and whether it is unlike all of them.

In robust units (median and quartiles, tails compressed by arsinh) every type is a normal
distribution around its mean, all with one covariance (Lee et al., 2018). The distance of a cell is
measured in the features that it has, so that a missing stimulus makes a cell neither typical nor
unusual. Distances of cells with different features are compared as normal scores of a chi-square
distribution with as many degrees of freedom (Wilson and Hilferty, 1931).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from sts.base.errors import StsError
from sts.base.types import Bools, Floats, Ints
from sts.evaluation.neighbours import upper_bound
from sts.evaluation.type_tree import ROOT, TypeTree

# Distance between the quartiles of a normal distribution, in standard deviations.
QUARTILE_RANGE: Final = 1.349
# Fewer cells with a feature do not give a mean: that of the parent counts.
FEWEST_FOR_MEAN: Final = 3
# A prototype stands for at least this number of cells, so that it is nobody's cell.
FEWEST_OF_PROTOTYPE: Final = 5
# Weight of the diagonal in the covariance, and its smallest eigenvalue: many features are nearly
# sums of others.
_SHRINKAGE: Final = 0.5
SMALLEST_EIGENVALUE: Final = 1e-2
# Score of a cell without any feature.
NOTHING_KNOWN: Final = 1e6


@dataclass(frozen=True, kw_only=True, eq=False)
class Prototypes:
    """The mean cell of each type."""

    nodes: Ints
    """(prototypes,), node of each prototype."""
    centre: Floats
    """(features,), medians."""
    spread: Floats
    means: Floats
    """(prototypes, features), in robust units."""
    covariance: Floats
    """(features, features), of cells around their prototype."""

    def scores(self, X: Floats) -> Floats:
        """Return how far each cell is from each prototype, (cells, prototypes).

        A cell of the type is typically at 0, and 2 is rare.
        """
        points = _scale(X, self.centre, self.spread)
        found = np.full((len(X), len(self.nodes)), NOTHING_KNOWN)
        patterns, which = np.unique(np.isfinite(points), axis=0, return_inverse=True)
        for at, known in enumerate(patterns):
            cells = np.flatnonzero(which.ravel() == at)
            if known.any():
                found[cells] = self._score(points[np.ix_(cells, known)], known)
        return found

    def _score(self, points: Floats, known: Bools) -> Floats:
        """Return the scores of cells that have the same features."""
        gaps = points[:, None, :] - self.means[:, known]
        flat = gaps.reshape(-1, gaps.shape[2])
        factor = cho_factor(self.covariance[np.ix_(known, known)])
        squares = np.einsum("if,if->i", flat, cho_solve(factor, flat.T).T)
        return _as_normal(squares.reshape(gaps.shape[:2]), int(known.sum()))

    def arrays(self) -> dict[str, Floats | Ints]:
        """Return the arrays to be stored."""
        return dict(vars(self))

    @classmethod
    def of(cls, arrays: Mapping[str, Floats], nodes: int, features: int) -> Self:
        """Return the prototypes in stored arrays; others are an error.

        Parameters
        ----------
        nodes, features
            Number of nodes of the tree, and of features.
        """
        count = len(arrays["nodes"])
        shapes = {
            "nodes": (count,),
            "centre": (features,),
            "spread": (features,),
            "means": (count, features),
            "covariance": (features, features),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise StsError(f"its prototypes have {name} of shape {arrays[name].shape}")
        chosen = arrays["nodes"].astype(np.int64)
        if not count or chosen.min() < 0 or chosen.max() >= nodes or (arrays["spread"] <= 0).any():
            raise StsError("its prototypes do not fit its tree")
        covariance = arrays["covariance"]
        if np.linalg.eigvalsh((covariance + covariance.T) / 2).min() <= 0:
            raise StsError("the covariance of its prototypes is none")
        kept: dict[str, Any] = {name: arrays[name] for name in shapes}
        return cls(**kept | {"nodes": chosen})


@dataclass(frozen=True, kw_only=True, eq=False)
class UnlikeRule:
    """The largest score of a cell that is like the training cells, by the features that it has."""

    masks: Bools
    """(masks, features), true where a mask hides a feature."""
    limits: Floats
    """(masks,)"""

    def nearest_masks(self, X: Floats) -> Ints:
        """Return the mask that leaves the features most similar to those of each cell."""
        there = np.isfinite(X).astype(np.float64)
        left = (~self.masks).astype(np.float64)
        both = there @ left.T
        either = there.sum(axis=1)[:, None] + left.sum(axis=1) - both
        return np.asarray((both / np.maximum(either, 1)).argmax(axis=1))

    def limits_of(self, X: Floats) -> Floats:
        """Return the limit of each cell."""
        return np.asarray(self.limits[self.nearest_masks(X)])

    def excess(self, X: Floats, scores: Floats) -> Floats:
        """Return how far the score of each cell is above its limit; below 0 a cell is like them.

        Parameters
        ----------
        scores
            (cells, prototypes)
        """
        return np.asarray(scores.min(axis=1) - self.limits_of(X))


def find_limits(masks: Bools, found: Floats, percentile: float) -> UnlikeRule:
    """Return the rule by which this percentage of known cells is like the training cells.

    Parameters
    ----------
    found
        (masks, cells), scores of known cells outside the fit for their nearest prototype.
    """
    limits = np.array([upper_bound(scores, percentile) for scores in found])
    return UnlikeRule(masks=masks, limits=limits)


def score_hidden(prototypes: Prototypes, X: Floats, masks: Bools) -> Floats:
    """Return the score of each cell for its nearest prototype under every mask, (masks, cells)."""
    hidden = [np.where(mask, np.nan, X) for mask in masks]
    return np.array([prototypes.scores(each).min(axis=1) for each in hidden])


def fit_prototypes(X: Floats, nodes: Ints, tree: TypeTree) -> Prototypes:
    """Return the prototypes of the finest types with enough cells.

    Parameters
    ----------
    X
        (cells, features), NaN where a feature is missing.
    nodes
        (cells,), the finest known node of each cell.
    """
    known = np.where(np.isfinite(X).any(axis=0), X, 0.0)
    low, centre, high = np.nanpercentile(known, (25, 50, 75), axis=0)
    spread = (high - low) / QUARTILE_RANGE
    spread = np.where(spread > 0, spread, 1.0)
    points = _scale(X, centre, spread)
    means = _find_means(points, nodes, tree)
    chosen = np.array([node for node in np.unique(nodes) if _is_prototype(node, nodes)])
    residuals = points - means[nodes]
    return Prototypes(
        nodes=chosen,
        centre=centre,
        spread=spread,
        means=means[chosen],
        covariance=_find_covariance(residuals),
    )


def _is_prototype(node: int, nodes: Ints) -> bool:
    return node != ROOT and int((nodes == node).sum()) >= FEWEST_OF_PROTOTYPE


def _find_means(points: Floats, nodes: Ints, tree: TypeTree) -> Floats:
    """Return the mean of the cells of each node and below it, (nodes, features)."""
    means = np.zeros((len(tree), points.shape[1]))
    for node in range(len(tree)):
        own = points[tree.contains[node][nodes]]
        counts = np.isfinite(own).sum(axis=0)
        sums = np.nansum(own, axis=0)
        above = means[tree.parents[node]] if node != ROOT else np.zeros(points.shape[1])
        is_enough = counts >= FEWEST_FOR_MEAN
        means[node] = np.where(is_enough, sums / np.maximum(counts, 1), above)
    return means


def _find_covariance(residuals: Floats) -> Floats:
    """Return the covariance over the cells that have both features, made invertible."""
    there = np.isfinite(residuals).astype(np.float64)
    filled = np.nan_to_num(residuals, nan=0.0)
    covariance = (filled.T @ filled) / np.maximum(there.T @ there, 1.0)
    variances = np.diag(covariance).copy()
    variances = np.where(variances > 0, variances, 1.0)
    scale = np.sqrt(np.outer(variances, variances))
    correlation = (1 - _SHRINKAGE) * covariance / scale + _SHRINKAGE * np.eye(len(scale))
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    fixed = (vectors * np.maximum(values, SMALLEST_EIGENVALUE)) @ vectors.T
    return np.asarray((fixed + fixed.T) / 2 * scale)


def _scale(X: Floats, centre: Floats, spread: Floats) -> Floats:
    return np.asarray(np.arcsinh((X - centre) / spread))


def _as_normal(squares: Floats, degrees: int) -> Floats:
    variance = 2 / (9 * degrees)
    return np.asarray((np.cbrt(squares / degrees) - (1 - variance)) / np.sqrt(variance))
