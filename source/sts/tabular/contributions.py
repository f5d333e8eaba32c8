"""What each feature adds to the score of each class in each cell: exact SHAP values of trees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sts.base.types import CLASSES, Bools, Floats, Ints
from sts.tabular.estimators import logits_of

# LightGBM sums thousands of leaves in float64 along two paths.
TOLERANCE: Final = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Contributions:
    """SHAP values (Lundberg et al., 2020), in units of the logit."""

    values: Floats
    """(cells, features, classes)."""
    base: Floats
    """(classes,), the logits of a cell of which nothing is known."""
    names: tuple[str, ...]

    def importance(self) -> Floats:
        """Return the mean absolute contribution, (features, classes)."""
        return np.asarray(np.abs(self.values).mean(axis=0))

    def rows(self, which: Bools | Ints) -> "Contributions":
        """Return the contributions in the cells that a mask or indices choose."""
        return Contributions(values=self.values[which], base=self.base, names=self.names)


def contributions_of(trees: Any, X: Floats, names: Sequence[str]) -> Contributions:
    """Return the contributions in cells X; in each they and the base add up to the logits."""
    n, features = X.shape
    raw = trees.booster_.predict(X, pred_contrib=True, num_threads=1)
    each = np.asarray(raw).reshape(n, len(CLASSES), features + 1)
    check_additivity(each.sum(axis=2), logits_of(trees, X))
    return Contributions(
        values=each[:, :, :-1].transpose(0, 2, 1).copy(),
        base=each[0, :, -1].copy() if n else np.zeros(len(CLASSES)),
        names=tuple(names),
    )


def check_additivity(sums: Floats, logits: Floats) -> None:
    """Refuse contributions that do not add up to what they explain."""
    apart = float(np.abs(sums - logits).max(initial=0.0))
    if apart > TOLERANCE * max(1.0, float(np.abs(logits).max(initial=0.0))):
        raise RuntimeError(f"the contributions miss the logits by {apart:.3g}: LightGBM changed?")


def strongest(contributions: Contributions, cell: int, label: int) -> list[int]:
    """Return the features that speak for one class in one cell, the strongest first."""
    size = contributions.values[cell, :, label]
    return [int(at) for at in np.argsort(-size, kind="stable") if size[at] > 0]
