"""Data sets come to one scale, and what tells classes apart stays."""

import numpy as np
import pytest

from sts.base.types import Floats, Ints
from sts.tabular.set_shift import SetShift

PLACES = np.array([[0.0, 0.0], [4.0, 1.0], [8.0, -1.0]])
OFFSET = np.array([3.0, -2.0])


def draw(counts: tuple[int, ...], seed: int) -> tuple[Floats, Ints]:
    """Return cells of three classes, so many of each."""
    y = np.repeat(np.arange(3), counts)
    return np.random.default_rng(seed).normal(size=(len(y), 2)) + PLACES[y], y


def nearest(X: Floats) -> Floats:
    distance = ((X[:, None] - PLACES) ** 2).sum(axis=2)
    odds = np.exp(-distance / 2)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


HERE, HERE_Y = draw((200, 200, 200), 0)
THERE, THERE_Y = draw((20, 300, 80), 1)
X = np.concatenate([HERE, THERE + OFFSET])
Y = np.concatenate([HERE_Y, THERE_Y])
SETS = np.repeat(["here", "there"], [len(HERE), len(THERE)])
# Medians of some hundred cells of deviation 1.
CLOSE = 0.25


def test_the_offset_of_a_set_is_found_whatever_its_classes() -> None:
    fitted = SetShift(reference="here").fit(X, Y, SETS)
    assert np.allclose(fitted.shifts_["here"], 0.0)
    assert np.allclose(fitted.shifts_["there"], OFFSET, atol=CLOSE)
    moved = fitted.transform(X, SETS)
    assert np.allclose(moved[SETS == "there"], THERE, atol=CLOSE)


def test_a_set_of_one_class_keeps_its_class() -> None:
    alone = Y == 1
    chosen = (SETS == "here") | alone
    fitted = SetShift(reference="here").fit(X[chosen], Y[chosen], SETS[chosen])
    # Plain medians would bring it to the middle of all classes.
    assert np.allclose(fitted.shifts_["there"], OFFSET, atol=CLOSE)


def test_a_batch_without_labels_finds_its_shift() -> None:
    fitted = SetShift().fit(HERE, HERE_Y)
    moved = fitted.transform_batch(THERE + OFFSET, nearest)
    assert np.allclose(moved, THERE, atol=2 * CLOSE)
    right = (nearest(moved).argmax(axis=1) == THERE_Y).mean()
    as_it_came = (nearest(THERE + OFFSET).argmax(axis=1) == THERE_Y).mean()
    assert right > 0.9 > as_it_came + 0.2


def test_a_cell_of_no_named_set_stays_as_it_is() -> None:
    fitted = SetShift(reference="here").fit(X, Y, SETS)
    assert np.array_equal(fitted.transform(X[:3]), X[:3])
    assert np.array_equal(fitted.transform(X[:3], ["elsewhere"] * 3), X[:3])


def test_missing_values_stay_missing_and_a_feature_that_a_set_lacks_is_not_moved() -> None:
    cells = X.copy()
    cells[SETS == "there", 1] = np.nan
    cells[0, 0] = np.nan
    fitted = SetShift(reference="here").fit(cells, Y, SETS)
    assert fitted.shifts_["there"][1] == 0.0
    assert np.array_equal(np.isnan(fitted.transform(cells, SETS)), np.isnan(cells))


def test_marks_of_few_values_are_not_moved() -> None:
    cells = np.column_stack([X, SETS == "there"])
    assert SetShift(reference="here").fit(cells, Y, SETS).shifts_["there"][2] == 0.0


def test_a_reference_without_a_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="no cell is of the reference set"):
        SetShift(reference="elsewhere").fit(X, Y, SETS)
