"""Classifiers of tables are estimators of scikit-learn: its own checks and tools say so."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sts.tabular.classifiers import CLASSIFIERS, BenchmarkClassifier
from sts.tabular.estimators import (
    HistogramBoosting,
    LandmarkSvm,
    PairwiseSvm,
    Prepared,
    RankScores,
    Stack,
    predict_logits,
)
from sts.tabular.models import MODELS, find_kind
from sts.tabular.trees import BoostedTrees
from tests.augment.tables import blobs
from tests.tabular.test_models import QUICK

# Few rows a leaf, since the tables of the checks are small.
SMALL = {
    **QUICK,
    "lightgbm": {"n_estimators": 5, "min_child_samples": 2, "learning_rate": 0.3},
    "extra-trees": {"n_estimators": 5},
    "hist-boosting": {"max_iter": 5, "min_samples_leaf": 2, "learning_rate": 0.3},
    "svm": {"gamma": 0.1},
    "logistic": {"C": 1.0},
}
QUICK_ONES = {
    "mlp": {"hidden": 8},
    "forest": {"n_estimators": 5},
    "extra-trees": {"n_estimators": 5},
    "lightgbm": {"n_estimators": 5, "min_child_samples": 2, "learning_rate": 0.3},
}


def model(name: str) -> Any:
    """Return a small model that takes any labels, as the checks have them."""
    made = find_kind(name).make(find_kind(name).make_settings(SMALL[name]), 0)
    return made.set_params(classes=None) if "classes" in made.get_params() else made


def small_stack() -> Stack:
    return Stack(members=[model("lightgbm"), model("logistic")], C=1.0, parts=2)


SINGLE = [model(name) for name in MODELS if name != "stack"]
OF_THE_BENCHMARK = [
    BenchmarkClassifier(name=name, settings=QUICK_ONES.get(name, {})) for name in CLASSIFIERS
]
PARTS = [RankScores(), PairwiseSvm(), LandmarkSvm(), BoostedTrees(n_estimators=5), small_stack()]


WEIGHTS = "check_sample_weight_equivalence_on_dense_data"


def known_to_fail(estimator: Any) -> dict[str, str]:
    """Return the checks that an estimator cannot pass, and why."""
    if isinstance(estimator, PairwiseSvm):
        return {WEIGHTS: "libsvm's own, which scikit-learn excuses SVC from too"}
    if isinstance(estimator, BoostedTrees | HistogramBoosting):
        return {WEIGHTS: "rows and columns are drawn, and a row of weight 2 is drawn once"}
    if isinstance(estimator, Stack):
        return {WEIGHTS: "folds are dealt out by rows, whatever these weigh"}
    if isinstance(estimator, Prepared) and not isinstance(
        estimator.estimator, ExtraTreesClassifier
    ):
        reason = "medians and ranks are those of rows, whatever these weigh"
        return {WEIGHTS: reason, WEIGHTS.replace("dense", "sparse"): reason}
    return {}


@parametrize_with_checks([*PARTS, *SINGLE, *OF_THE_BENCHMARK], expected_failed_checks=known_to_fail)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    state = np.random.get_state()  # noqa: NPY002
    check(estimator)
    if check.func.__name__ == "check_methods_sample_order_invariance":
        # It is the check that shuffles by numpy's global generator.
        np.random.set_state(state)  # noqa: NPY002


NEURONS = blobs((40, 30, 15), apart=3.0)


@pytest.mark.parametrize(
    "classifier",
    [*SINGLE, small_stack(), BenchmarkClassifier(name="lightgbm", settings=QUICK_ONES["lightgbm"])],
    ids=lambda each: f"{type(each).__name__}",
)
def test_it_is_cloned_piped_and_cross_validated_with_missing_values(classifier: Any) -> None:
    assert np.isnan(NEURONS.X).any()
    pipeline = make_pipeline(StandardScaler(), clone(classifier))
    called = cross_val_predict(pipeline, NEURONS.X, NEURONS.y, cv=3)
    # Three classes, three deviations apart.
    assert (called == NEURONS.y).mean() > 0.8
    assert clone(pipeline).get_params().keys() == pipeline.get_params().keys()


def test_a_grid_search_reaches_the_settings_of_the_trees() -> None:
    grid = {"num_leaves": [2, 8], "learning_rate": [0.01, 0.3]}
    found = GridSearchCV(BoostedTrees(n_estimators=5, min_child_samples=2), grid, cv=2)
    found.fit(NEURONS.X, NEURONS.y)
    assert len(found.cv_results_["params"]) == 4
    assert found.best_score_ > 0.5


def test_logits_have_a_place_for_every_class() -> None:
    some = NEURONS.y != 1
    for name in ("lightgbm", "svm", "extra-trees"):
        fitted = model(name).fit(NEURONS.X[some], NEURONS.y[some])
        logits = predict_logits(fitted, NEURONS.X, classes=4)
        assert logits.shape == (len(NEURONS), 4)
        assert np.isin(logits[some].argmax(axis=1), (0, 2)).all()
        called = np.array([0, 2])[(logits[:, 2] > logits[:, 0]).astype(int)]
        np.testing.assert_array_equal(called[some], fitted.predict(NEURONS.X[some]))
