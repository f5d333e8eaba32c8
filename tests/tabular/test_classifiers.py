"""Every classifier passes one list of checks."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.evaluation.predictions import scores_of
from sts.tabular import classifiers
from sts.tabular.classifiers import (
    CLASSIFIERS,
    VOTE,
    VOTERS,
    BenchmarkClassifier,
    combine_votes,
    order_classifiers,
    predict_probabilities,
    raise_to_floor,
)
from tests.augment.tables import blobs

NEURONS = blobs((40, 30, 15))
X = np.nan_to_num(NEURONS.X)


def said_of(rows: Floats, y: Ints, **settings: Any) -> Floats:
    """Return what a classifier says of the rows that it was fitted on."""
    fitted = BenchmarkClassifier(**settings).fit(rows, y)
    return predict_probabilities(fitted, rows, classes=int(y.max()) + 1)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("balanced", [False, True])
def test_it_tells_classes_apart_and_repeats_itself(name: str, balanced: bool) -> None:
    classifier = BenchmarkClassifier(name=name, balanced=balanced, random_state=3)
    said, again = (
        predict_probabilities(clone(classifier).fit(X, NEURONS.y), X, classes=5) for _ in range(2)
    )
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
        fitted = BenchmarkClassifier(name=name, settings=settings).fit(X, NEURONS.y)
        assert np.isfinite(fitted.predict_proba(X)).all()


def test_weights_lift_what_is_rare() -> None:
    close = blobs((200, 10), apart=0.4)
    rows = np.nan_to_num(close.X)
    for name in ("logistic", "lda", "svm"):
        recalls = [
            scores_of(said_of(rows, close.y, name=name, balanced=balanced), close.y, close.classes)[
                "recall_class 1"
            ]
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
    exact = BenchmarkClassifier(name=name).fit(X, NEURONS.y)
    assert exact.how_ == ""
    monkeypatch.setattr(classifiers, limit, 60)
    cheap = BenchmarkClassifier(name=name).fit(X, NEURONS.y)
    assert cheap.how_
    assert (cheap.predict(X) == NEURONS.y).mean() > 0.6


def test_two_classes_keep_their_sides() -> None:
    two = blobs((30, 30), apart=4.0)
    rows = np.nan_to_num(two.X)
    for name in CLASSIFIERS:
        said = said_of(rows, two.y, name=name)
        assert (said.argmax(axis=1) == two.y).mean() > 0.9, name


def test_a_vote_is_the_geometric_mean() -> None:
    rng = np.random.default_rng(0)
    said = {name: raise_to_floor(rng.dirichlet(np.ones(4), 20)) for name in VOTERS}
    weights = np.array(list(VOTERS.values()))
    mean = stats.gmean(np.array(list(said.values())), weights=weights[:, None, None], axis=0)
    # The same product by other roundings.
    assert np.allclose(
        combine_votes(said), raise_to_floor(mean / mean.sum(axis=1, keepdims=True)), rtol=1e-9
    )
    alike = dict.fromkeys(VOTERS, said["svm"])
    assert np.allclose(combine_votes(alike), said["svm"], rtol=1e-9)


def test_rare_classes_are_lifted_by_their_frequency_unless_all_count_the_same() -> None:
    lifting = [name for name in CLASSIFIERS if CLASSIFIERS[name].rarity]
    assert lifting
    # Between classes, so that none is out of question.
    between = (X[:40] + X[40:80]) / 2
    for name in lifting:
        kind = CLASSIFIERS[name]
        fitted = BenchmarkClassifier(name=name).fit(X, NEURONS.y)
        lift = (np.bincount(NEURONS.y) / len(X)) ** -kind.rarity
        assert np.allclose(fitted.lift_, lift, rtol=1e-12)
        said = predict_probabilities(fitted, between, classes=3)
        fitted.lift_ = 1.0
        plain = predict_probabilities(fitted, between, classes=3)
        inside = plain.min(axis=1) > 0.01
        assert inside.any(), name
        odds = said[inside, 2] / said[inside, 0] * plain[inside, 0] / plain[inside, 2]
        # Nothing here lies at the floor, so that rounding is all that is lost.
        assert np.allclose(odds, lift[2] / lift[0], rtol=1e-9), name
        assert BenchmarkClassifier(name=name, balanced=True).fit(X, NEURONS.y).lift_ == 1.0


@pytest.mark.parametrize("name", ["svm", "mlp", "naive-bayes", "lda", "logistic", "extra-trees"])
def test_how_a_column_is_stretched_plays_no_part(name: str) -> None:
    stretched = X.copy()
    # As many rows as quantiles: every value is a knot, and both columns have the same ranks.
    stretched[:, 0] = np.exp(stretched[:, 0])
    # Of trees that are grown to the end, all say the same of what they were fitted on.
    settings = {"min_samples_leaf": 10} if name == "extra-trees" else {}
    found = [said_of(rows, NEURONS.y, name=name, settings=settings) for rows in (X, stretched)]
    # Rounding, through hundreds of steps of an optimiser.
    assert np.allclose(found[0], found[1], atol=1e-5)


def test_names_are_checked_and_ordered() -> None:
    assert order_classifiers(["vote", "lda", "svm", "lda"]) == ("svm", "lda", "vote")
    assert set(VOTERS) <= set(CLASSIFIERS)
    with pytest.raises(StsError, match="did you mean 'forest'"):
        order_classifiers(["forrest"])
    assert VOTE not in CLASSIFIERS
