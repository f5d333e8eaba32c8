"""Rows turn into independent normal scores and back, and rare classes borrow."""

import numpy as np
import pytest

from sts.augment.contract import make_generator
from sts.augment.frame import Frame
from sts.augment.settings import FrameSettings
from sts.base.types import Floats, Ints
from tests.augment.generator_worlds import bent, clouds

SPACES = ("class", "pooled")


def framed(X: Floats, y: Ints, **values: object) -> Frame:
    settings = FrameSettings(**values)  # type: ignore[arg-type]
    return Frame.fit(X, y, settings=settings, rng=np.random.default_rng(0))


@pytest.mark.parametrize("space", SPACES)
def test_the_way_back_is_the_way_back(space: str) -> None:
    X, y = bent(200, np.random.default_rng(1))
    X = np.column_stack([X, np.round(X[:, 0])])
    frame = framed(X, y, space=space)
    scores = frame.scores(X, y, np.random.default_rng(2))
    for label in (0, 1):
        # Float64 through a distribution and its inverse, whose slope is up to a thousand.
        np.testing.assert_allclose(frame.rows(scores[y == label], label), X[y == label], atol=1e-9)


@pytest.mark.parametrize("space", SPACES)
def test_scores_are_standard_normal_and_independent(space: str) -> None:
    X, y = bent(500, np.random.default_rng(1))
    scores = framed(X, y, space=space).scores(X, y, np.random.default_rng(2))
    # 1,000 rows: a standard error of .03 for means and correlations.
    assert np.abs(scores.mean(axis=0)).max() < 0.1
    np.testing.assert_allclose(np.cov(scores.T), np.eye(2), atol=0.12)


def test_tied_values_become_normal_scores_too() -> None:
    X = np.repeat([[0.0], [1.0]], 500, axis=0)
    y = np.zeros(1000, dtype=np.int64)
    scores = framed(X, y, space="pooled").scores(X, y, np.random.default_rng(2))
    # Within its half of the distribution each value takes any place.
    assert len(np.unique(scores)) > 990
    assert scores[:500].max() < scores[500:].min()


def test_a_class_of_one_borrows_the_spread_and_correlation_of_the_others() -> None:
    rng = np.random.default_rng(3)
    X, y = clouds({0: 300, 1: 300, 2: 1}, rng, features=3, apart=20.0)
    X[:, 2] = 0.9 * X[:, 1] + np.sqrt(1 - 0.9**2) * X[:, 2]
    rows = make_generator("copula").fit(X, y, rng).sample(2, 4000, rng)
    own = X[y == 2][0]
    # Its own row keeps a third of all, where two borrowed ones stand beside it.
    assert 0.5 < rows[:, 1].std() < 1.0
    assert np.abs(np.median(rows, axis=0) - own).max() < 0.2
    found = np.corrcoef(rows.T)
    # A row alone would have all features rise and fall together.
    assert found[1, 2] > 0.7
    assert abs(found[0, 1]) < 0.3


def test_a_common_class_keeps_its_own_correlation() -> None:
    rng = np.random.default_rng(4)
    X, y = bent(800, rng)
    fitted = make_generator("copula").fit(X, y, rng)
    for label, wanted in ((0, 0.9), (1, -0.7)):
        logs = np.log(np.maximum(fitted.sample(label, 4000, rng) - 3.0 * label, 1e-3))
        # .02 for the 800 rows it was learned from, and ten borrowed ones.
        assert np.corrcoef(logs.T)[0, 1] == pytest.approx(wanted, abs=0.05)


def test_no_value_lies_beyond_the_outermost_one() -> None:
    X, y = bent(100, np.random.default_rng(5))
    frame = framed(X, y, space="pooled")
    far = frame.rows(np.full((1, 2), 9.0), 0)
    assert (far <= X.max(axis=0)).all()
