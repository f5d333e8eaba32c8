"""The classifier of a tree of types: coherent, scikit-learn's, deaf to what is missing."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sts.base.types import Floats
from sts.tabular.estimators import Prepared
from sts.tabular.trees import BoostedTrees
from sts.tabular.type_classifier import TypeTreeClassifier, find_masks
from tests.evaluation.worlds import sum_up

QUICK = BoostedTrees(n_estimators=10, min_child_samples=2, learning_rate=0.3, colsample_bytree=1.0)
TYPES = (
    "Excitatory",
    "Inhibitory > Pvalb",
    "Inhibitory > Sst > Sst a",
    "Inhibitory > Sst > Sst b",
)


def draw(count: int, seed: int = 0) -> tuple[Floats, Any]:
    """Return cells of four types, three deviations apart in three features."""
    rng = np.random.default_rng(seed)
    places = np.array([[0, 0, 0], [4, 0, 0], [4, 4, 0], [4, 4, 4]])
    leaf = rng.integers(4, size=count)
    return rng.normal(size=(count, 3)) + places[leaf], np.array(TYPES)[leaf]


X, y = draw(400)


def known_to_fail(estimator: Any) -> dict[str, str]:
    reason = "trees draw rows and columns, and a row of weight 2 is drawn once"
    return {"check_sample_weight_equivalence_on_dense_data": reason}


@parametrize_with_checks(
    [TypeTreeClassifier(estimator=QUICK)], expected_failed_checks=known_to_fail
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    state = np.random.get_state()  # noqa: NPY002
    check(estimator)
    if check.func.__name__ == "check_methods_sample_order_invariance":
        # It is the check that shuffles by numpy's global generator.
        np.random.set_state(state)  # noqa: NPY002


def test_probabilities_agree_on_all_levels() -> None:
    fitted = TypeTreeClassifier(estimator=QUICK).fit(X, y)
    nodes, tree = fitted.node_probabilities(X), fitted.tree_
    for parent in np.unique(tree.parents[1:]):
        assert np.allclose(nodes[:, tree.children(parent)].sum(axis=1), nodes[:, parent])
    assert np.allclose(nodes[:, 0], 1.0)
    assert np.allclose(sum_up(tree, nodes[:, tree.leaves]), nodes)
    assert fitted.classes_.tolist() == sorted(TYPES)
    assert (fitted.predict(X) == y).mean() > 0.9


def test_it_is_cloned_piped_and_cross_validated() -> None:
    pipeline = make_pipeline(StandardScaler(), TypeTreeClassifier(estimator=QUICK, copies=0))
    # Types are four deviations apart in one feature.
    assert (cross_val_predict(clone(pipeline), X, y, cv=3) == y).mean() > 0.85


def test_a_coarse_label_trains_the_branchings_above_it() -> None:
    few, fine = draw(40, seed=1)
    coarse = np.array([label if label == "Excitatory" else "Inhibitory" for label in y])
    both = np.concatenate([few, X]), np.concatenate([fine, coarse])
    cells, truth = draw(2000, seed=2)
    alone = TypeTreeClassifier(estimator=QUICK).fit(few, fine)
    helped = TypeTreeClassifier(estimator=QUICK).fit(*both)
    assert helped.classes_.tolist() == alone.classes_.tolist()
    top = [
        (each.tree_.lift(each.class_nodes_[each.predict_proba(cells).argmax(axis=1)], 1)
         == each.tree_.lift(each.tree_.find_nodes(truth), 1)).mean()
        for each in (alone, helped)
    ]  # fmt: skip
    assert top[1] > top[0]


def with_lacking_set(seed: int) -> tuple[Floats, Any, Any]:
    """Return cells of two sets, the second mostly excitatory and without a feature of pure noise.

    Nothing else tells excitatory cells from others.
    """
    rng = np.random.default_rng(seed)
    _, truth = draw(1200, seed=seed)
    cells = rng.normal(size=(1200, 2))
    is_second = rng.random(1200) < np.where(truth == TYPES[0], 0.9, 0.1)
    cells[is_second, 1] = np.nan
    return cells, truth, np.where(is_second, "second", "first")


def test_what_a_set_lacks_says_nothing_of_the_class() -> None:
    cells, truth, sets = with_lacking_set(3)
    new = np.random.default_rng(4).normal(size=(2000, 2))
    lacking = np.column_stack([new[:, 0], np.full(2000, np.nan)])
    # Of few parameters: what trees learn by heart of single cells differs between masks by chance.
    filled = SimpleImputer(add_indicator=True, keep_empty_features=True)
    estimator = Prepared(filled, LogisticRegression())
    moved = {}
    for copies in (0, 4):
        fitted = TypeTreeClassifier(estimator=estimator, copies=copies, even_sets=copies > 0)
        fitted.fit(cells, truth, dataset=sets)
        node = fitted.tree_.find_nodes([TYPES[0]])[0]
        shares = [fitted.node_probabilities(each)[:, node].mean() for each in (new, lacking)]
        moved[copies] = shares[1] - shares[0]
    # Without the remedy a missing value is taken for a mark of the second set.
    assert moved[0] > 0.4
    assert abs(moved[4]) < 0.03


def test_masks_are_those_given_those_of_sets_and_both_together() -> None:
    cells = np.zeros((200, 4))
    cells[100:, 0] = np.nan
    # One value in a hundred does not make a feature that the set has.
    cells[199, 0] = 1.0
    sets = np.repeat(["a", "b"], 100)
    found = find_masks(cells, sets, [[False, False, False, True]])
    assert found.astype(int).tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 1]]


def test_the_same_seed_gives_the_same_classifier() -> None:
    cells, truth, sets = with_lacking_set(5)
    one, same, other = (
        TypeTreeClassifier(estimator=QUICK, masks=[[True, False]], random_state=seed)
        .fit(cells, truth, dataset=sets)
        .predict_proba(cells)
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_deep_nodes_have_classifiers_of_their_own() -> None:
    linear = LogisticRegression()
    fitted = TypeTreeClassifier(estimator=QUICK, fine_estimator=linear, fine_depth=2).fit(X, y)
    kinds = {fitted.tree_.labels[at]: type(each) for at, each in fitted.estimators_.items()}
    deep = {"Inhibitory > Sst": LogisticRegression}
    assert kinds == {"": BoostedTrees, "Inhibitory": BoostedTrees} | deep


def test_data_sets_are_brought_to_one_scale() -> None:
    sets = np.array(["one", "other"])[np.arange(400) % 2]
    offset = np.where(sets == "other", 5.0, 0.0)[:, None] * np.ones(3)
    fitted = TypeTreeClassifier(estimator=QUICK, align=True, reference="one", copies=0)
    fitted.fit(X + offset, y, dataset=sets)
    cells, truth = draw(500, seed=7)
    for name, moved in (("one", cells), ("other", cells + 5.0), ("unseen", cells - 20.0)):
        nodes = fitted.node_probabilities(moved, np.full(500, name))
        called = fitted.classes_[nodes[:, fitted.class_nodes_].argmax(axis=1)]
        # Types are four deviations apart in one feature; medians leave an error of their own.
        assert (called == truth).mean() > 0.85, name


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="two are needed"):
        TypeTreeClassifier(estimator=QUICK).fit(X, np.full(len(X), "Inhibitory > Sst"))
