"""Figures of calcium show what they are given, on shared scales, with legible words."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from sts.reports.figures import calcium
from sts.reports.figures.calcium import (
    MOST_NEURONS,
    HistogramPanel,
    TracePanel,
    draw_histograms,
    draw_matrices,
    draw_traces,
    draw_training,
)
from tests.reports.figures.drawn import assert_legible, keep_figures

RNG = np.random.default_rng(0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, calcium)


def panel(title: str, neurons: int) -> TracePanel:
    traces = RNG.standard_normal((neurons, 100)) * np.arange(1, neurons + 1)[:, None]
    return TracePanel(title=title, traces=traces, spikes=traces > 2)


def histogram(title: str) -> HistogramPanel:
    edges = np.linspace(0, 1, 31)
    counts = RNG.integers(0, 50, (4, 30)).astype(float)
    others = {"generated": counts[1], "real, other stretch": counts[2], "phases": counts[3]}
    return HistogramPanel(title=title, edges=edges, real=counts[0], others=others)


@pytest.mark.parametrize("neurons", [2, 16])
def test_traces_are_legible_for_few_and_many_neurons(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, neurons: int
) -> None:
    panels = [panel(title, neurons) for title in ("real", "generated", "generated, another")]
    draw_traces(Path("x"), panels, rate_hz=24.0, unit="dF/F")
    for axes in drawn[0].axes:
        # a trace and its marks for each neuron
        assert len(axes.get_lines()) == 2 * min(neurons, MOST_NEURONS)
    assert_legible(drawn[0], monkeypatch)


def test_the_neurons_that_vary_most_are_shown(drawn: list[Figure]) -> None:
    draw_traces(Path("x"), [panel("real", 20)], rate_hz=24.0)
    names = [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]
    assert names == [f"neuron {row}" for row in range(12, 20)]


def test_real_and_generated_share_a_scale(drawn: list[Figure]) -> None:
    first = panel("real", 2)
    second = TracePanel(title="twice", traces=2 * first.traces, spikes=first.spikes)
    draw_traces(Path("x"), [first, second], rate_hz=24.0)
    heights = [np.ptp(axes.get_lines()[0].get_ydata()) for axes in drawn[0].axes]
    assert heights[1] == pytest.approx(2 * heights[0], rel=1e-9)


@pytest.mark.parametrize("count", [1, 4])
def test_histograms_show_parts_of_one(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    panels = [histogram(f"quantity {k}") for k in range(count)]
    draw_histograms(Path("x"), panels)
    shown = [axes for axes in drawn[0].axes if axes.get_visible()]
    assert len(shown) == count
    for axes in shown:
        for patch in axes.patches:
            assert patch.get_data().values.sum() == pytest.approx(1.0)
    assert_legible(drawn[0], monkeypatch)


def test_matrices_share_a_scale_that_is_white_at_nothing(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = np.corrcoef(RNG.standard_normal((6, 50)))
    draw_matrices(Path("x"), {"real": matrix, "generated": matrix / 2}, label="correlation")
    limits = [image.get_clim() for axes in drawn[0].axes for image in axes.get_images()]
    assert len(limits) == 2
    assert len(set(limits)) == 1
    assert limits[0][0] == -limits[0][1]
    shown = drawn[0].axes[0].get_images()[0].get_array()
    assert np.ma.getmaskarray(shown).diagonal().all()  # each with itself says nothing
    assert_legible(drawn[0], monkeypatch)


def test_distances_begin_at_nothing(drawn: list[Figure]) -> None:
    matrix = np.abs(RNG.standard_normal((5, 7)))
    draw_matrices(Path("x"), {"real": matrix}, label="distance", diverging=False)
    assert drawn[0].axes[0].get_images()[0].get_clim()[0] == 0.0


def test_a_matrix_without_numbers_is_drawn(drawn: list[Figure]) -> None:
    draw_matrices(Path("x"), {"real": np.full((3, 3), np.nan)}, label="correlation")
    assert len(drawn) == 1


def test_the_kept_step_is_marked(drawn: list[Figure], monkeypatch: pytest.MonkeyPatch) -> None:
    draw_training(Path("x"), [100, 200, 300], [2.0, 1.0, 0.5], [0.9, 0.3, 0.4], best_step=200)
    marked = [line for line in drawn[0].axes[1].get_lines() if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marked] == [(200, 0.3)]
    assert_legible(drawn[0], monkeypatch)
