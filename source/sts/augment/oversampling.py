"""Copies of rows, rows between rows, and no rows: the controls, SMOTE and its variants, mixup.

The samplers of imbalanced-learn are adapted to classes of any size.
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE

from sts.augment.contract import check_label, check_rows, draw_seed
from sts.augment.settings import (
    AdasynSettings,
    BorderlineSettings,
    MixupSettings,
    NoSettings,
    SmoteSettings,
)
from sts.base.types import Floats, Ints

# The warning that a class becomes larger than the largest class, which is intended here.
LARGER: Final = "After over-sampling, the number of samples"


@dataclass(frozen=True, eq=False)
class _KnownRows:
    """A generator that knows the fitted rows."""

    settings: Any
    X: Floats | None = None
    y: Ints | None = None
    notes: tuple[str, ...] = ()

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator that knows these rows."""
        X, y = check_rows(X, y)
        return replace(self, X=X, y=y)


class RandomOversampling(_KnownRows):
    """Copies of rows of a class, drawn with replacement."""

    settings: NoSettings

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` of the rows that were fitted."""
        rows = _rows_of(self.X, self.y, label)
        return rows[rng.integers(len(rows), size=n)]


@dataclass(frozen=True, eq=False)
class ClassWeights:
    """No rows: classifiers give all classes the same weight instead."""

    settings: NoSettings
    features: int | None = None
    notes: tuple[str, ...] = ()

    note: ClassVar[str] = "rows are weighted, none is added"

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator that knows the number of features."""
        X, y = check_rows(X, y)
        return replace(self, features=X.shape[1], notes=(self.note,))

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return no rows, whatever `n` is."""
        if self.features is None:
            raise ValueError("fit before you sample")
        return np.empty((0, self.features))


class ClassPriors(ClassWeights):
    """No rows: the probabilities of classifiers are divided by class frequencies instead."""

    note = "probabilities are divided by class frequencies, no row is added"


class ThresholdTuning(ClassWeights):
    """No rows: probabilities are divided by a power of class frequencies, chosen on inner folds."""

    note = "thresholds of classes are chosen on folds of the training rows, no row is added"


class Mixup(_KnownRows):
    """Rows between any two rows of a class."""

    settings: MixupSettings

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class."""
        rows = _rows_of(self.X, self.y, label)
        first, second = rows[rng.integers(len(rows), size=(2, n))]
        share = rng.beta(self.settings.alpha, self.settings.alpha, size=(n, 1))
        return np.asarray(share * first + (1 - share) * second)


@dataclass(frozen=True, eq=False)
class _Interpolation(_KnownRows, ABC):
    """Rows between neighbours; a class of one row repeats it."""

    plain: frozenset[int] = frozenset()
    """Classes in which the sampler has no row to start from; SMOTE is used for them."""

    title: ClassVar[str]

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator that knows these rows; nothing is drawn."""
        X, y = check_rows(X, y)
        notes, plain = [], set()
        for label, count in zip(*np.unique(y, return_counts=True), strict=True):
            if count == 1:
                notes.append(f"class {label}: its only row is repeated")
                continue
            if count <= self.settings.neighbours:
                few = "1 neighbour" if count == 2 else f"{count - 1} neighbours"
                notes.append(f"class {label}: {few}, because it has {count} rows")
            if not self._has_start(X, y, int(label)):
                plain.add(int(label))
                notes.append(f"class {label}: SMOTE, because {self.title} finds no row to start at")
        return replace(self, X=X, y=y, plain=frozenset(plain), notes=tuple(notes))

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class: those of the sampler for a seed drawn from `rng`."""
        rows = _rows_of(self.X, self.y, label)
        seed = draw_seed(rng)
        if len(rows) == 1 or n == 0:
            return np.repeat(rows[:1], n, axis=0)
        if label in self.plain:
            return _smote(rows, n, neighbours=self.settings.neighbours, seed=seed)
        return self._interpolate(np.asarray(self.X), np.asarray(self.y), label, n, seed)

    def _has_start(self, X: Floats, y: Ints, label: int) -> bool:
        """Tell whether the sampler has a row of a class to start from."""
        return True

    @abstractmethod
    def _interpolate(self, X: Floats, y: Ints, label: int, n: int, seed: int) -> Floats:
        """Return `n` new rows of a class that has at least two."""


class Smote(_Interpolation):
    """SMOTE (Chawla et al., 2002)."""

    settings: SmoteSettings
    title = "SMOTE"

    def _interpolate(self, X: Floats, y: Ints, label: int, n: int, seed: int) -> Floats:
        return _smote(X[y == label], n, neighbours=self.settings.neighbours, seed=seed)


class BorderlineSmote(_Interpolation):
    """Borderline-SMOTE (Han et al., 2005): starts from rows that have mostly other neighbours."""

    settings: BorderlineSettings
    title = "Borderline-SMOTE"

    def _has_start(self, X: Floats, y: Ints, label: int) -> bool:
        return len(self._interpolate(X, y, label, 1, 0)) == 1

    def _interpolate(self, X: Floats, y: Ints, label: int, n: int, seed: int) -> Floats:
        count = int(np.sum(y == label))
        if count == len(y):
            return X[:0]
        sampler = BorderlineSMOTE(
            sampling_strategy={label: count + n},
            k_neighbors=min(self.settings.neighbours, count - 1),
            m_neighbors=min(self.settings.border_neighbours, len(y) - 1),
            random_state=seed,
        )
        return _resample(sampler, X, y)


class Adasyn(_Interpolation):
    """ADASYN (He et al., 2008): rows with more neighbours of other classes are used more often."""

    settings: AdasynSettings
    title = "ADASYN"

    def _has_start(self, X: Floats, y: Ints, label: int) -> bool:
        if np.all(y == label):
            return False
        try:
            self._interpolate(X, y, label, 1, 0)
        except RuntimeError:
            # No row has a neighbour of another class.
            return False
        return True

    def _interpolate(self, X: Floats, y: Ints, label: int, n: int, seed: int) -> Floats:
        count = int(np.sum(y == label))
        # ADASYN rounds the number of new rows per row: with `count` more there are always enough.
        sampler = ADASYN(
            sampling_strategy={label: count + n + count},
            n_neighbors=min(self.settings.neighbours, count - 1),
            random_state=seed,
        )
        rows = _resample(sampler, X, y)
        chosen = np.random.default_rng(seed).permutation(len(rows))[:n]
        return rows[np.sort(chosen)]


def _rows_of(X: Floats | None, y: Ints | None, label: int) -> Floats:
    """Return the fitted rows of one class."""
    if X is None or y is None:
        raise ValueError("fit before you sample")
    check_label(label, y)
    return np.asarray(X[y == label])


def _smote(rows: Floats, n: int, *, neighbours: int, seed: int) -> Floats:
    """Return `n` rows between those of one class."""
    # Other classes have no effect, but the sampler requires one.
    X = np.vstack([rows, rows[:1]])
    y = np.append(np.ones(len(rows), dtype=np.int64), 0)
    sampler = SMOTE(
        sampling_strategy={1: len(rows) + n},
        k_neighbors=min(neighbours, len(rows) - 1),
        random_state=seed,
    )
    return _resample(sampler, X, y)


def _resample(sampler: Any, X: Floats, y: Ints) -> Floats:
    """Return the rows that a sampler of imbalanced-learn adds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=LARGER)
        both, _ = sampler.fit_resample(X, y)
    return np.asarray(both[len(X) :])
