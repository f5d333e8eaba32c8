"""Figures of a training: curves of folds, and calibration before and after the temperature."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sts.evaluation.calibration import Reliability
from sts.reports.figures import training
from sts.reports.figures.training import (
    BAR_COLOURS,
    CURVE_COLOURS,
    FoldCurves,
    draw_curves,
    draw_reliability,
)
from tests.reports.figures.drawn import assert_legible, keep_figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, training)


def make_fold(epochs: int = 30, *, shift: float = 0.0, **changed: Any) -> FoldCurves:
    epoch = np.arange(1, epochs + 1)
    loss, accuracy = 1.4 * np.exp(-epoch / 9) + 0.1 + shift, 0.95 - 0.7 * np.exp(-epoch / 9)
    parts: dict[str, Any] = {
        "train_loss": loss.tolist(),
        "train_accuracy": accuracy.tolist(),
        "validation_loss": (loss + 0.2).tolist(),
        "validation_accuracy": (accuracy - 0.05).tolist(),
        "best_epoch": max(1, epochs - 5),
    }
    return FoldCurves(**{**parts, **changed})


def lines_of(axes: Axes, part: str, width: float) -> list[Any]:
    return [
        line
        for line in axes.get_lines()
        if line.get_color() == CURVE_COLOURS[part] and line.get_linewidth() == width
    ]


def test_the_mean_runs_as_far_as_every_fold_does(drawn: list[Figure]) -> None:
    draw_curves(Path("x"), [make_fold(10), make_fold(20, shift=0.4), make_fold(15, shift=0.2)])
    loss, accuracy = drawn[0].axes
    for part in CURVE_COLOURS:
        (mean,) = lines_of(loss, part, 2.0)
        thin = lines_of(loss, part, 0.6)
        assert [len(line.get_xdata()) for line in thin] == [10, 20, 15]
        assert mean.get_xdata().tolist() == list(range(1, 11))
        # a mean of three numbers
        wanted = np.mean([line.get_ydata()[:10] for line in thin], axis=0)
        assert mean.get_ydata() == pytest.approx(wanted, abs=1e-12)
        assert len(lines_of(accuracy, part, 2.0)) == 1


def test_the_best_epoch_of_every_fold_is_marked_on_its_curve(drawn: list[Figure]) -> None:
    folds = [make_fold(20, best_epoch=12), make_fold(20, shift=0.1, best_epoch=17)]
    draw_curves(Path("x"), folds)
    for axes, name in zip(drawn[0].axes, ("validation_loss", "validation_accuracy"), strict=True):
        marked = [
            line.get_xydata()[0].tolist() for line in axes.get_lines() if line.get_marker() == "o"
        ]
        assert marked == [[12, getattr(folds[0], name)[11]], [17, getattr(folds[1], name)[16]]]


def test_a_burst_of_the_loss_does_not_flatten_the_rest(drawn: list[Figure]) -> None:
    fold = make_fold(40)
    burst = [*fold.validation_loss[:5], 900.0, *fold.validation_loss[6:]]
    draw_curves(Path("x"), [replace(fold, validation_loss=burst)])
    assert drawn[0].axes[0].get_ylim()[1] < 3.0


def test_a_loss_that_is_no_number_is_left_out(drawn: list[Figure]) -> None:
    broken = make_fold(3, validation_loss=[np.nan] * 3, train_loss=[np.inf] * 3, best_epoch=None)
    draw_curves(Path("x"), [broken])
    assert drawn[0].axes[0].get_ylim() == (0.0, 1.0)


@pytest.mark.parametrize("nothing", [(), [None] * 30])
def test_a_refit_has_no_validation_to_show(drawn: list[Figure], nothing: list[None]) -> None:
    refit = make_fold(validation_loss=nothing, validation_accuracy=nothing)
    draw_curves(Path("x"), [refit])
    assert not lines_of(drawn[0].axes[0], "validation", 2.0)
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["training"]


@pytest.mark.parametrize("folds", [1, 2, 10])
@pytest.mark.parametrize("epochs", [1, 100])
def test_no_text_of_curves_lies_on_another(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, folds: int, epochs: int
) -> None:
    several = [make_fold(epochs, shift=0.05 * index) for index in range(folds)]
    draw_curves(Path("x"), several, title="InceptionV3 · head only (FULL)")
    assert_legible(drawn[0], monkeypatch)
    for axes in drawn[0].axes:
        ticks = [tick for tick in axes.get_xticks() if 0.5 <= tick <= axes.get_xlim()[1]]
        assert all(tick == round(tick) for tick in ticks)


def make_diagram() -> Reliability:
    """Return two filled bins of four: too sure in one, not sure enough in the other."""
    nothing = np.nan
    return Reliability(
        confidence=np.array([nothing, 0.4, nothing, 0.8]),
        accuracy=np.array([nothing, 0.1, nothing, 0.9]),
        cells=np.array([0, 10, 0, 30]),
        ece=0.15,
        confidences=np.repeat([0.4, 0.8], [10, 30]),
    )


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def heights(axes: Axes) -> dict[str, list[float]]:
    return {str(bars.get_label()): [bar.get_height() for bar in bars] for bars in axes.containers}


def test_a_bar_shows_confidence_and_accuracy(drawn: list[Figure]) -> None:
    draw_reliability(Path("x"), make_diagram(), rng=rng())
    diagram, cells = drawn[0].axes
    found = heights(diagram)
    assert list(found) == list(BAR_COLOURS)
    # differences of two rounded numbers
    assert found["right"] == pytest.approx([0.1, 0.8], abs=1e-12)
    assert found["too sure"] == pytest.approx([0.3, 0.0], abs=1e-12)
    assert found["not sure enough"] == pytest.approx([0.0, 0.1], abs=1e-12)
    assert [bar.get_x() for bar in diagram.containers[0]] == [0.25, 0.75]
    assert [bar.get_height() for bar in cells.patches] == [0, 10, 0, 30]


def test_both_states_stand_side_by_side_with_their_errors(drawn: list[Figure]) -> None:
    draw_reliability(Path("x"), make_diagram(), rng=rng(), after=make_diagram(), temperature=1.26)
    titles = [axes.get_title(loc="left") for axes in drawn[0].axes[:2]]
    one = rng()
    perfect = [make_diagram().error(one).perfect_in_words() for _ in range(2)]
    assert [title.replace("\n", " ") for title in titles] == [
        f"as trained ECE 0.150; {perfect[0]}",
        f"calibrated (temperature 1.26) ECE 0.150; {perfect[1]}",
    ]


@pytest.mark.parametrize("both", [False, True])
def test_no_text_of_diagrams_lies_on_another(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, both: bool
) -> None:
    after = make_diagram() if both else None
    draw_reliability(Path("x"), make_diagram(), rng=rng(), after=after, temperature=19.99)
    assert_legible(drawn[0], monkeypatch)
