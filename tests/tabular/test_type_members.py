"""Members of a node pool what they say, and take weights as frequencies of classes."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.covariance import ShrunkCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from sts.tabular.type_members import (
    DenseNetworks,
    PooledClassifier,
    ShrunkenDiscriminant,
    make_fine_members,
    make_members,
)

RNG = np.random.default_rng(0)
y = np.repeat([0, 1, 2], [60, 30, 10])
X = RNG.normal(size=(100, 4)) + 2.0 * np.eye(4)[y]


def test_the_pool_is_the_normalised_geometric_mean() -> None:
    members = (LogisticRegression(C=0.01), LogisticRegression(C=0.1))
    said = [clone(each).fit(X, y).predict_proba(X) for each in members]
    product = np.sqrt(said[0] * said[1])
    expected = product / product.sum(axis=1, keepdims=True)
    found = PooledClassifier(members=members).fit(X, y).predict_proba(X)
    # No probability is this close to the floor of the logarithm.
    likely = (np.minimum(*said) > 1e-3).all(axis=1)
    assert likely.sum() > 50
    assert np.allclose(found[likely], expected[likely])


def test_shrunken_discriminant_is_that_of_scikit_learn() -> None:
    even = np.ones(len(y))
    for shrinkage in (0.0, 0.3):
        found = ShrunkenDiscriminant(shrinkage=shrinkage, power=1.0).fit(X, y, sample_weight=even)
        expected = LinearDiscriminantAnalysis(
            solver="lsqr",
            covariance_estimator=ShrunkCovariance(shrinkage=shrinkage),
        ).fit(X, y)
        # Their covariance is a mean over classes of those within each class: the same here, where
        # classes have weights as their rows.
        assert np.allclose(found.predict_proba(X), expected.predict_proba(X), atol=0.02)


def test_weights_of_discriminant_analysis_are_frequencies_of_classes() -> None:
    plain = ShrunkenDiscriminant(power=1.0).fit(X, y).predict_proba(X)
    weights = np.array([1.0, 2.0, 6.0])[y]
    even = ShrunkenDiscriminant(power=1.0).fit(X, y, sample_weight=weights).predict_proba(X)
    # The odds of two classes change as their frequencies do.
    assert np.allclose(even[:, 2] / even[:, 0], 6.0 * plain[:, 2] / plain[:, 0])


def test_the_power_makes_odds_smaller() -> None:
    whole = ShrunkenDiscriminant(power=1.0).fit(X, y).predict_proba(X)
    half = ShrunkenDiscriminant(power=0.5).fit(X, y).predict_proba(X)
    assert np.allclose(half[:, 1] / half[:, 0], np.sqrt(whole[:, 1] / whole[:, 0]))


@pytest.mark.parametrize("classes", [2, 3])
def test_networks_say_the_mean_of_what_those_of_scikit_learn_say(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[MLPClassifier] = []
    plain = MLPClassifier.fit

    def kept(self: MLPClassifier, *args: Any, **kwargs: Any) -> MLPClassifier:
        fitted.append(self)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(MLPClassifier, "fit", kept)
    rows = y < classes
    ours = DenseNetworks(count=3, units=8, epochs=20).fit(X[rows], y[rows])
    said = [each.predict_proba(X) for each in fitted]
    assert len(said) == 3
    assert not np.allclose(said[0], said[1])
    assert np.allclose(ours.predict_proba(X), np.mean(said, axis=0), atol=1e-6)


def test_heavier_rows_count_more_for_networks() -> None:
    flipped = np.where(RNG.random(len(y)) < 0.5, 1 - np.minimum(y, 1), np.minimum(y, 1))
    truth = np.minimum(y, 1)
    said = [
        DenseNetworks(count=2, units=8, epochs=100)
        .fit(X, flipped, sample_weight=np.where(flipped == truth, weight, 1.0))
        .predict(X)
        for weight in (10.0, 0.1)
    ]
    assert (said[0] == truth).mean() > 0.8 > 0.5 > (said[1] == truth).mean()


@pytest.mark.parametrize("make", [make_members, make_fine_members])
def test_members_take_missing_values_and_repeat_themselves(make: Any) -> None:
    holes = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
    weights = np.linspace(0.5, 1.5, len(y))
    one, same = (make(3).fit(holes, y, sample_weight=weights).predict_proba(holes) for _ in "ab")
    assert np.array_equal(one, same)
    assert (one.argmax(axis=1) == y).mean() > 0.8
