"""Transform rows to independent normal scores and back, with data shared between classes.

In every class, each feature becomes normal by its distribution, and the scores become independent
by their correlation. Rare classes have few rows, so the residuals of all classes are added to each
distribution, and the correlation within all classes to each correlation. Standard normal scores
transformed back are a Gaussian copula; all other structure of the rows remains in the scores, where
a network can learn it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import ndtr, ndtri
from sklearn.mixture import GaussianMixture

from sts.augment.contract import check_label, check_rows, draw_seed
from sts.augment.settings import CopulaSettings, FrameSettings, MixtureSettings
from sts.base.types import Floats, Ints

# Smallest probability at both ends, 4.3 deviations from the middle.
LEAST_PROBABILITY: Final = 1e-5
# Number of values that represent the residuals of all classes.
RESIDUALS: Final = 100
# A feature with at most this many values, such as an indicator, can only have these values.
FEW_VALUES: Final = 10
# Share of variance that is added to each feature, so that two equal features can be separated.
RIDGE: Final = 1e-4
# Smallest variance of a component, so that none is a single row.
MIXTURE_RIDGE: Final = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shape:
    """The distribution of each feature in a class, as sorted values (points, features)."""

    values: Floats
    below: Floats
    """The probability of a value below each point, with half of the probability of the point."""

    @classmethod
    def fit(cls, values: Floats, weights: Floats) -> Self:
        """Return the distributions of values (rows, features) with weights (rows,)."""
        order = np.argsort(values, axis=0, kind="stable")
        share = weights[order] / weights.sum()
        return cls(
            values=np.take_along_axis(values, order, axis=0), below=share.cumsum(axis=0) - share / 2
        )

    def scores(self, X: Floats, rng: np.random.Generator) -> Floats:
        """Return normal scores; equal values get random positions within their interval."""
        u = np.empty_like(X)
        for j, (values, below) in enumerate(zip(self.values.T, self.below.T, strict=True)):
            first = np.searchsorted(values, X[:, j], "left")
            last = np.searchsorted(values, X[:, j], "right") - 1
            low = below[np.minimum(first, len(values) - 1)]
            u[:, j] = np.interp(X[:, j], values, below)
            tied = last > first
            u[tied, j] = low[tied] + (below[last[tied]] - low[tied]) * rng.random(tied.sum())
        return np.asarray(ndtri(np.clip(u, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)))

    def rows(self, scores: Floats) -> Floats:
        """Return the values at normal scores, none beyond the outermost values."""
        u = ndtr(scores)
        columns = zip(u.T, self.below.T, self.values.T, strict=True)
        return np.column_stack([np.interp(*column) for column in columns])


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """The transformation of every class."""

    shapes: Mapping[int, _Shape]
    factors: Mapping[int, Floats]
    """The Cholesky factor of the correlation in each class."""
    few: Mapping[int, Floats]
    """The values of each feature that has few of them, by the index of the feature."""

    @classmethod
    def fit(cls, X: Floats, y: Ints, *, settings: FrameSettings, rng: np.random.Generator) -> Self:
        """Return the transformation of complete rows."""
        labels = [int(label) for label in np.unique(y)]
        if settings.space == "pooled":
            shape = _Shape.fit(X, np.ones(len(X)))
            factor = _factorise(_correlate(shape.scores(X, rng)))
            shapes, factors = dict.fromkeys(labels, shape), dict.fromkeys(labels, factor)
        else:
            shapes, factors = _fit_classes(X, y, settings, rng)
        distinct = {j: np.unique(column) for j, column in enumerate(X.T)}
        few = {j: values for j, values in distinct.items() if len(values) <= FEW_VALUES}
        return cls(shapes=shapes, factors=factors, few=few)

    def scores(self, X: Floats, y: Ints, rng: np.random.Generator) -> Floats:
        """Return the scores of rows of fitted classes, (rows, features)."""
        scores = np.empty(X.shape)
        for label in np.unique(y):
            normal = self.shapes[int(label)].scores(X[y == label], rng)
            factor = self.factors[int(label)]
            scores[y == label] = solve_triangular(factor, normal.T, lower=True).T
        return scores

    def rows(self, scores: Floats, label: int) -> Floats:
        """Return the rows of a class with these scores."""
        X = self.shapes[label].rows(scores @ self.factors[label].T)
        for j, values in self.few.items():
            X[:, j] = values[np.abs(X[:, j, None] - values).argmin(axis=1)]
        return X


def _fit_classes(
    X: Floats, y: Ints, settings: FrameSettings, rng: np.random.Generator
) -> tuple[dict[int, _Shape], dict[int, Floats]]:
    """Return the distributions and the factors of each class, with rows added from all classes."""
    labels = [int(label) for label in np.unique(y)]
    centres = {label: X[y == label].mean(axis=0) for label in labels}
    residuals = X - np.array([centres[int(label)] for label in y])
    typical = np.quantile(residuals, (np.arange(RESIDUALS) + 0.5) / RESIDUALS, axis=0)
    weight = np.full(RESIDUALS, settings.shape_rows / RESIDUALS)
    shapes, normal = {}, np.empty_like(X)
    for label in labels:
        own = X[y == label]
        values = np.vstack([own, centres[label] + typical])
        shapes[label] = _Shape.fit(values, np.append(np.ones(len(own)), weight))
        normal[y == label] = shapes[label].scores(own, rng)
    common = _correlate(normal)
    factors = {}
    for label in labels:
        own, rows = normal[y == label], settings.correlation_rows
        mixed = (own.T @ own + rows * common) / (len(own) + rows)
        deviations = np.sqrt(np.diag(mixed))
        factors[label] = _factorise(mixed / np.outer(deviations, deviations))
    return shapes, factors


def _correlate(scores: Floats) -> Floats:
    """Return the correlation of scores, whose mean is 0 by construction."""
    products = scores.T @ scores
    deviations = np.sqrt(np.maximum(np.diag(products), np.finfo(float).tiny))
    correlation = products / np.outer(deviations, deviations)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)


def _factorise(correlation: Floats) -> Floats:
    eye = np.eye(len(correlation))
    return np.asarray(np.linalg.cholesky((1 - RIDGE) * correlation + RIDGE * eye))


@dataclass(frozen=True, eq=False)
class Copula:
    """Rows from a Gaussian copula: their normal scores have a joint normal distribution."""

    settings: CopulaSettings
    frame: Frame | None = None
    features: int = 0
    notes: tuple[str, ...] = ()

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator with the transformation of these rows."""
        X, y = check_rows(X, y)
        frame = Frame.fit(X, y, settings=self.settings.frame, rng=rng)
        return replace(self, frame=frame, features=X.shape[1])

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class."""
        if self.frame is None:
            raise ValueError("fit before you sample")
        check_label(label, self.frame.shapes)
        return self.frame.rows(rng.standard_normal((n, self.features)), label)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Components:
    """The normal distributions of a class, whose features are independent in each."""

    shares: Floats
    means: Floats
    """(components, features)."""
    deviations: Floats

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of scores."""
        at = rng.choice(len(self.shares), size=n, p=self.shares)
        noise = rng.standard_normal((n, self.means.shape[1]))
        return np.asarray(self.means[at] + self.deviations[at] * noise)


