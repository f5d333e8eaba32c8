"""A classifier carried over to another laboratory: as it is, brought to scale, with some labels."""

import numpy as np
import pytest

from sts.base.types import Floats, Ints
from sts.tabular.adaptation import AS_MEASURED, CarriedClassifier, adapt

CLASSES = 3
FEATURES = 6
CENTRES = 2.5 * np.random.default_rng(1).normal(size=(CLASSES, FEATURES))
# Solution, temperature and program differ: a constant for each feature, larger than its spread.
OFFSET = np.array([3.0, -4.0, 2.0, 5.0, -3.0, 4.0])


def draw(cells: int, seed: int) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, size=cells)
    return CENTRES[y] + rng.normal(size=(cells, FEATURES)), y


@pytest.fixture(scope="module")
def carried() -> CarriedClassifier:
    return CarriedClassifier(classes=CLASSES).fit(*draw(600, 0))


def share_right(probabilities: Floats, y: Ints) -> float:
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=0, atol=1e-9)
    return float((probabilities.argmax(axis=1) == y).mean())


def label_rows(y: Ints, labels: int) -> Ints:
    return np.concatenate([np.flatnonzero(y == each)[:labels] for each in range(CLASSES)])


def test_a_batch_on_another_scale_is_brought_to_that_of_training(
    carried: CarriedClassifier,
) -> None:
    X, y = draw(400, 2)
    assert share_right(carried.predict(X), y) > 0.9
    assert share_right(carried.predict(X + OFFSET), y) < 0.7
    assert share_right(carried.predict_batch(X + OFFSET), y) > 0.9


def test_labels_find_out_whether_the_scale_is_another_one(carried: CarriedClassifier) -> None:
    X, y = draw(400, 3)
    rows = label_rows(y, 10)
    same = adapt(carried, X, X, rows, y[rows])
    as_measured = share_right(carried.predict(X), y)
    assert share_right(same.probabilities, y) >= as_measured - 0.01
    moved = adapt(carried, X + OFFSET, X, rows, y[rows])
    assert moved.scale != AS_MEASURED or moved.part == 1.0
    for found in (same, moved):
        assert share_right(found.probabilities, y) > 0.9


def test_labels_replace_a_classifier_that_knows_nothing(carried: CarriedClassifier) -> None:
    X, y = draw(400, 4)
    rows = label_rows(y, 20)
    # What is shared is noise; the features of its own tell the classes.
    noise = np.random.default_rng(5).normal(size=X.shape)
    found = adapt(carried, noise, X, rows, y[rows])
    assert found.part >= 0.75
    assert share_right(found.probabilities, y) > 0.9


def test_three_labels_a_class_change_little_where_the_classifier_is_right(
    carried: CarriedClassifier,
) -> None:
    X, y = draw(400, 6)
    rows = label_rows(y, 3)
    found = adapt(carried, X, X[:, :2], rows, y[rows])
    assert found.part <= 0.5
    assert share_right(found.probabilities, y) >= share_right(carried.predict(X), y) - 0.05


def test_more_labels_count_more(carried: CarriedClassifier) -> None:
    X, y = draw(400, 8)
    # Both classifiers know the same features, so that the number of labels decides.
    parts = [
        adapt(carried, X, X, rows, y[rows]).part for rows in (label_rows(y, 3), label_rows(y, 60))
    ]
    assert parts[0] <= 0.3
    assert parts[0] < parts[1]


def test_classes_that_training_lacks_have_no_probability() -> None:
    X, y = draw(300, 7)
    known = y < 2
    carried = CarriedClassifier(classes=CLASSES).fit(X[known], y[known])
    for found in (carried.predict(X), carried.predict_batch(X)):
        assert (found[:, 2] == 0).all()
