"""Scores of several series in panels."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from sts.evaluation.bootstrap import Interval
from sts.reports.figures import transfer
from sts.reports.figures.transfer import COLOURS, MARKERS, ScorePanel, draw_transfer
from tests.reports.figures.drawn import assert_legible, keep_figures

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


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, transfer)


def test_it_is_written_as_png_and_svg(tmp_path: Path) -> None:
    paths = draw_transfer(tmp_path / "x", [make_panel()])
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert all(path.stat().st_size > 0 for path in paths)


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
def test_its_text_can_be_read(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, series: int, rows: int
) -> None:
    draw_transfer(Path("x"), [make_panel(series, rows), make_panel(series, 1, title="Another")])
    assert_legible(drawn[0], monkeypatch)


def test_there_are_as_many_colours_as_marks() -> None:
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(COLOURS)
