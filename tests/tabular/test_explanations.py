"""SHAP values add up to the scores; shuffling shows which features a model uses."""

from typing import Any

import numpy as np
import pytest

from sts.base.types import CLASSES, Floats
from sts.signals.feature_names import FEATURES
from sts.tabular import explanations
from sts.tabular.estimators import Classifier, predict_logits
from sts.tabular.explanations import (
    LOGIT,
    PROBABILITY,
    Contributions,
    check_additivity,
    compute_contributions,
    has_contributions,
    permutation_importance,
    rank_features,
)
from sts.tabular.models import (
    ExtraTreesSettings,
    HistogramSettings,
    LogisticSettings,
    find_kind,
)
from sts.tabular.trees import TreeSettings
from tests.datasets.ep_worlds import make_table


@pytest.fixture(scope="module")
def world() -> tuple[Classifier, Floats]:
    table = make_table(120)
    settings = TreeSettings(n_estimators=15, num_leaves=8)
    trees = find_kind("lightgbm").fit(table.X, table.truth, settings, seed=0)
    return trees, table.X[:30]


@pytest.fixture(scope="module")
def found(world: tuple[Classifier, Floats]) -> Contributions:
    return compute_contributions(*world, FEATURES)


def test_they_add_up_to_the_logits_in_every_cell(
    world: tuple[Classifier, Floats], found: Contributions
) -> None:
    trees, X = world
    assert found.values.shape == (30, len(FEATURES), len(CLASSES))
    # Two ways of adding the same few hundred numbers.
    np.testing.assert_allclose(
        found.values.sum(axis=1) + found.base, predict_logits(trees, X), rtol=0, atol=1e-9
    )


def test_they_are_those_that_lightgbm_itself_computes(
    world: tuple[Any, Floats], found: Contributions
) -> None:
    trees, X = world
    raw = trees.booster_.predict(X, pred_contrib=True, num_threads=1)
    theirs = raw.reshape(len(X), len(CLASSES), len(FEATURES) + 1)
    np.testing.assert_allclose(found.values, theirs[:, :, :-1].transpose(0, 2, 1), atol=1e-6)
    np.testing.assert_allclose(found.base, theirs[0, :, -1], atol=1e-6)


OF_TREES = {
    "lightgbm": TreeSettings(n_estimators=5),
    "extra-trees": ExtraTreesSettings(n_estimators=5),
    "hist-boosting": HistogramSettings(max_iter=5, min_samples_leaf=2),
}


@pytest.mark.parametrize("name", OF_TREES)
@pytest.mark.parametrize("absent", [None, 2])
def test_every_model_of_trees_is_explained(name: str, absent: int | None) -> None:
    table = make_table(100)
    X, y = table.X[:, :12], table.truth
    some = y != absent
    classifier: Any = find_kind(name).fit(X[some], y[some], OF_TREES[name], seed=0)
    found = compute_contributions(classifier, X[:20], FEATURES[:12])
    assert np.isnan(X).any()
    assert found.values.shape == (20, 12, len(CLASSES))
    votes = name == "extra-trees"
    assert found.unit == (PROBABILITY if votes else LOGIT)
    scores = np.zeros((20, len(CLASSES)))
    score = classifier.predict_proba if votes else classifier.decision_function
    scores[:, classifier.classes_] = score(X[:20])
    # The rounding of a few hundred additions.
    np.testing.assert_allclose(found.values.sum(axis=1) + found.base, scores, atol=1e-6)


@pytest.mark.parametrize("name", OF_TREES)
def test_of_two_classes_what_speaks_for_one_speaks_against_the_other(name: str) -> None:
    table = make_table(100)
    some = table.truth < 2
    X = table.X[some, :8]
    fitted = find_kind(name).fit(X, table.truth[some], OF_TREES[name], seed=0)
    values = compute_contributions(fitted, X, FEATURES[:8]).values
    if name != "lightgbm":
        # LightGBM is fitted on all four classes, of which two have no cell.
        np.testing.assert_allclose(values[:, :, 0], -values[:, :, 1], atol=1e-9)
    assert values[:, :, :2].any()


def test_what_is_not_made_of_trees_is_refused() -> None:
    table = make_table(60)
    fitted = find_kind("logistic").fit(table.X, table.truth, LogisticSettings(), seed=0)
    assert not has_contributions(fitted)
    with pytest.raises(ValueError, match="Prepared is not made of trees"):
        compute_contributions(fitted, table.X, FEATURES)


def test_a_feature_that_tells_nothing_adds_nothing() -> None:
    table = make_table(120)
    X = np.column_stack([table.X[:, :10], np.zeros(120)])
    names = [*FEATURES[:10], "silent"]
    trees = find_kind("lightgbm").fit(X, table.truth, TreeSettings(n_estimators=10), seed=0)
    assert not compute_contributions(trees, X, names).values[:, 10].any()


def test_what_does_not_add_up_is_refused() -> None:
    check_additivity(np.array([[3.0, 5e3]]), np.array([[3.0 + 1e-8, 5e3]]))
    with pytest.raises(RuntimeError, match=r"miss the scores by 0\.001"):
        check_additivity(np.array([[1.0, 2.0]]), np.array([[1.0, 2.001]]))


def test_those_that_speak_for_a_class_come_first_to_last() -> None:
    values = np.zeros((1, 4, 4))
    values[0, :, 2] = [0.1, -0.9, 0.0, 0.5]
    found = Contributions(values=values, base=np.zeros(4), names=("a", "b", "c", "d"))
    # What speaks against the class, or says nothing, is no reason for it.
    assert rank_features(found, 0, 2) == [3, 0]
    assert found.importance()[:, 2].tolist() == [0.1, 0.9, 0.0, 0.5]


def test_no_cell_has_no_contribution(world: tuple[Classifier, Floats]) -> None:
    trees, X = world
    assert compute_contributions(trees, X[:1], FEATURES).values.shape[0] == 1


class Rule:
    """A model that looks at its first feature alone, and leans on nothing else."""

    classes_ = np.arange(4)

    def decision_function(self, X: Floats) -> Floats:
        return -((X[:, :1] - np.arange(4)) ** 2)

    def predict(self, X: Floats) -> Any:
        return self.decision_function(X).argmax(axis=1)


def cells_by_number(n: int) -> tuple[Floats, np.ndarray]:
    y = np.arange(n) % 4
    return np.column_stack([y, np.random.default_rng(0).normal(size=n)]).astype(float), y


def test_only_what_the_model_looks_at_is_missed() -> None:
    X, y = cells_by_number(200)
    found = permutation_importance(
        Rule(), X, y, ["used", "idle"], rng=np.random.default_rng(0), repeats=20
    )
    assert found.names == ("used", "idle")
    assert found.losses[1].value == found.losses[1].low == found.losses[1].high == 0
    # A shuffled class is right one time in four, give or take three points of 200 cells.
    assert found.losses[0].value == pytest.approx(0.75, abs=0.03)
    assert found.losses[0].low < found.losses[0].value < found.losses[0].high


def test_some_cells_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanations, "SHUFFLED_CELLS", 40)
    X, y = cells_by_number(200)
    found = permutation_importance(Rule(), X, y, ["used", "idle"], rng=np.random.default_rng(0))
    assert found.cells == 40


def test_the_cells_are_left_as_they_were() -> None:
    X, y = cells_by_number(50)
    before = X.copy()
    permutation_importance(Rule(), X, y, ["used", "idle"], rng=np.random.default_rng(0))
    np.testing.assert_array_equal(X, before)
