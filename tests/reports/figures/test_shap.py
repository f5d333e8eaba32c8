"""Summary plots: every cell is drawn, and crowds show their size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from sts.base.types import CLASSES
from sts.reports.figures import shap
from sts.reports.figures.shap import MISSING, ClassContributions, draw_all, draw_top, swarm
from tests.reports.figures.drawn import assert_legible, keep_figures

NAMES = ("upstroke_downstroke_ratio_short_square", "tau", "missing_slow_trough_ramp")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, shap)


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
def test_it_is_written_as_png_and_svg(tmp_path: Path, draw: Any) -> None:
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
            values = np.sort(points[np.rint(points[:, 1]) == row, 0])
            np.testing.assert_array_equal(values, np.sort(each.contributions[:, row]))


def test_a_missing_value_is_grey_and_lies_below(drawn: list[Figure]) -> None:
    draw_top(Path("x"), make_classes())
    colours = drawn[0].axes[0].collections[0].get_facecolors()
    grey = (np.abs(colours - to_rgba(MISSING)) < 1e-9).all(axis=1)
    assert grey.tolist() == [True] * 5 + [False] * 175


@pytest.mark.parametrize("draw", [draw_top, draw_all])
@pytest.mark.parametrize("count", [1, 3, 5, 40])
def test_its_text_can_be_read(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, draw: Any, count: int
) -> None:
    names = tuple(f"slow_trough_t_short_square_{number}" for number in range(count))
    draw(Path("x"), make_classes(20, names=names))
    assert_legible(drawn[0], monkeypatch)


def test_a_crowd_is_wider_than_a_few() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.05, 200), rng.uniform(-3, 3, 20)])
    moved = swarm(values)
    assert np.abs(moved).max() == 1.0
    assert np.abs(moved[:200]).mean() > 4 * np.abs(moved[200:]).mean()


def test_points_of_one_place_do_not_lie_on_each_other() -> None:
    moved = swarm(np.zeros(9))
    assert sorted(moved) == pytest.approx(np.linspace(-1, 1, 9))


@pytest.mark.parametrize("values", [[], [0.5], [1.0, 1.0], [0.0, np.pi]])
def test_few_points_are_no_exception(values: list[float]) -> None:
    assert len(swarm(np.array(values))) == len(values)
