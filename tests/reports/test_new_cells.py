"""The table and the page of PREDICT: the same for every model, and nothing is left out."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.reports.new_cells import (
    NEW_CELL_COLUMNS,
    Answers,
    PredictedCell,
    Reason,
    add_answers,
    write_new_cells,
)
from sts.reports.viewer.answers import read_answers

REASON = Reason(
    feature="threshold_i_long_square",
    words="rheobase 210 pA",
    value=210.0,
    lower=0.904,
    higher=0.09,
    missing=0.0,
    contribution=0.7,
    label="Pvalb",
)


def change(**changed: object) -> Reason:
    return Reason(**{**vars(REASON), **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (REASON, "rheobase 210 pA, higher than 90 % of training cells: towards Pvalb"),
        (
            change(lower=0.1, higher=0.88),
            "rheobase 210 pA, lower than 88 % of training cells: towards Pvalb",
        ),
        (
            change(words="tau missing", value=math.nan, lower=0.0, higher=0.0, missing=0.034),
            "tau missing, as in 3 % of training cells: towards Pvalb",
        ),
        (
            change(words="missing_ramp yes", value=1.0, lower=0.75, higher=0.0),
            "missing_ramp yes, as in 25 % of training cells: towards Pvalb",
        ),
        (
            change(lower=1.0, higher=0.0),
            "rheobase 210 pA, higher than all training cells: towards Pvalb",
        ),
        # Only all of them are 100 %.
        (change(lower=0.999), "rheobase 210 pA, higher than 99 % of training cells: towards Pvalb"),
    ],
)
def test_a_reason_has_value_standing_and_direction(reason: Reason, words: str) -> None:
    assert reason.in_words() == words


def test_a_missing_stimulus_is_no_reason() -> None:
    lost = change(words="tau missing", value=math.nan, lower=0.0, higher=0.0)
    assert change(**{**vars(lost), "missing": 0.01}).is_missing_stimulus
    assert not change(**{**vars(lost), "missing": 0.2}).is_missing_stimulus
    told = {"words": "missing_ramp yes", "value": 1.0, "higher": 0.0}
    assert change(**told, lower=0.99).is_missing_stimulus
    assert not change(**told, lower=0.6).is_missing_stimulus
    assert not REASON.is_missing_stimulus


def found() -> list[PredictedCell]:
    return [
        PredictedCell(file="a.nwb", specimen_id="a"),
        PredictedCell(file="b.nwb", specimen_id="", status="failed", reason="is <b>not</b> NWB"),
        PredictedCell(file="c.nwb", specimen_id="c", notes=("step lasts 0.5 s",)),
        PredictedCell(file="d.nwb", specimen_id="d", status="excluded", reason="no spike"),
    ]


def answers(*, threshold: float = 2.0) -> Answers:
    return Answers(
        probabilities=np.array([[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1]]),
        distances=np.array([1.0, 3.0]),
        threshold=threshold,
        percentile=99.0,
        because=((REASON,), ()),
    )


def test_answers_find_their_cells_and_the_others_keep_their_reasons() -> None:
    cells = add_answers(found(), answers())
    assert [each.prediction for each in cells] == ["Vip/Lamp5", "", "Pvalb", ""]
    assert [each.unlike_training for each in cells] == [False, None, True, None]
    assert cells[2].warning() == (
        "c looks unlike the training cells (distance 3.0; 99 % of training cells are below 2.0)"
    )
    assert [each.reason for each in cells] == ["", "is <b>not</b> NWB", "", "no spike"]


def test_without_distances_no_cell_is_unlike_the_training_cells() -> None:
    (one, *_) = add_answers(found(), answers(threshold=math.nan))
    assert one.unlike_training is None
    assert one.warning() == ""


def test_table_and_page_hold_every_file(tmp_path: Path) -> None:
    write_new_cells(tmp_path, add_answers(found(), answers()), model="ResNet18-NONE")
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == NEW_CELL_COLUMNS
    assert [row["file"] for row in rows] == [each.file for each in found()]
    assert [row["unlike_training"] for row in rows] == ["False", "", "True", ""]
    assert rows[0]["because_1"] == REASON.in_words()
    assert rows[2]["notes"] == "step lasts 0.5 s"
    page = (tmp_path / "report.html").read_text()
    for told in ("a.nwb", "failed", "is &lt;b&gt;not&lt;/b&gt; NWB", "no spike", "c looks"):
        assert told in page


def test_sets_are_in_table_and_page_and_an_empty_one_is_not_a_missing_one(tmp_path: Path) -> None:
    sets = np.array([[False, True, True, False], [False] * 4])
    given = replace(answers(), sets=sets, coverage=0.8)
    write_new_cells(tmp_path, add_answers(found(), given), model="ResNet18-NONE")
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    wanted = ["Excitatory; Vip/Lamp5", "", "none", ""]
    assert [row["prediction_set"] for row in rows] == wanted
    page = (tmp_path / "report.html").read_text()
    assert "Excitatory; Vip/Lamp5" in page
    assert "of 80% of cells" in page
    shown = read_answers(tmp_path / "predictions.csv")
    assert (shown["a"].possible, shown["c"].possible) == (("Excitatory", "Vip/Lamp5"), ())
