"""What is lost without a feature, with intervals."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from sts.evaluation.bootstrap import Interval
from sts.reports.figures import importance
from sts.reports.figures.importance import draw_importance
from tests.reports.figures.drawn import assert_legible, keep_figures

LOSSES = (Interval(0.2, 0.15, 0.22), Interval(0.0, -0.01, 0.01))
NAMES = ("upstroke_downstroke_ratio_short_square", "tau")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, importance)


def test_it_is_written_as_png_and_svg(tmp_path: Path) -> None:
    paths = draw_importance(tmp_path / "x", NAMES, LOSSES, what="loss")
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert all(path.stat().st_size > 0 for path in paths)


def test_bars_are_losses_and_lines_their_intervals(drawn: list[Figure]) -> None:
    draw_importance(Path("x"), NAMES, LOSSES, what="loss")
    (axes,) = drawn[0].axes
    assert [bar.get_width() for bar in axes.patches] == [0.2, 0.0]
    assert [list(line.get_xdata()) for line in axes.lines[:2]] == [[0.15, 0.22], [-0.01, 0.01]]
    # The first feature is on top.
    low, high = axes.get_ylim()
    assert low > high


@pytest.mark.parametrize("count", [1, 20])
def test_its_text_can_be_read(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    names = [f"{NAMES[0]}_{number}" for number in range(count)]
    draw_importance(Path("x"), names, [LOSSES[0]] * count, what="balanced accuracy lost")
    assert_legible(drawn[0], monkeypatch)
