"""A classifier carried over to another laboratory: as it is, aligned, self-trained, with labels."""

import numpy as np
import pytest

from sts.base.types import Floats, Ints
from sts.tabular.adaptation import CarriedClassifier, adapt

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


def test_self_training_learns_frequencies_and_features_of_the_laboratory(
    carried: CarriedClassifier,
) -> None:
    X, y = draw(600, 3)
    # Noise, another scale, few cells of two classes, and a feature that only this laboratory has.
    X += np.random.default_rng(9).normal(size=X.shape)
    kept = (y == 0) | (np.arange(len(y)) % 5 == 0)
    X, y = X[kept] + OFFSET, y[kept]
    own = np.column_stack([X, y + np.random.default_rng(4).normal(0, 0.4, len(y))])
    aligned = share_right(carried.predict_batch(X), y)
    shared = share_right(carried.predict_self_trained(X, X), y)
    assert aligned < shared < share_right(carried.predict_self_trained(X, own), y)


def test_a_cell_is_not_classified_by_a_forest_that_saw_it() -> None:
    # Classes cannot be told apart, and a forest recognises each cell that it saw.
    rng = np.random.default_rng(5)
    y = rng.integers(0, CLASSES, 300)
    carried = CarriedClassifier(classes=CLASSES).fit(rng.normal(size=(300, 1)), y)
    X = rng.normal(size=(300, 1))
    estimated = carried.predict_batch(X).argmax(axis=1)
    found = carried.predict_self_trained(X, rng.normal(size=(300, 1)))
    assert share_right(found, estimated) < 0.5


def test_few_cells_are_classified_without_self_training(carried: CarriedClassifier) -> None:
    X, _ = draw(6, 6)
    np.testing.assert_array_equal(carried.predict_self_trained(X, X), carried.predict_batch(X))


def test_labels_replace_a_classifier_that_knows_nothing() -> None:
    X, y = draw(400, 4)
    rows = label_rows(y, 20)
    # The features of its own tell the classes.
    nothing = np.random.default_rng(5).dirichlet(np.ones(CLASSES), size=len(y))
    found = adapt(nothing, X, rows, y[rows], seed=0)
    assert found.part >= 0.6
    assert share_right(found.probabilities, y) > 0.9


def test_three_labels_a_class_change_little_where_the_classifier_is_right(
    carried: CarriedClassifier,
) -> None:
    X, y = draw(400, 6)
    rows = label_rows(y, 3)
    unchanged = carried.predict(X)
    found = adapt(unchanged, X[:, :2], rows, y[rows], seed=0)
    assert found.part <= 0.5
    assert share_right(found.probabilities, y) >= share_right(unchanged, y) - 0.05


def test_more_labels_count_more(carried: CarriedClassifier) -> None:
    X, y = draw(400, 8)
    # Both classifiers know the same features, so that the number of labels decides.
    parts = [
        adapt(carried.predict(X), X, rows, y[rows], seed=0).part
        for rows in (label_rows(y, 3), label_rows(y, 60))
    ]
    assert parts[0] <= 0.3
    assert parts[0] < parts[1]


def test_classes_that_training_lacks_have_no_probability() -> None:
    X, y = draw(300, 7)
    known = y < 2
    carried = CarriedClassifier(classes=CLASSES).fit(X[known], y[known])
    for found in (
        carried.predict(X),
        carried.predict_batch(X),
        carried.predict_self_trained(X, X),
    ):
        assert (found[:, 2] == 0).all()
