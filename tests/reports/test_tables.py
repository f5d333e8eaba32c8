"""Tables hold every figure, each beside that of its data set."""

import numpy as np
import pytest

from sts.evaluation.compare import compare
from sts.evaluation.metrics import SCORES
from sts.evaluation.scores import Scores, by_dataset
from sts.reports.tables import (
    class_table,
    difference_table,
    headline,
    notes_on_scores,
    score_table,
    settings_table,
)
from tests.evaluation.worlds import make_predictions, perfect


@pytest.fixture(scope="module")
def scores() -> dict[str, Scores]:
    return by_dataset(make_predictions(60), rng=np.random.default_rng(1), resamples=50)


def test_every_score_stands_beside_that_of_each_data_set(scores: dict[str, Scores]) -> None:
    table = score_table(scores)
    assert table.columns == ["score", "pooled", "PatchClamp", "PatchSeq"]
    assert [row[0] for row in table.rows] == ["cells", *SCORES.values()]
    assert table.rows[1][3] == scores["PatchSeq"].balanced_accuracy.in_words()
    assert table.rows[0][1] == "60"


def test_every_class_has_a_row_for_each_data_set(scores: dict[str, Scores]) -> None:
    table = class_table(scores)
    assert len(table.rows) == 4 * 3
    one = scores["PatchClamp"].per_class["Pvalb"]
    assert list(table.rows[1]) == [
        "Pvalb",
        "PatchClamp",
        one.support,
        one.precision.in_words(),
        one.recall.in_words(),
        one.f1.in_words(),
    ]


def test_the_headline_tells_value_and_interval(scores: dict[str, Scores]) -> None:
    name, value, remark = headline(scores["pooled"]).facts[0]
    interval = scores["pooled"].balanced_accuracy
    assert (name, value) == ("balanced accuracy", f"{interval.value:.3f}")
    assert remark == f"{interval.low:.3f} to {interval.high:.3f} (95 %)"


def test_notes_say_of_which_cells_they_speak(scores: dict[str, Scores]) -> None:
    notes = notes_on_scores(scores)
    assert len(notes) == sum(len(one.notes) for one in scores.values()) > 0
    assert any(note.startswith("PatchClamp: few cells of class") for note in notes)


def test_a_verdict_names_the_better_run() -> None:
    run = make_predictions(60, skill=0.5)
    comparison = compare(run, perfect(run), rng=np.random.default_rng(1), resamples=50)
    table = difference_table(comparison, first="LightGBM", second="ResNet18")
    assert len(table.rows) == 3 * len(SCORES)
    assert table.columns[3:5] == ["LightGBM", "ResNet18"]
    assert {row[-1] for row in table.rows} == {"ResNet18 is better"}
    assert "ResNet18 less LightGBM" in table.caption
    same = compare(run, run, rng=np.random.default_rng(1), resamples=50)
    assert difference_table(same, first="a", second="b").rows[0][-1] == "cannot tell"


def test_settings_are_told_by_their_full_names_to_the_last_digit() -> None:
    settings = {"batch": 32, "train": {"rate": 0.00123456789, "sizes": [1, 2]}, "storage": None}
    assert settings_table(settings).rows == [
        ["batch", "32"],
        ["train.rate", "0.00123456789"],
        ["train.sizes", "1, 2"],
        ["storage", None],
    ]
