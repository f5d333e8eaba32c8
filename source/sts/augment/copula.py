"""A Gaussian copula for each class, whose shape and correlation borrow from all classes."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sts.augment.frame import Frame
from sts.augment.rows import checked
from sts.augment.settings import CopulaSettings
from sts.base.errors import StsError
from sts.base.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class Copula:
    """Rows whose normal scores are normal together."""

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
