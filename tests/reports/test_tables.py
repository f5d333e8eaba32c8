"""Tables hold every figure, each beside that of its data set."""

import numpy as np
import pytest

from sts.evaluation.compare import compare
from sts.evaluation.predictions import SCORES
from sts.evaluation.scores import Scores, by_dataset
from sts.reports.tables import (
    cells_compared,
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


def test_the_headline_has_value_and_interval(scores: dict[str, Scores]) -> None:
    name, value, remark = headline(scores["pooled"]).facts[0]
    interval = scores["pooled"].balanced_accuracy
    assert (name, value) == ("balanced accuracy", f"{interval.value:.3f}")
    assert remark == f"{interval.low:.3f} to {interval.high:.3f} (95 %)"


def test_notes_say_of_which_cells_they_speak(scores: dict[str, Scores]) -> None:
    notes = notes_on_scores(scores)
    assert len(notes) == sum(len(one.notes) for one in scores.values()) > 0
    assert any(note.startswith("PatchClamp: few cells of class") for note in notes)


def test_the_calibration_error_stands_beside_that_of_perfect_calibration(
    scores: dict[str, Scores],
) -> None:
    error = scores["pooled"].ece
    name, value, remark = headline(scores["pooled"]).facts[-1]
    assert (name, value) == (SCORES["ece"], f"{error.value:.3f}")
    assert remark == (
        f"perfect calibration at this n: mean {error.perfect_mean:.3f}, 95 % below "
        f"{error.perfect_high:.3f}"
    )
    table = score_table(scores)
    assert table.rows[-1] == [SCORES["ece"], *(one.ece.in_brief() for one in scores.values())]
    assert "that perfect calibration would show" in table.caption


def test_a_comparison_names_its_cells_and_those_that_do_not_count() -> None:
    first, second = (make_predictions(60, noise=noise) for noise in (1, 2))
    found = compare(first, second.rows(np.arange(2, 60)), rng=np.random.default_rng(1), resamples=5)
    both, left_out = cells_compared(found)
    counts = np.bincount(first.truth[2:], minlength=4)
    origins = [int((first.dataset[2:] == name).sum()) for name in ("PatchClamp", "PatchSeq")]
    assert both == (
        "Compared on the 58 cells of known class that both have predicted (PatchClamp "
        f"{origins[0]}, PatchSeq {origins[1]}): Pvalb {counts[0]}, Excitatory {counts[1]}, "
        f"Vip/Lamp5 {counts[2]}, Sst {counts[3]}."
    )
    assert left_out.startswith("2 cells are in the first run only, such as ")


def test_a_verdict_names_the_better_run() -> None:
    run = make_predictions(60, skill=0.5)
    comparison = compare(run, perfect(run), rng=np.random.default_rng(1), resamples=50)
    table = difference_table(comparison, first="LightGBM", second="ResNet18")
    assert len(table.rows) == 3 * len(SCORES)
    assert table.columns[3:5] == ["LightGBM", "ResNet18"]
    verdicts = {row[0]: row[-1] for row in table.rows}
    assert verdicts.pop(SCORES["ece"]) == "no verdict"
    assert set(verdicts.values()) == {"ResNet18 is better"}
    (row,) = (row for row in table.rows if row[:2] == [SCORES["ece"], "pooled"])
    assert row[3:5] == [each.in_brief() for each in comparison.groups["pooled"].calibration]
    assert "[" not in row[5]
    assert "ResNet18 minus LightGBM" in table.caption
    same = compare(run, run, rng=np.random.default_rng(1), resamples=50)
    assert difference_table(same, first="a", second="b").rows[0][-1] == "cannot tell"


def test_settings_have_their_full_names_to_the_last_digit() -> None:
    settings = {"batch": 32, "train": {"rate": 0.00123456789, "sizes": [1, 2]}, "storage": None}
    assert settings_table(settings).rows == [
        ["batch", "32"],
        ["train.rate", "0.00123456789"],
        ["train.sizes", "1, 2"],
        ["storage", None],
    ]
