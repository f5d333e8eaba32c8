"""Figures of features: summaries of SHAP values, and what a model loses without a feature."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from sts.base.types import CLASSES
from sts.evaluation.scores import Interval
from sts.reports.figures import explanations
from sts.reports.figures.explanations import (
    MISSING,
    ClassContributions,
    draw_all,
    draw_importance,
    draw_top,
)
from tests.reports.figures.drawn import assert_legible, keep_figures

NAMES = ("upstroke_downstroke_ratio_short_square", "tau", "missing_slow_trough_ramp")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, explanations)


def make_classes(cells: int = 60, *, names: tuple[str, ...] = NAMES) -> list[ClassContributions]:
    rng = np.random.default_rng(0)
    ranks = rng.random((cells, len(names)))
    ranks[:5, len(names) // 2] = np.nan
    return [
        ClassContributions(
            label=label,
            names=names,
            contributions=rng.normal(size=(cells, len(names))),
            ranks=ranks,
        )
        for label in CLASSES
    ]


def points_of(axes: Any) -> np.ndarray:
    return np.concatenate([np.asarray(dots.get_offsets()) for dots in axes.collections])


@pytest.mark.parametrize("draw", [draw_top, draw_all])
def test_summaries_are_written_as_png_and_svg(tmp_path: Path, draw: Any) -> None:
    paths = draw(tmp_path / "shap", make_classes())
    assert [path.suffix for path in paths] == [".png", ".svg"]
    # Points are pixels in either: thousands of shapes would make the SVG slow.
    assert paths[1].stat().st_size < 400_000


@pytest.mark.parametrize("draw", [draw_top, draw_all])
def test_every_cell_is_a_point_at_its_value_in_the_row_of_its_feature(
    drawn: list[Figure], draw: Any
) -> None:
    classes = make_classes()
    draw(Path("x"), classes)
    panels = drawn[0].axes[: len(CLASSES)]
    for axes, each in zip(panels, classes, strict=True):
        points = points_of(axes)
        assert len(points) == each.contributions.size
        for row in range(len(NAMES)):
            # The first feature stands on top.
            height = len(NAMES) - 1 - row
            values = np.sort(points[np.rint(points[:, 1]) == height, 0])
            np.testing.assert_array_equal(values, np.sort(each.contributions[:, row]))


def test_a_missing_value_is_grey_and_lies_below(drawn: list[Figure]) -> None:
    draw_top(Path("x"), make_classes())
    # Two a feature, from the last one up: missing values, and the others on top of them.
    missing = drawn[0].axes[0].collections[::2]
    assert [len(np.asarray(dots.get_offsets())) for dots in missing] == [0, 5, 0]
    np.testing.assert_allclose(missing[1].get_facecolors()[0], to_rgba(MISSING), atol=1e-9)


def test_no_random_state_is_touched_and_the_picture_is_the_same_again(tmp_path: Path) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (draw_top(tmp_path / name, make_classes())[0] for name in "ab")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("draw", [draw_top, draw_all])
@pytest.mark.parametrize("count", [1, 3, 5, 40])
def test_text_of_summaries_can_be_read(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, draw: Any, count: int
) -> None:
    names = tuple(f"slow_trough_t_short_square_{number}" for number in range(count))
    draw(Path("x"), make_classes(20, names=names))
    assert_legible(drawn[0], monkeypatch)


LOSSES = (Interval(0.2, 0.15, 0.22), Interval(0.0, -0.01, 0.01))
LONG_NAMES = ("upstroke_downstroke_ratio_short_square", "tau")


def test_bars_are_losses_and_lines_their_intervals(drawn: list[Figure]) -> None:
    draw_importance(Path("x"), LONG_NAMES, LOSSES, what="loss")
    (axes,) = drawn[0].axes
    assert [bar.get_width() for bar in axes.patches] == [0.2, 0.0]
    assert [list(line.get_xdata()) for line in axes.lines[:2]] == [[0.15, 0.22], [-0.01, 0.01]]
    # The first feature is on top.
    low, high = axes.get_ylim()
    assert low > high


@pytest.mark.parametrize("count", [1, 20])
def test_text_of_losses_can_be_read(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    names = [f"{LONG_NAMES[0]}_{number}" for number in range(count)]
    draw_importance(Path("x"), names, [LOSSES[0]] * count, what="balanced accuracy lost")
    assert_legible(drawn[0], monkeypatch)
