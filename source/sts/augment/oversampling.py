"""Rows of a class again or between its neighbours: the controls, and SMOTE and its kin.

Those of imbalanced-learn are made to work for classes of any size.
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from sts.augment.rows import checked, rows_of_class, seed_from
from sts.augment.settings import AdasynSettings, BorderlineSettings, SmoteSettings
from sts.base.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class RandomOversampling:
    """Rows of a class again, drawn with replacement."""

    X: Floats | None = None
    y: Ints | None = None
    notes: tuple[str, ...] = ()

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator that knows these rows."""
        X, y = checked(X, y)
        return replace(self, X=X, y=y)

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows that were there before."""
        if self.X is None or self.y is None:
            raise ValueError("fit before you sample")
        rows = rows_of_class(self.X, self.y, label)
        return rows[rng.integers(len(rows), size=n)]


@dataclass(frozen=True, eq=False)
class ClassWeights:
    """No row at all: a classifier is to give all classes the same weight."""

    features: int | None = None
    notes: tuple[str, ...] = ()

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator that knows how wide a row is."""
        X, y = checked(X, y)
        return replace(self, features=X.shape[1], notes=("rows are weighted, none is added",))

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return no row, however many are wanted."""
        if self.features is None:
            raise ValueError("fit before you sample")
        return np.empty((0, self.features))


# Of making one class larger than the largest, which is what is wanted here.
LARGER = "After over-sampling, the number of samples"


@dataclass(frozen=True, eq=False)
class _Interpolation(ABC):
    """Rows between neighbours; a class of one is repeated."""

    settings: Any
    X: Floats | None = None
    y: Ints | None = None
    plain: frozenset[int] = frozenset()
    """Classes in which the sampler has nothing to start from, so that SMOTE takes its place."""
    notes: tuple[str, ...] = ()

    title: ClassVar[str]

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator that knows these rows; nothing is drawn."""
        X, y = checked(X, y)
        notes, plain = [], set()
        for label, count in zip(*np.unique(y, return_counts=True), strict=True):
            if count == 1:
                notes.append(f"class {label}: its only row is repeated")
                continue
            if count <= self.settings.neighbours:
                few = "1 neighbour" if count == 2 else f"{count - 1} neighbours"
                notes.append(f"class {label}: {few}, for it has {count} rows")
            if not self._has_start(X, y, int(label)):
                plain.add(int(label))
                notes.append(f"class {label}: SMOTE, for {self.title} finds nothing to start from")
        return replace(self, X=X, y=y, plain=frozenset(plain), notes=tuple(notes))

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class, the sampler's own for the seed that `rng` gives."""
        if self.X is None or self.y is None:
            raise ValueError("fit before you sample")
        rows = rows_of_class(self.X, self.y, label)
        seed = seed_from(rng)
        if len(rows) == 1 or n == 0:
            return np.repeat(rows[:1], n, axis=0)
        if label in self.plain:
            return _smote(rows, n, neighbours=self.settings.neighbours, seed=seed)
        return self._between(self.X, self.y, label, n, seed)

    def _has_start(self, X: Floats, y: Ints, label: int) -> bool:
        return True

    @abstractmethod
    def _between(self, X: Floats, y: Ints, label: int, n: int, seed: int) -> Floats:
        """Return `n` new rows of a class that has at least two."""


class Smote(_Interpolation):
    """SMOTE (Chawla et al., 2002)."""

    settings: SmoteSettings
    title = "SMOTE"

    def _between(self, X: Floats, y: Ints, label: int, n: int, seed: int) -> Floats:
        return _smote(X[y == label], n, neighbours=self.settings.neighbours, seed=seed)


class BorderlineSmote(_Interpolation):
    """Borderline-SMOTE (Han et al., 2005): it starts from rows that lie mostly among others."""

    settings: BorderlineSettings
    title = "Borderline-SMOTE"

    def _has_start(self, X: Floats, y: Ints, label: int) -> bool:
        return len(self._between(X, y, label, 1, 0)) == 1

    def _between(self, X: Floats, y: Ints, label: int, n: int, seed: int) -> Floats:
        from imblearn.over_sampling import BorderlineSMOTE

        count = int(np.sum(y == label))
        if count == len(y):
            return X[:0]
        sampler = BorderlineSMOTE(
            sampling_strategy={label: count + n},
            k_neighbors=min(self.settings.neighbours, count - 1),
            m_neighbors=min(self.settings.border_neighbours, len(y) - 1),
            random_state=seed,
        )
        return _added(sampler, X, y)


class Adasyn(_Interpolation):
    """ADASYN (He et al., 2008): the more neighbours of a row are others, the more start from it."""

    settings: AdasynSettings
    title = "ADASYN"

    def _has_start(self, X: Floats, y: Ints, label: int) -> bool:
        if np.all(y == label):
            return False
        try:
            self._between(X, y, label, 1, 0)
        except RuntimeError:
            # No row has a neighbour of another class.
            return False
        return True

    def _between(self, X: Floats, y: Ints, label: int, n: int, seed: int) -> Floats:
        from imblearn.over_sampling import ADASYN

        count = int(np.sum(y == label))
        # It rounds how many start from each row: asked for `count` more, it never gives too few.
        sampler = ADASYN(
            sampling_strategy={label: count + n + count},
            n_neighbors=min(self.settings.neighbours, count - 1),
            random_state=seed,
        )
        made = _added(sampler, X, y)
        chosen = np.random.default_rng(seed).permutation(len(made))[:n]
        return made[np.sort(chosen)]


def _smote(rows: Floats, n: int, *, neighbours: int, seed: int) -> Floats:
    """Return `n` rows between those of one class."""
    from imblearn.over_sampling import SMOTE

    # Other classes have no say in it, but the sampler insists on one.
    X = np.vstack([rows, rows[:1]])
    y = np.append(np.ones(len(rows), dtype=np.int64), 0)
    sampler = SMOTE(
        sampling_strategy={1: len(rows) + n},
        k_neighbors=min(neighbours, len(rows) - 1),
        random_state=seed,
    )
    return _added(sampler, X, y)


def _added(sampler: Any, X: Floats, y: Ints) -> Floats:
    """Return the rows that a sampler of imbalanced-learn adds behind those it is given."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=LARGER)
        both, _ = sampler.fit_resample(X, y)
    return np.asarray(both[len(X) :])