def _fit_components(scores: Floats, most: int, seed: int) -> _Components:
    """Return at most `most` components, or a standard one where more do not describe rows better.

    They are compared by the Bayesian information criterion (Schwarz, 1978).
    """
    features = scores.shape[1]
    standard = _Components(
        shares=np.ones(1), means=np.zeros((1, features)), deviations=np.ones((1, features))
    )
    # The standard component has no parameter that was fitted.
    best, lowest = standard, float((scores**2).sum() + scores.size * np.log(2 * np.pi))
    for count in range(2, most + 1):
        mixture = GaussianMixture(
            count, covariance_type="diag", reg_covar=MIXTURE_RIDGE, random_state=seed
        ).fit(scores)
        if (criterion := float(mixture.bic(scores))) < lowest:
            lowest = criterion
            deviations = np.sqrt(mixture.covariances_)
            best = _Components(shares=mixture.weights_, means=mixture.means_, deviations=deviations)
    return best


@dataclass(frozen=True, eq=False)
class Mixture:
    """Rows whose normal scores come from a mixture of normal distributions in each class."""

    settings: MixtureSettings
    frame: Frame | None = None
    components: Mapping[int, _Components] | None = None
    notes: tuple[str, ...] = ()

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator with the components of each class."""
        X, y = check_rows(X, y)
        frame = Frame.fit(X, y, settings=self.settings.frame, rng=rng)
        scores, seed = frame.scores(X, y, rng), draw_seed(rng)
        components = {}
        for label, count in zip(*np.unique(y, return_counts=True), strict=True):
            most = min(self.settings.components, int(count) // self.settings.component_rows)
            components[int(label)] = _fit_components(scores[y == label], most, seed)
        notes = tuple(
            f"class {label}: {len(each.shares)} components"
            for label, each in components.items()
            if len(each.shares) > 1
        )
        return replace(self, frame=frame, components=components, notes=notes)

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class."""
        if self.frame is None or self.components is None:
            raise ValueError("fit before you sample")
        check_label(label, self.components)
        return self.frame.rows(self.components[label].draw(n, rng), label)
