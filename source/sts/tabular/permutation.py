"""What a model loses when one feature is shuffled among cells, for models without exact values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Floats, Ints
from sts.evaluation.bootstrap import Interval, interval_of
from sts.tabular.estimators import Classifier, logits_of

REPEATS: Final = 10
# More cells cost time and hardly narrow the intervals.
CELLS: Final = 400


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Loss of balanced accuracy when a feature tells nothing (Breiman, 2001)."""

    names: tuple[str, ...]
    """The largest loss first."""
    losses: tuple[Interval, ...]
    """The interval spans what shuffling again and again gave."""
    cells: int


def permutation_importance(
    model: Classifier,
    X: Floats,
    y: Ints,
    names: Sequence[str],
    *,
    rng: np.random.Generator,
    repeats: int = REPEATS,
) -> Importance:
    """Shuffle each feature among some of the cells X (cells, features) and look what is lost."""
    if len(X) > CELLS:
        chosen = np.sort(rng.permutation(len(X))[:CELLS])
        X, y = X[chosen], y[chosen]
    whole = _balanced_accuracy(model, X, y)
    orders = [rng.permutation(len(X)) for _ in range(repeats)]
    losses = []
    for column in range(X.shape[1]):
        # All shufflings of a feature at once: most of the time would go into calls.
        shuffled = np.tile(X, (repeats, 1))
        shuffled[:, column] = np.concatenate([X[order, column] for order in orders])
        found = logits_of(model, shuffled).argmax(axis=1).reshape(repeats, len(X))
        each = np.array([whole - _recall(row, y) for row in found])
        losses.append(interval_of(float(each.mean()), each))
    ranked = sorted(range(len(losses)), key=lambda at: -losses[at].value)
    return Importance(
        names=tuple(names[at] for at in ranked),
        losses=tuple(losses[at] for at in ranked),
        cells=len(X),
    )


def _balanced_accuracy(model: Classifier, X: Floats, y: Ints) -> float:
    return _recall(logits_of(model, X).argmax(axis=1), y)


def _recall(found: Ints, y: Ints) -> float:
    return float(np.mean([(found[y == label] == label).mean() for label in np.unique(y)]))
