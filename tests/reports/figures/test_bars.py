"""Models side by side, each with its intervals and data sets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from sts.evaluation.bootstrap import Interval
from sts.reports.figures import bars
from sts.reports.figures.bars import SHOWN, ModelScores, draw_bars
from tests.reports.figures.drawn import assert_legible, keep_figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, bars)


CELLS = "1,118 held-out cells (PatchClamp 289, PatchSeq 829)"


def make_model(name: str, value: float = 0.9, **changed: Any) -> ModelScores:
    def around(middle: float) -> dict[str, Interval]:
        return {score: Interval(middle, middle - 0.03, middle + 0.02) for score in SHOWN}

    parts: dict[str, Any] = {
        "scores": around(value),
        "by_dataset": {"PatchClamp": around(value - 0.08), "PatchSeq": around(value + 0.02)},
    }
    return ModelScores(name=name, **{**parts, **changed})


def draw(models: list[ModelScores], **changed: Any) -> list[Path]:
    return draw_bars(Path("x"), models, cells=CELLS, **changed)


def test_it_is_written_as_png_and_svg(tmp_path: Path) -> None:
    paths = draw_bars(tmp_path / "bars", [make_model("ResNet18")], cells=CELLS)
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert all(path.stat().st_size > 0 for path in paths)


def test_above_the_bars_stands_of_which_cells_they_are(drawn: list[Figure]) -> None:
    draw([make_model("a")])
    assert drawn[0].get_suptitle() == CELLS


def test_bars_begin_at_0_and_end_at_the_score(drawn: list[Figure]) -> None:
    draw([make_model("a", 0.9), make_model("b", 0.8)])
    for axes in drawn[0].axes:
        assert axes.get_xlim() == (0.0, 1.0)
        assert [bar.get_x() for bar in axes.patches] == [0.0] * 2
        assert [bar.get_width() for bar in axes.patches] == [0.9, 0.8]


def test_each_interval_lies_on_its_bar_and_is_told(drawn: list[Figure]) -> None:
    model = make_model("a")
    draw([model], chance=None)
    axes = drawn[0].axes[0]
    (line,) = [line for line in axes.get_lines() if line.get_marker() == "None"]
    (bar,), (text,), interval = axes.patches, axes.texts, model.scores[SHOWN[0]]
    assert list(line.get_xdata()) == [interval.low, interval.high]
    assert bar.get_y() < line.get_ydata()[0] < bar.get_y() + bar.get_height()
    assert text.get_text() == interval.in_words()
    assert text.get_position()[0] > 1.0


def test_the_data_sets_stand_on_the_bar(drawn: list[Figure]) -> None:
    model = make_model("a")
    draw([model])
    axes = drawn[0].axes[1]
    (bar,) = axes.patches
    marked = [line for line in axes.get_lines() if line.get_marker() != "None"]
    assert [line.get_xdata()[0] for line in marked] == [
        model.by_dataset[name][SHOWN[1]].value for name in ("PatchClamp", "PatchSeq")
    ]
    for line in marked:
        assert bar.get_y() < line.get_ydata()[0] < bar.get_y() + bar.get_height()
    assert len({line.get_marker() for line in marked}) == 2


def test_a_mark_at_1_is_whole(drawn: list[Figure]) -> None:
    draw([make_model("a", 0.98)])
    for axes in drawn[0].axes:
        marked = [line for line in axes.get_lines() if line.get_marker() != "None"]
        assert marked
        assert not any(line.get_clip_on() for line in marked)


def test_the_legend_names_what_is_there(drawn: list[Figure]) -> None:
    draw([make_model("a")])
    draw([make_model("a", by_dataset={})], chance=None)
    names = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in drawn]
    assert names[0] == ["all cells", "95 % interval", "PatchClamp", "PatchSeq", "guessing"]
    assert names[1] == ["all cells", "95 % interval"]


def test_a_model_that_lacks_a_score_leaves_its_row_empty(drawn: list[Figure]) -> None:
    nothing = Interval(np.nan, np.nan, np.nan)
    draw([make_model("a", scores={}), make_model("b", scores={SHOWN[0]: nothing})])
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == ["a", "b"]
    assert "–" in [text.get_text() for text in drawn[0].axes[0].texts]


@pytest.mark.parametrize("models", [1, 4, 10])
def test_no_text_lies_on_another(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, models: int
) -> None:
    draw([make_model(f"InceptionV3 FULL {index} (best of 50 trials)") for index in range(models)])
    assert_legible(drawn[0], monkeypatch)
