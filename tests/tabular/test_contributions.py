"""What features add: against the shap package, and against the score itself."""

from typing import Any

import numpy as np
import pytest

from sts.base.types import CLASSES, Floats
from sts.signals.features import FEATURES
from sts.tabular.contributions import (
    Contributions,
    check_additivity,
    contributions_of,
    strongest,
)
from sts.tabular.estimators import Classifier, logits_of
from sts.tabular.models import kind_of
from sts.tabular.trees import TreeSettings
from tests.datasets.ep_worlds import make_table


@pytest.fixture(scope="module")
def world() -> tuple[Classifier, Floats]:
    table = make_table(120)
    settings = TreeSettings(n_estimators=15, num_leaves=8)
    trees = kind_of("lightgbm").fit(table.X, table.truth, settings, seed=0)
    return trees, table.X[:30]


@pytest.fixture(scope="module")
def found(world: tuple[Classifier, Floats]) -> Contributions:
    return contributions_of(*world, FEATURES)


def test_they_add_up_to_the_logits_in_every_cell(
    world: tuple[Classifier, Floats], found: Contributions
) -> None:
    trees, X = world
    assert found.values.shape == (30, len(FEATURES), len(CLASSES))
    # Two ways of adding the same few hundred numbers.
    np.testing.assert_allclose(
        found.values.sum(axis=1) + found.base, logits_of(trees, X), rtol=0, atol=1e-9
    )


@pytest.mark.filterwarnings("ignore:The set_.* function will be deprecated")
def test_they_are_those_of_the_shap_package(
    world: tuple[Any, Floats], found: Contributions
) -> None:
    import shap

    trees, X = world
    theirs = shap.TreeExplainer(trees.booster_).shap_values(X)
    # shap itself asks LightGBM, or sums in another order.
    np.testing.assert_allclose(found.values, np.asarray(theirs), rtol=0, atol=1e-9)


def test_a_feature_that_tells_nothing_adds_nothing() -> None:
    table = make_table(120)
    X = np.column_stack([table.X[:, :10], np.zeros(120)])
    names = [*FEATURES[:10], "silent"]
    trees = kind_of("lightgbm").fit(X, table.truth, TreeSettings(n_estimators=10), seed=0)
    assert not contributions_of(trees, X, names).values[:, 10].any()


def test_what_does_not_add_up_is_refused() -> None:
    check_additivity(np.array([[3.0, 5e3]]), np.array([[3.0 + 1e-8, 5e3]]))
    with pytest.raises(RuntimeError, match=r"miss the logits by 0\.001"):
        check_additivity(np.array([[1.0, 2.0]]), np.array([[1.0, 2.001]]))


def test_those_that_speak_for_a_class_come_first_to_last() -> None:
    values = np.zeros((1, 4, 4))
    values[0, :, 2] = [0.1, -0.9, 0.0, 0.5]
    found = Contributions(values=values, base=np.zeros(4), names=("a", "b", "c", "d"))
    # What speaks against the class, or says nothing, is no reason for it.
    assert strongest(found, 0, 2) == [3, 0]
    assert found.importance()[:, 2].tolist() == [0.1, 0.9, 0.0, 0.5]


def test_no_cell_has_no_contribution(world: tuple[Classifier, Floats]) -> None:
    trees, X = world
    assert contributions_of(trees, X[:1], FEATURES).values.shape[0] == 1
