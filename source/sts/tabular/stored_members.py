"""Fitted classifiers of the children of a node as arrays, which answer as they do.

No object is stored and nothing is fitted again: each kind knows the arrays that it needs, and how
probabilities follow from them. A new member of `sts.tabular.type_members` needs a kind of its own
in KINDS, and what it is made from in `store_member`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from scipy.special import softmax
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from sts.base.errors import StsError, one_of
from sts.base.types import Floats
from sts.tabular.estimators import FLOOR, Prepared
from sts.tabular.gaussian_scores import GaussianScores
from sts.tabular.packed_trees import PackedTrees, pack_boosted, pack_forest, unpack_bits
from sts.tabular.trees import BoostedTrees
from sts.tabular.type_members import (
    DenseNetworks,
    PooledClassifier,
    ShrunkenDiscriminant,
    run_networks,
)

# Values of rows times trees that are summed at once, for memory.
_AT_ONCE: Final = 4_000_000
# Shares of the classes in a leaf add up to 1 but for rounding.
ROUNDING: Final = 1e-9


class StoredMember(ABC):
    """A fitted classifier of some classes, 0 to k - 1; NaN is a missing value."""

    @abstractmethod
    def predict_proba(self, X: Floats) -> Floats:
        """Return the probability of each class, (rows, classes)."""

    @abstractmethod
    def arrays(self) -> dict[str, Any]:
        """Return the arrays to be stored."""

    @classmethod
    @abstractmethod
    def of(cls, arrays: Mapping[str, Any], features: int, classes: int) -> Self:
        """Return the classifier in stored arrays; a fault is an error."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredBoosting(StoredMember):
    """Boosted trees: tree t adds to the score of class t modulo k."""

    trees: PackedTrees
    values: Floats
    """(leaves,)"""
    classes: int

    def predict_proba(self, X: Floats) -> Floats:
        """Return the softmax of the scores."""
        found = self.values[self.trees.find_leaves(X)]
        return np.asarray(softmax(found.reshape(len(X), -1, self.classes).sum(axis=1), axis=1))

    def arrays(self) -> dict[str, Any]:
        """Return trees and leaves."""
        return {**self.trees.arrays(), "values": self.values, "trees": len(self.trees.roots)}

    @classmethod
    def of(cls, arrays: Mapping[str, Any], features: int, classes: int) -> Self:
        """Return the classifier, after checks."""
        trees = PackedTrees.of(arrays, features)
        values = arrays["values"]
        if len(trees.roots) % classes or values.shape != (int(trees.is_leaf.sum()),):
            raise StsError("its boosted trees do not fit their classes or leaves")
        return cls(trees=trees, values=values, classes=classes)


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredForest(StoredMember):
    """A forest on normal scores of ranks: the mean of the shares of classes in a leaf."""

    scores: GaussianScores
    trees: PackedTrees
    shares: Floats
    """(leaves, classes)"""

    def predict_proba(self, X: Floats) -> Floats:
        """Return the mean share over all trees."""
        step = max(1, _AT_ONCE // (len(self.trees.roots) * self.shares.shape[1]))
        parts = [self._average(X[first : first + step]) for first in range(0, len(X), step)]
        return np.concatenate(parts) if parts else np.zeros((0, self.shares.shape[1]))

    def _average(self, X: Floats) -> Floats:
        # Forests of scikit-learn compare in float32.
        ready = self.scores.transform(X).astype(np.float32).astype(np.float64)
        return np.asarray(self.shares[self.trees.find_leaves(ready)].mean(axis=1))

    def arrays(self) -> dict[str, Any]:
        """Return trees and leaves; of most leaves all cells are of one class."""
        there = self.shares > 0
        counts = there.sum(axis=1)
        _, classes = np.nonzero(there)
        # The last share of a leaf is what the others leave.
        is_last = np.zeros(len(classes), dtype=bool)
        is_last[np.cumsum(counts) - 1] = True
        small = np.uint8 if self.shares.shape[1] < 2**8 else np.int32
        return {
            **self.trees.arrays(),
            **_store_scores(self.scores),
            "is_pure": np.packbits(counts == 1),
            "counts": counts[counts > 1].astype(small),
            "classes": classes.astype(small),
            "shares": self.shares[there][~is_last],
            "trees": len(self.trees.roots),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Any], features: int, classes: int) -> Self:
        """Return the classifier, after checks."""
        trees = PackedTrees.of(arrays, features)
        shares = _read_shares(arrays, int(trees.is_leaf.sum()), classes)
        return cls(scores=_read_scores(arrays, features), trees=trees, shares=shares)


