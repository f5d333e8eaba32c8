"""Figures of scores show what was measured, with intervals, and their text can be read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from sts.base.types import CLASSES
from sts.evaluation.abstention import risk_coverage
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import Interval, Scores, by_dataset, score
from sts.reports.figures import scores
from sts.reports.figures.scores import (
    COMPARED_SCORES,
    SERIES_COLOURS,
    SERIES_MARKERS,
    ModelScores,
    ScorePanel,
    draw_bars,
    draw_confusion,
    draw_risk,
    draw_transfer,
)
from sts.reports.figures.style import CLASS_COLOURS
from tests.evaluation.worlds import make_predictions
from tests.reports.figures.drawn import assert_legible, keep_figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, scores)


CELLS = "1,118 held-out cells (PatchClamp 289, PatchSeq 829)"


def make_model(name: str, value: float = 0.9, **changed: Any) -> ModelScores:
    def around(middle: float) -> dict[str, Interval]:
        return {score: Interval(middle, middle - 0.03, middle + 0.02) for score in COMPARED_SCORES}

    parts: dict[str, Any] = {
        "scores": around(value),
        "by_dataset": {"PatchClamp": around(value - 0.08), "PatchSeq": around(value + 0.02)},
    }
    return ModelScores(name=name, **{**parts, **changed})


def draw_models(models: list[ModelScores], **changed: Any) -> list[Path]:
    return draw_bars(Path("x"), models, cells=CELLS, **changed)


def test_above_the_bars_stands_of_which_cells_they_are(drawn: list[Figure]) -> None:
    draw_models([make_model("a")])
    assert drawn[0].get_suptitle() == CELLS


def test_bars_begin_at_0_and_end_at_the_score(drawn: list[Figure]) -> None:
    draw_models([make_model("a", 0.9), make_model("b", 0.8)])
    for axes in drawn[0].axes:
        assert axes.get_xlim() == (0.0, 1.0)
        assert [bar.get_x() for bar in axes.patches] == [0.0] * 2
        assert [bar.get_width() for bar in axes.patches] == [0.9, 0.8]


def test_each_interval_lies_on_its_bar_and_is_reported(drawn: list[Figure]) -> None:
    model = make_model("a")
    draw_models([model], chance=None)
    axes = drawn[0].axes[0]
    (line,) = [line for line in axes.get_lines() if line.get_marker() == "None"]
    (bar,), (text,), interval = axes.patches, axes.texts, model.scores[COMPARED_SCORES[0]]
    assert list(line.get_xdata()) == [interval.low, interval.high]
    assert bar.get_y() < line.get_ydata()[0] < bar.get_y() + bar.get_height()
    assert text.get_text() == interval.in_words()
    assert text.get_position()[0] > 1.0


def test_the_data_sets_stand_on_the_bar(drawn: list[Figure]) -> None:
    model = make_model("a")
    draw_models([model])
    axes = drawn[0].axes[1]
    (bar,) = axes.patches
    marked = [line for line in axes.get_lines() if line.get_marker() != "None"]
    assert [line.get_xdata()[0] for line in marked] == [
        model.by_dataset[name][COMPARED_SCORES[1]].value for name in ("PatchClamp", "PatchSeq")
    ]
    for line in marked:
        assert bar.get_y() < line.get_ydata()[0] < bar.get_y() + bar.get_height()
    assert len({line.get_marker() for line in marked}) == 2


def test_a_mark_at_1_is_whole(drawn: list[Figure]) -> None:
    draw_models([make_model("a", 0.98)])
    for axes in drawn[0].axes:
        marked = [line for line in axes.get_lines() if line.get_marker() != "None"]
        assert marked
        assert not any(line.get_clip_on() for line in marked)


def test_the_legend_names_what_is_there(drawn: list[Figure]) -> None:
    draw_models([make_model("a")])
    draw_models([make_model("a", by_dataset={})], chance=None)
    names = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in drawn]
    assert names[0] == ["all cells", "95 % interval", "PatchClamp", "PatchSeq", "guessing"]
    assert names[1] == ["all cells", "95 % interval"]


def test_a_model_that_lacks_a_score_leaves_its_row_empty(drawn: list[Figure]) -> None:
    nothing = Interval(np.nan, np.nan, np.nan)
    draw_models([make_model("a", scores={}), make_model("b", scores={COMPARED_SCORES[0]: nothing})])
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == ["a", "b"]
    assert "–" in [text.get_text() for text in drawn[0].axes[0].texts]


@pytest.mark.parametrize("models", [1, 4, 10])
def test_no_text_of_bars_lies_on_another(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, models: int
) -> None:
    draw_models(
        [make_model(f"InceptionV3 FULL {index} (best of 50 trials)") for index in range(models)]
    )
    assert_legible(drawn[0], monkeypatch)


def scored(predictions: Predictions) -> Scores:
    return score(predictions, rng=np.random.default_rng(1), resamples=20)


def many_classes(count: int) -> Predictions:
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.full(count, 0.2), 400)
    return Predictions(
        specimen_id=np.arange(400).astype(str),
        dataset=np.full(400, ""),
        truth=rng.integers(count, size=400),
        probabilities=probabilities,
        classes=tuple(f"Inh_{index}" for index in range(count)),
    )


def squares_of(axes: Axes) -> np.ndarray:
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


def test_every_group_has_a_panel_with_its_cells_and_accuracy(drawn: list[Figure]) -> None:
    scores = by_dataset(make_predictions(), rng=np.random.default_rng(1), resamples=20)
    draw_confusion(Path("x"), scores)
    for axes, (name, one) in zip(drawn[0].axes, scores.items(), strict=True):
        assert axes.get_title(loc="left") == f"{name} · {one.cells:,} cells"
        words = [text.get_text() for text in axes.texts]
        assert f"balanced accuracy {one.balanced_accuracy.in_words()}" in words
        # 4 x 4 squares with two lines each, and the accuracy
        assert len(words) == 33


def test_the_number_in_a_square_is_how_many_of_the_row_are_taken_for_the_column(
    drawn: list[Figure],
) -> None:
    truth = np.repeat([0, 3], [4, 2])
    probabilities = np.eye(4)[[0, 0, 0, 1, 3, 3]]
    draw_confusion(
        Path("x"), {"all": scored(make_predictions(6, truth=truth, probabilities=probabilities))}
    )
    at = {
        (round(text.get_position()[0]), round(text.get_position()[1]), text.get_text())
        for text in drawn[0].axes[0].texts
    }
    assert {(0, 0, "75 %"), (0, 0, "3"), (1, 0, "25 %"), (1, 0, "1"), (3, 3, "100 %")} <= at
    # no cell is of the two other classes
    assert not any(row in (1, 2) and words.endswith("%") for _, row, words in at)


def test_a_fuller_square_is_darker_and_of_the_colour_of_its_class(drawn: list[Figure]) -> None:
    draw_confusion(Path("x"), {"all": scored(make_predictions(skill=3.0))})
    squares = squares_of(drawn[0].axes[0])
    for row, label in enumerate(CLASSES):
        assert squares[row].sum(axis=-1).argmin() == row
        missing = 1 - squares[row, row]
        wanted = 1 - np.array(to_rgb(CLASS_COLOURS[label]))
        # the same hue: in proportion up to rounding
        assert missing / missing.max() == pytest.approx(wanted / wanted.max(), abs=1e-12)


def test_dark_text_is_legible_on_the_fullest_square_of_every_class(drawn: list[Figure]) -> None:
    sure = make_predictions(4, truth=np.arange(4), probabilities=np.eye(4))
    draw_confusion(Path("x"), {"all": scored(sure)})
    squares = squares_of(drawn[0].axes[0])[np.arange(4), np.arange(4)]
    linear = np.where(squares <= 0.04045, squares / 12.92, ((squares + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    # ink is #222222; 4.5 is what WCAG asks of text
    assert ((luminance + 0.05) / (0.0159 + 0.05) >= 4.5).all()


@pytest.mark.parametrize("groups", [1, 4])
def test_no_text_of_matrices_lies_on_another(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    one = scored(make_predictions(1118, skill=3.0))
    draw_confusion(Path("x"), {f"data set {index}": one for index in range(groups)})
    assert_legible(drawn[0], monkeypatch)


def test_many_classes_remain_legible(drawn: list[Figure], monkeypatch: pytest.MonkeyPatch) -> None:
    draw_confusion(Path("x"), {"pooled": scored(many_classes(17))})
    assert_legible(drawn[0], monkeypatch)


FOUND = Interval(0.8, 0.7, 0.85)
LESS = Interval(0.5, 0.45, 0.55)


def make_panel(series: int = 2, rows: int = 3, *, title: str = "Trained on one") -> ScorePanel:
    names = [f"PatchClamp number {row} → PatchSeq" for row in range(rows)]
    return ScorePanel(
        title=title,
        label="weighted F1",
        rows=names,
        marks={f"features {at}": dict.fromkeys(names, FOUND) for at in range(series)},
    )


def test_marks_are_scores_and_lines_their_intervals(drawn: list[Figure]) -> None:
    panel = ScorePanel(
        title="x", label="y", rows=["a", "b"], marks={"one": {"a": FOUND, "b": LESS}}, lowest=0.4
    )
    draw_transfer(Path("x"), [panel])
    (axes,) = drawn[0].axes
    intervals, marks = axes.get_lines()[::2], axes.get_lines()[1::2]
    assert [list(line.get_xdata()) for line in intervals] == [[0.7, 0.85], [0.45, 0.55]]
    assert [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in marks] == [(0.8, 0), (0.5, 1)]
    assert [text.get_text() for text in axes.texts] == ["0.800", "0.500"]
    assert axes.get_xlim() == (0.4, 1.0)
    # The first row is on top.
    low, high = axes.get_ylim()
    assert low > high


def test_a_series_looks_the_same_in_every_panel(drawn: list[Figure]) -> None:
    other = ScorePanel(title="x", label="y", rows=["a"], marks={"features 1": {"a": LESS}})
    draw_transfer(Path("x"), [make_panel(2, 1), other])
    first, second = drawn[0].axes
    looks = [(line.get_color(), line.get_marker()) for line in first.get_lines()]
    assert [(line.get_color(), line.get_marker()) for line in second.get_lines()] == (looks[2:])
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == [
        "features 0",
        "features 1",
    ]


def test_a_row_that_a_series_lacks_stays_empty(drawn: list[Figure]) -> None:
    panel = ScorePanel(title="x", label="y", rows=["a", "b"], marks={"one": {"b": FOUND}})
    draw_transfer(Path("x"), [panel])
    (mark,) = drawn[0].axes[0].get_lines()[1::2]
    assert mark.get_ydata()[0] == 1


@pytest.mark.parametrize(("series", "rows"), [(1, 1), (5, 6)])
def test_text_of_series_can_be_read(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, series: int, rows: int
) -> None:
    draw_transfer(Path("x"), [make_panel(series, rows), make_panel(series, 1, title="Another")])
    assert_legible(drawn[0], monkeypatch)


def test_there_are_as_many_colours_as_marks() -> None:
    assert len(set(SERIES_COLOURS)) == len(set(SERIES_MARKERS)) == len(SERIES_COLOURS)


def test_a_curve_of_risk_ends_at_the_share_of_wrong_calls(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    sure = np.array([0.9, 0.8, 0.7, 0.6])
    right = {"class": np.array([1, 1, 1, 0], bool), "T-type": np.array([1, 0, 1, 0], bool)}
    curves = {name: risk_coverage(sure, each) for name, each in right.items()}
    draw_risk(Path("x"), curves)
    (axes,) = drawn[0].axes
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    assert list(lines) == list(right)
    for name, line in lines.items():
        assert (line.get_xdata()[-1], line.get_ydata()[-1]) == (1.0, (~right[name]).mean())
    assert_legible(drawn[0], monkeypatch)
