"""Every classifier passes one list of checks; scores and intervals are those of others."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

from sts.augment.corrected import corrected_interval, judge
from sts.base.errors import StsError
from sts.tabular import estimators
from sts.tabular.classifiers import (
    CLASSIFIERS,
    VOTE,
    VOTERS,
    Choice,
    fit_classifier,
    floored,
    grid_of,
    together,
)
from sts.tabular.scoring import scores_of
from tests.augment.tables import blobs

NEURONS = blobs((40, 30, 15))
X = np.nan_to_num(NEURONS.X)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("balanced", [False, True])
def test_it_tells_classes_apart_and_repeats_itself(name: str, balanced: bool) -> None:
    fits = [
        fit_classifier(Choice(name=name), X, NEURONS.y, classes=5, seed=3, balanced=balanced)
        for _ in range(2)
    ]
    said, again = (each.probabilities(X) for each in fits)
    assert said.shape == (len(X), 5)
    assert np.allclose(said.sum(axis=1), 1, atol=1e-12)
    assert np.array_equal(said, again)
    # Classes two deviations apart, on the rows it was fitted on.
    assert (said.argmax(axis=1) == NEURONS.y).mean() > 0.8
    # What was never seen is never said.
    assert said[:, 3:].max() < 2e-4


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_settings_a_search_may_try_can_be_fitted(name: str) -> None:
    for settings in CLASSIFIERS[name].candidates:
        assert set(settings) <= set(CLASSIFIERS[name].settings)
        choice = Choice(name=name, settings=settings)
        fitted = fit_classifier(choice, X, NEURONS.y, classes=3, seed=0)
        assert np.isfinite(fitted.probabilities(X)).all()


def test_weights_lift_what_is_rare() -> None:
    close = blobs((200, 10), apart=0.4)
    rows = np.nan_to_num(close.X)
    for name in ("logistic", "lda", "svm"):
        recalls = [
            scores_of(
                fit_classifier(
                    Choice(name=name), rows, close.y, classes=2, seed=0, balanced=balanced
                ).probabilities(rows),
                close.y,
                close.classes,
            )["recall_class 1"]
            for balanced in (False, True)
        ]
        assert recalls[1] > recalls[0], name


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("svm", "SVM_ROWS"),
        ("forest", "TREE_ROWS"),
        ("extra-trees", "TREE_ROWS"),
        ("lightgbm", "TREE_ROWS"),
        ("logistic", "LOGISTIC_ROWS"),
        ("mlp", "MLP_ROWS"),
    ],
)
def test_too_many_rows_are_taken_otherwise_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: str
) -> None:
    exact = fit_classifier(Choice(name=name), X, NEURONS.y, classes=3, seed=0)
    assert exact.how == ""
    monkeypatch.setattr(estimators, limit, 60)
    cheap = fit_classifier(Choice(name=name), X, NEURONS.y, classes=3, seed=0)
    assert cheap.how
    assert (cheap.probabilities(X).argmax(axis=1) == NEURONS.y).mean() > 0.6


def test_two_classes_keep_their_sides() -> None:
    two = blobs((30, 30), apart=4.0)
    rows = np.nan_to_num(two.X)
    for name in CLASSIFIERS:
        said = fit_classifier(Choice(name=name), rows, two.y, classes=2, seed=0).probabilities(rows)
        assert (said.argmax(axis=1) == two.y).mean() > 0.9, name


def test_a_vote_is_the_geometric_mean() -> None:
    rng = np.random.default_rng(0)
    said = {name: floored(rng.dirichlet(np.ones(4), 20)) for name in VOTERS}
    weights = np.array(list(VOTERS.values()))
    mean = stats.gmean(np.array(list(said.values())), weights=weights[:, None, None], axis=0)
    # The same product by other roundings.
    assert np.allclose(together(said), floored(mean / mean.sum(axis=1, keepdims=True)), rtol=1e-9)
    alike = dict.fromkeys(VOTERS, said["svm"])
    assert np.allclose(together(alike), said["svm"], rtol=1e-9)


def test_rare_classes_are_lifted_by_their_frequency_unless_all_count_the_same() -> None:
    lifting = [name for name in CLASSIFIERS if CLASSIFIERS[name].rarity]
    assert lifting
    # Between classes, so that none is out of question.
    between = (X[:40] + X[40:80]) / 2
    for name in lifting:
        kind = CLASSIFIERS[name]
        fitted = fit_classifier(Choice(name=name), X, NEURONS.y, classes=3, seed=0)
        lift = (np.bincount(NEURONS.y) / len(X)) ** -kind.rarity
        assert np.allclose(fitted.lift, lift, rtol=1e-12)
        said, plain = (each.probabilities(between) for each in (fitted, replace(fitted, lift=1.0)))
        inside = plain.min(axis=1) > 0.01
        assert inside.any(), name
        odds = said[inside, 2] / said[inside, 0] * plain[inside, 0] / plain[inside, 2]
        # Nothing here lies at the floor, so that rounding is all that is lost.
        assert np.allclose(odds, lift[2] / lift[0], rtol=1e-9), name
        balanced = fit_classifier(Choice(name=name), X, NEURONS.y, classes=3, seed=0, balanced=True)
        assert balanced.lift == 1.0


@pytest.mark.parametrize("name", ["svm", "mlp", "naive-bayes", "lda", "logistic", "extra-trees"])
def test_how_a_column_is_stretched_plays_no_part(name: str) -> None:
    stretched = X.copy()
    # As many rows as quantiles: every value is a knot, and both columns have the same ranks.
    stretched[:, 0] = np.exp(stretched[:, 0])
    # Of trees that are grown to the end, all say the same of what they were fitted on.
    choice = Choice(name=name, settings={"min_samples_leaf": 10} if name == "extra-trees" else {})
    found = [
        fit_classifier(choice, rows, NEURONS.y, classes=3, seed=0).probabilities(rows)
        for rows in (X, stretched)
    ]
    # Rounding, through hundreds of steps of an optimiser.
    assert np.allclose(found[0], found[1], atol=1e-5)


def test_names_are_checked_and_ordered() -> None:
    assert grid_of(["vote", "lda", "svm", "lda"]) == ("svm", "lda", "vote")
    assert set(VOTERS) <= set(CLASSIFIERS)
    with pytest.raises(StsError, match="did you mean 'forest'"):
        grid_of(["forrest"])
    assert VOTE not in CLASSIFIERS


def test_scores_are_those_of_scikit_learn_over_the_labels_present() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    said = floored(rng.dirichlet(np.ones(5), 200))
    found = scores_of(said, truth, tuple("abcde"))
    predicted = said.argmax(axis=1)
    with warnings.catch_warnings():
        # It warns of the class that is predicted and never true.
        warnings.simplefilter("ignore", UserWarning)
        balanced = balanced_accuracy_score(truth, predicted)
    # The same sums in another order.
    close = {"rel": 1e-12}
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted), **close)
    assert found["balanced_accuracy"] == pytest.approx(balanced, **close)
    macro = f1_score(truth, predicted, labels=[0, 1, 2, 3], average="macro")
    assert found["macro_f1"] == pytest.approx(macro, **close)
    assert found["log_loss"] == pytest.approx(log_loss(truth, said, labels=range(5)), **close)
    assert np.isnan(found["recall_e"])


def test_the_interval_is_nadeau_and_bengios() -> None:
    values = np.array([0.01, 0.03, -0.01, 0.02, 0.04, 0.0])
    found = corrected_interval(values, test_to_train=0.5)
    error = np.sqrt((1 / 6 + 0.5) * values.var(ddof=1))
    low, high = stats.t.interval(0.95, 5, loc=values.mean(), scale=error)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))
    plain = corrected_interval(values, test_to_train=0.0)
    wanted = stats.t.interval(0.95, 5, loc=values.mean(), scale=stats.sem(values))
    assert (plain.low, plain.high) == pytest.approx(wanted)


def test_the_corrected_interval_holds_where_the_plain_one_does_not() -> None:
    """Differences of nothing, over folds whose training rows overlap."""
    rng = np.random.default_rng(0)
    wrong = {0.25: 0, 0.0: 0}
    for _ in range(400):
        # Folds share four fifths of their rows, and so most of what chance made of these.
        values = rng.standard_normal() + rng.standard_normal(10)
        for ratio in wrong:
            wrong[ratio] += corrected_interval(values, test_to_train=ratio).excludes(0.0)
    assert wrong[0.25] < wrong[0.0] / 1.5


@pytest.mark.parametrize(
    ("values", "score", "verdict"),
    [
        ([0.10, 0.11, 0.09, 0.10], "macro_f1", "helps"),
        ([-0.10, -0.11, -0.09, -0.10], "macro_f1", "hurts"),
        ([-0.10, -0.11, -0.09, -0.10], "log_loss", "helps"),
        ([0.1, -0.1, 0.2, -0.2], "accuracy", "cannot tell"),
        ([0.0, 0.0, 0.0], "accuracy", "no verdict"),
        ([0.3], "accuracy", "no verdict"),
        ([np.nan, np.nan], "recall_a", "no verdict"),
    ],
)
def test_verdicts(values: list[float], score: str, verdict: str) -> None:
    assert judge(np.array(values), score, test_to_train=0.25).verdict == verdict
