"""What a model loses without a feature."""

from typing import Any

import numpy as np
import pytest

from sts.base.types import Floats
from sts.tabular import explanations
from sts.tabular.explanations import permutation_importance


class Rule:
    """A model that looks at its first feature alone, and leans on nothing else."""

    classes_ = np.arange(4)

    def decision_function(self, X: Floats) -> Floats:
        return -((X[:, :1] - np.arange(4)) ** 2)

    def predict(self, X: Floats) -> Any:
        return self.decision_function(X).argmax(axis=1)


def world(n: int) -> tuple[Floats, np.ndarray]:
    y = np.arange(n) % 4
    return np.column_stack([y, np.random.default_rng(0).normal(size=n)]).astype(float), y


def test_only_what_the_model_looks_at_is_missed() -> None:
    X, y = world(200)
    found = permutation_importance(
        Rule(), X, y, ["used", "idle"], rng=np.random.default_rng(0), repeats=20
    )
    assert found.names == ("used", "idle")
    assert found.losses[1].value == found.losses[1].low == found.losses[1].high == 0
    # A shuffled class is right one time in four, give or take three points of 200 cells.
    assert found.losses[0].value == pytest.approx(0.75, abs=0.03)
    assert found.losses[0].low < found.losses[0].value < found.losses[0].high


def test_some_cells_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanations, "CELLS", 40)
    X, y = world(200)
    found = permutation_importance(Rule(), X, y, ["used", "idle"], rng=np.random.default_rng(0))
    assert found.cells == 40


def test_the_cells_are_left_as_they_were() -> None:
    X, y = world(50)
    before = X.copy()
    permutation_importance(Rule(), X, y, ["used", "idle"], rng=np.random.default_rng(0))
    np.testing.assert_array_equal(X, before)