def _read_shares(arrays: Mapping[str, Any], leaves: int, classes: int) -> Floats:
    which = arrays["classes"].astype(np.int64)
    counts = np.ones(leaves, dtype=np.int64)
    counts[~unpack_bits(arrays["is_pure"], leaves)] = arrays["counts"]
    sound = counts.min() >= 1 and counts.max() <= classes
    if not sound or which.shape != (counts.sum(),) or not 0 <= which.min() <= which.max() < classes:
        raise StsError("the leaves of its forest do not fit its trees or classes")
    leaf = np.repeat(np.arange(leaves), counts)
    is_last = np.zeros(len(which), dtype=bool)
    is_last[np.cumsum(counts) - 1] = True
    shares = np.zeros((leaves, classes))
    if arrays["shares"].shape != ((~is_last).sum(),):
        raise StsError("the leaves of its forest lack shares of classes")
    shares[leaf[~is_last], which[~is_last]] = arrays["shares"]
    left = 1.0 - shares.sum(axis=1)
    if shares.min() < 0 or left.min() < -ROUNDING:
        raise StsError("the shares of classes in a leaf of its forest are none")
    shares[leaf[is_last], which[is_last]] = np.maximum(left, 0.0)
    return shares


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredLinear(StoredMember):
    """Linear functions of normal scores of ranks: discriminant analysis, logistic regression."""

    scores: GaussianScores
    coefficients: Floats
    """(classes, features)"""
    intercepts: Floats

    def predict_proba(self, X: Floats) -> Floats:
        """Return the softmax of the functions."""
        points = self.scores.transform(X)
        return np.asarray(softmax(points @ self.coefficients.T + self.intercepts, axis=1))

    def arrays(self) -> dict[str, Any]:
        """Return the distribution of the features, and the coefficients."""
        return {
            **_store_scores(self.scores),
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Any], features: int, classes: int) -> Self:
        """Return the classifier, after checks."""
        coefficients, intercepts = arrays["coefficients"], arrays["intercepts"]
        if coefficients.shape != (classes, features) or intercepts.shape != (classes,):
            raise StsError("its linear functions do not fit its features or classes")
        scores = _read_scores(arrays, features)
        return cls(scores=scores, coefficients=coefficients, intercepts=intercepts)


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredNetworks(StoredMember):
    """Networks of dense layers on normal scores of ranks: the mean of their probabilities."""

    scores: GaussianScores
    slopes: tuple[Floats, ...]
    """(networks, inputs, outputs) of each layer."""
    offsets: tuple[Floats, ...]
    """(networks, outputs) of each layer."""

    def predict_proba(self, X: Floats) -> Floats:
        """Return the mean over the networks."""
        return run_networks(self.scores.transform(X), self.slopes, self.offsets)

    def arrays(self) -> dict[str, Any]:
        """Return the distribution of the features, and the layers."""
        return {
            **_store_scores(self.scores),
            **{f"slopes{at}": slope for at, slope in enumerate(self.slopes)},
            **{f"offsets{at}": offset for at, offset in enumerate(self.offsets)},
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Any], features: int, classes: int) -> Self:
        """Return the classifier, after checks."""
        count = sum(name.startswith("slopes") for name in arrays)
        slopes = tuple(arrays[f"slopes{at}"] for at in range(count))
        offsets = tuple(arrays[f"offsets{at}"] for at in range(count))
        width = features
        for slope, offset in zip(slopes, offsets, strict=True):
            networks, inputs, outputs = slope.shape
            if inputs != width or offset.shape != (networks, outputs) or not networks:
                raise StsError("the layers of its networks do not fit each other")
            width = outputs
        if not count or width != classes or len({len(slope) for slope in slopes}) > 1:
            raise StsError("its networks do not fit its features or classes")
        return cls(scores=_read_scores(arrays, features), slopes=slopes, offsets=offsets)


def _store_scores(scores: GaussianScores) -> dict[str, Any]:
    return {
        "is_used": scores.is_used_,
        "quantiles": scores.quantiles_,
        "quantile_scores": scores.scores_,
        "mean": scores.mean_,
        "covariance": scores.covariance_,
    }


