"""Predictions come back from their table as they went."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.evaluation.predictions import Predictions
from sts.reports.predictions import (
    NETWORK_FEATURES,
    read_network_features,
    read_predictions,
    write_network_features,
    write_predictions,
)
from tests.evaluation.worlds import make_predictions


def assert_same(one: Predictions, other: Predictions) -> None:
    assert one.classes == other.classes
    for name in ("specimen_id", "dataset", "truth", "probabilities"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name


def test_what_is_written_is_read_to_the_last_digit(tmp_path: Path) -> None:
    predictions = make_predictions(200)
    write_predictions(tmp_path / "predictions.csv", predictions)
    assert_same(read_predictions(tmp_path / "predictions.csv"), predictions)


def test_what_is_not_known_stays_empty(tmp_path: Path) -> None:
    predictions = make_predictions(2, truth=np.array([-1, 3]), dataset=np.array(["", "mine"]))
    write_predictions(tmp_path / "predictions.csv", predictions)
    row = read_csv(tmp_path / "predictions.csv", [])[0]
    assert row["truth"] == row["dataset"] == ""
    assert_same(read_predictions(tmp_path / "predictions.csv"), predictions)


def test_the_columns_are_those_of_the_design(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.csv", make_predictions(1))
    header = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == (
        "specimen_id,dataset,truth,prediction,probability_Pvalb,probability_Excitatory,"
        "probability_Vip/Lamp5,probability_Sst"
    )


def test_donors_are_written_where_one_is_known_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    known = make_predictions(3, donor_id=np.array(["d1", "", "=d2"]))
    write_predictions(path, known)
    assert read_predictions(path).donors.tolist() == ["d1", "", "=d2"]
    write_predictions(path, make_predictions(3, donor_id=np.array(["", "", ""])))
    assert "donor_id" not in path.read_text(encoding="utf-8")
    assert read_predictions(path).donors.tolist() == ["", "", ""]


def test_no_cell_of_the_table_is_a_formula(tmp_path: Path) -> None:
    """Ids and names come from files of others (CWE-1236)."""
    hostile = make_predictions(
        2,
        specimen_id=np.array(["=HYPERLINK(1)", "-7"]),
        dataset=np.array(["@SUM(A1)", "+1"]),
        classes=("=a", "b,\"c'"),
        truth=np.array([0, 1]),
    )
    write_predictions(tmp_path / "predictions.csv", hostile)
    text = (tmp_path / "predictions.csv").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        assert not any(cell.startswith(("=", "+", "@")) for cell in line.split(","))
        assert line.startswith("'")
    assert_same(read_predictions(tmp_path / "predictions.csv"), hostile)


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


TABLE = """specimen_id,dataset,truth,prediction,probability_a,probability_b
1,x,a,a,0.75,0.25
2,x,b,a,0.5,0.5
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swap("x,a,a", "x,c,a"), "unknown truth of specimen 1 'c'"),
        (swap("x,a,a", "x,a,c"), "unknown prediction of specimen 1 'c'"),
        (swap("x,a,a", "x,a,b"), "specimen 1 is predicted as 'b' where 'a' is more probable"),
        (swap("x,a,a", "x,a,"), "specimen 1 is predicted as '' where 'a' is more probable"),
        (swap("0.75", "0.7x"), "a probability of specimen 1 is not a number"),
        (swap("0.75", ""), "a probability of specimen 1 is not a number"),
        (swap("0.75", "nan"), "the probabilities of specimen 1 are"),
        (swap("0.75", "0.85"), "the probabilities of specimen 1 are"),
        (swap("\n2,", "\n1,"), "specimen 1 is predicted 2 times"),
        (swap("truth", "true"), "no column 'truth'"),
        (lambda text: text.replace("probability_", "share_"), "no column probability_"),
        (lambda text: text.splitlines()[0], "no cell in"),
    ],
)
def test_an_edited_table_is_refused_by_file_and_cell(
    tmp_path: Path, change: Callable[[str], str], words: str
) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(TABLE, encoding="utf-8")
    assert len(read_predictions(path)) == 2
    path.write_text(change(TABLE), encoding="utf-8")
    with pytest.raises(StsError, match=words) as refused:
        read_predictions(path)
    assert str(path) in str(refused.value)


def test_features_of_a_network_come_back(tmp_path: Path) -> None:
    assert read_network_features(tmp_path, 2) is None
    write_network_features(tmp_path, None)
    assert read_network_features(tmp_path, 2) is None
    features = np.array([[0.5, 1.25, -3.0], [7.0, 0.0, 2.5]])
    write_network_features(tmp_path, features)
    found = read_network_features(tmp_path, 2)
    assert found is not None
    assert np.array_equal(found, features)


@pytest.mark.parametrize("bad", ["rows", "type", "objects", "text"])
def test_other_arrays_are_no_features(tmp_path: Path, bad: str) -> None:
    path = tmp_path / NETWORK_FEATURES
    if bad == "text":
        path.write_text("no array")
    else:
        array: object = np.zeros((3 if bad == "rows" else 2, 4), dtype=np.float32)
        array = {"type": np.zeros((2, 4)), "objects": np.array([[None], [None]])}.get(bad, array)
        np.save(path, array)
    with pytest.raises(StsError, match=r"features\.npy"):
        read_network_features(tmp_path, 2)


def test_of_equally_probable_classes_either_may_stand_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(TABLE.replace("2,x,b,a", "2,x,b,b"), encoding="utf-8")
    assert len(read_predictions(path)) == 2
