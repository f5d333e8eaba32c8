"""Predictions are checked where they are made."""

import numpy as np
import pytest

from sts.base.errors import StsError
from tests.evaluation.worlds import make_predictions


def test_the_prediction_is_the_most_probable_class() -> None:
    predictions = make_predictions(3, probabilities=np.eye(4)[[2, 0, 3]])
    assert predictions.prediction.tolist() == [2, 0, 3]


def test_rows_keep_every_cell_together() -> None:
    predictions = make_predictions(20)
    some = predictions.rows(np.array([7, 3]))
    assert some.specimen_id.tolist() == predictions.specimen_id[[7, 3]].tolist()
    assert (some.probabilities == predictions.probabilities[[7, 3]]).all()
    assert (some.truth == predictions.truth[[7, 3]]).all()


def test_a_donor_stays_with_its_cell_and_none_is_needed() -> None:
    predictions = make_predictions(3, donor_id=np.array(["a", "", "b"]))
    assert predictions.rows(np.array([2, 0])).donors.tolist() == ["b", "a"]
    assert make_predictions(2).rows(np.array([1])).donors.tolist() == [""]
    with pytest.raises(ValueError, match="donor_id must have shape"):
        make_predictions(3, donor_id=np.array(["a"]))


def test_cells_of_unknown_class_are_not_scorable_and_the_rest_is_ordered() -> None:
    predictions = make_predictions(4, truth=np.array([1, -1, 2, 0]))
    assert len(predictions.scorable()) == 3
    assert predictions.specimen_id[1] not in predictions.scorable().specimen_id
    assert (np.diff(predictions.scorable().specimen_id.astype(int)) > 0).all()


@pytest.mark.parametrize(
    "row", [[np.nan, 0.5, 0.3, 0.2], [-0.1, 0.6, 0.3, 0.2], [0.9, 0.9, 0.1, 0.1], [np.inf, 0, 0, 0]]
)
def test_what_is_no_distribution_is_refused_by_the_name_of_the_cell(row: list[float]) -> None:
    probabilities = np.full((5, 4), 0.25)
    probabilities[3] = row
    specimen_id = np.array(["a", "b", "c", "d", "e"])
    with pytest.raises(StsError, match="probabilities of specimen d are"):
        make_predictions(5, specimen_id=specimen_id, probabilities=probabilities)


def test_a_softmax_in_float32_is_good_enough() -> None:
    single = make_predictions(1000).probabilities.astype(np.float32)
    assert len(make_predictions(1000, probabilities=single)) == 1000


def test_a_cell_predicted_twice_is_refused() -> None:
    with pytest.raises(StsError, match="specimen 8 is predicted 2 times"):
        make_predictions(3, specimen_id=np.array(["8", "9", "8"]))


@pytest.mark.parametrize("name", ["dataset", "truth", "probabilities"])
def test_arrays_of_other_lengths_are_a_mistake_of_the_caller(name: str) -> None:
    longer = getattr(make_predictions(6), name)
    with pytest.raises(ValueError, match=f"{name} must have shape"):
        make_predictions(5, **{name: longer})


@pytest.mark.parametrize("index", [-2, 4])
def test_a_truth_outside_the_classes_is_a_mistake_of_the_caller(index: int) -> None:
    with pytest.raises(ValueError, match="truth must lie between -1 and 3"):
        make_predictions(1, truth=np.array([index]))