def _read_scores(arrays: Mapping[str, Any], features: int) -> GaussianScores:
    """Return the normal scores in stored arrays; a fault is an error."""
    count = len(arrays["quantile_scores"])
    shapes = {
        "is_used": (features,),
        "quantiles": (count, features),
        "quantile_scores": (count,),
        "mean": (features,),
        "covariance": (features, features),
    }
    if not count or any(arrays[name].shape != shape for name, shape in shapes.items()):
        raise StsError("its normal scores do not fit its features")
    covariance = arrays["covariance"]
    rises = [np.diff(arrays[name], axis=0).min() >= 0 for name in ("quantiles", "quantile_scores")]
    lowest = np.linalg.eigvalsh(covariance).min()
    # Beside a covariance that is none, a cell would be anywhere.
    if not all(rises) or lowest < -ROUNDING * np.trace(covariance):
        raise StsError("the distribution of its normal scores is none")
    scores = GaussianScores()
    scores.n_features_in_ = features
    scores.is_used_ = arrays["is_used"].astype(bool)
    scores.quantiles_, scores.scores_ = arrays["quantiles"], arrays["quantile_scores"]
    scores.mean_, scores.covariance_ = arrays["mean"], covariance
    return scores


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredPool:
    """Several members, of which the geometric mean counts; a single one counts as it is."""

    members: tuple[StoredMember, ...]
    is_pooled: bool

    def predict_proba(self, X: Floats) -> Floats:
        """Return the probability of each class, (rows, classes)."""
        found = [member.predict_proba(X) for member in self.members]
        if not self.is_pooled:
            return found[0]
        powers = np.exp(np.mean([np.log(np.maximum(each, FLOOR)) for each in found], axis=0))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the name of each member in KINDS, after POOL where they are pooled."""
        names = {kind: name for name, kind in KINDS.items()}
        return (*([POOL] if self.is_pooled else []), *(names[type(each)] for each in self.members))

    def arrays(self) -> dict[str, Any]:
        """Return the arrays of all members, after their numbers."""
        return {
            f"{number}.{name}": np.asarray(array)
            for number, member in enumerate(self.members)
            for name, array in member.arrays().items()
        }

    @classmethod
    def of(
        cls, kinds: Sequence[str], arrays: Mapping[str, Any], features: int, classes: int
    ) -> Self:
        """Return the members in stored arrays; a fault is an error."""
        members = []
        names = kinds[1:] if kinds[:1] == (POOL,) else kinds
        for number, kind in enumerate(names):
            own = {
                name.split(".", 1)[1]: array
                for name, array in arrays.items()
                if name.startswith(f"{number}.")
            }
            found = KINDS[one_of(kind, KINDS, "kind of classifier")]
            try:
                members.append(found.of(own, features, classes))
            except (KeyError, ValueError, IndexError, TypeError) as error:
                raise StsError(f"its {kind} lacks what it needs ({error})") from error
        if not members or (len(members) > 1 and len(names) == len(kinds)):
            raise StsError("it names no classifiers of a node, or not how they are pooled")
        return cls(members=tuple(members), is_pooled=len(names) < len(kinds))


POOL: Final = "pool"
KINDS: Final[Mapping[str, type[StoredMember]]] = {
    "boosted trees": StoredBoosting,
    "forest": StoredForest,
    "linear functions": StoredLinear,
    "networks": StoredNetworks,
}


def store_members(classifier: Any) -> StoredPool:
    """Return a fitted classifier of a node in a form that can be stored."""
    if isinstance(classifier, PooledClassifier):
        members = tuple(_store_member(each) for each in classifier.members_)
        return StoredPool(members=members, is_pooled=True)
    return StoredPool(members=(_store_member(classifier),), is_pooled=False)


def _store_member(fitted: Any) -> StoredMember:
    if isinstance(fitted, BoostedTrees):
        trees, values = pack_boosted(fitted)
        return StoredBoosting(trees=trees, values=values, classes=len(fitted.classes_))
    if isinstance(fitted, Prepared) and isinstance(fitted.preparation_, GaussianScores):
        inner, scores = fitted.estimator_, fitted.preparation_
        if isinstance(inner, ExtraTreesClassifier | RandomForestClassifier):
            trees, shares = pack_forest(inner.estimators_)
            return StoredForest(scores=scores, trees=trees, shares=shares)
        if isinstance(inner, DenseNetworks):
            slopes, offsets = tuple(inner.slopes_), tuple(inner.offsets_)
            return StoredNetworks(scores=scores, slopes=slopes, offsets=offsets)
        if isinstance(inner, ShrunkenDiscriminant | LogisticRegression):
            coefficients, intercepts = inner.coef_, inner.intercept_
            if len(coefficients) == 1:
                # For two classes scikit-learn has the function of the second alone.
                coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
                intercepts = np.concatenate([[0.0], intercepts])
            return StoredLinear(scores=scores, coefficients=coefficients, intercepts=intercepts)
    raise ValueError(f"{fitted!r:.80} cannot be stored: it needs a kind in KINDS")
