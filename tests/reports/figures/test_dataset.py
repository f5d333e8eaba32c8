"""Figures of a data set: every count, median and sweep is there, and their text can be read."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sts.base.types import CLASSES
from sts.reports.figures import dataset
from sts.reports.figures.dataset import FARTHEST, draw_medians, draw_overlay, draw_reasons
from sts.reports.figures.style import CLASS_COLOURS
from sts.signals.feature_names import FEATURES
from tests.reports.figures.drawn import assert_legible, keep_figures

STEM = Path("unused")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, dataset)


def test_the_bar_of_a_reason_is_as_long_as_its_count(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "no sweep at rheobase + 40 pA, which was looked for in every long square " * 2
    draw_reasons(STEM, {"no spike": {"excluded": 7}, long: {"excluded": 2, "failed": 1}, "": {}})
    (axes,) = drawn[0].axes
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [[7, 2, 0], [0, 1, 0]]
    assert [text.get_text() for text in axes.texts] == ["7", "3", "0"]
    assert_legible(drawn[0], monkeypatch)


def test_all_features_of_eight_sets_can_be_read(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    # Not formulas.
    names = ["set $\\nothing$", *(f"set {n}" for n in range(1, 8))]
    medians = {name: rng.normal(0, 1, len(FEATURES)).tolist() for name in names}
    medians[names[0]][:2] = [9.0, np.nan]
    draw_medians(STEM, FEATURES, medians)
    (axes,) = drawn[0].axes
    points = axes.lines[1]
    assert np.asarray(points.get_xdata())[0] == FARTHEST
    assert np.isnan(np.asarray(points.get_xdata())[1])
    looks = {(line.get_marker(), to_hex(line.get_color())) for line in axes.lines[1:]}
    assert len(looks) == len(medians)
    assert_legible(drawn[0], monkeypatch)


def test_each_class_has_its_sweeps_in_its_colour(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {name: np.full((3, 2, 48), -70.0 + at) for at, name in enumerate(CLASSES)}
    draw_overlay(STEM, groups | {"no class": np.zeros((1, 2, 48))}, rate_hz=40.0, onset_s=0.1)
    panels = drawn[0].axes
    assert len(panels) == 2 * 5
    assert {len(axes.lines) for axes in panels} == {3, 1}
    first = panels[0].lines[0]
    assert to_hex(first.get_color()).upper() == CLASS_COLOURS[CLASSES[0]]
    # The onset of the step is at 0.
    np.testing.assert_allclose(np.asarray(first.get_xdata())[4], 0.0, atol=1e-9)
    assert_legible(drawn[0], monkeypatch)
