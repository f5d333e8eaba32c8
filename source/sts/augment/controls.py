"""Controls that synthetic rows have to beat: repeated rows, class weights, a Gaussian copula."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sts.augment.frame import Frame
from sts.augment.rows import checked, rows_of_class
from sts.augment.settings import CopulaSettings
from sts.base.errors import StsError
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


@dataclass(frozen=True, eq=False)
class Copula:
    """Rows of a Gaussian copula for each class, whose shape and correlation borrow from all."""

    settings: CopulaSettings
    frame: Frame | None = None
    features: int = 0
    notes: tuple[str, ...] = ()

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator that knows the frame of these rows."""
        X, y = checked(X, y)
        frame = Frame.fit(X, y, settings=self.settings.frame, rng=rng)
        return replace(self, frame=frame, features=X.shape[1])

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class."""
        if self.frame is None:
            raise ValueError("fit before you sample")
        if label not in self.frame.shapes:
            raise StsError(f"class {label} has no training row to make others from")
        return self.frame.rows(rng.standard_normal((n, self.features)), label)
