"""Members of a node pool what they say, and take weights as frequencies of classes."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from sts.tabular.type_members import (
    PooledClassifier,
    WeightedDiscriminant,
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


def test_weights_of_discriminant_analysis_are_frequencies_of_classes() -> None:
    weights = np.array([1.0, 2.0, 6.0])[y]
    settings: dict[str, Any] = {"solver": "lsqr", "shrinkage": "auto"}
    found = WeightedDiscriminant(**settings).fit(X, y, sample_weight=weights)
    even = LinearDiscriminantAnalysis(**settings, priors=[1 / 3] * 3).fit(X, y)
    assert np.allclose(found.predict_proba(X), even.predict_proba(X))
    plain = LinearDiscriminantAnalysis(**settings).fit(X, y)
    assert np.allclose(
        WeightedDiscriminant(**settings).fit(X, y).predict_proba(X), plain.predict_proba(X)
    )


def test_weights_leave_the_parameters_as_they_are() -> None:
    given = WeightedDiscriminant(solver="lsqr")
    given.fit(X, y, sample_weight=np.ones(len(y)))
    assert given.get_params()["priors"] is None


@pytest.mark.parametrize("make", [make_members, make_fine_members])
def test_members_take_missing_values_and_repeat_themselves(make: Any) -> None:
    holes = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
    weights = np.linspace(0.5, 1.5, len(y))
    one, same = (make(3).fit(holes, y, sample_weight=weights).predict_proba(holes) for _ in "ab")
    assert np.array_equal(one, same)
    assert (one.argmax(axis=1) == y).mean() > 0.8
