"""Figures of the benchmark show what they are given, and their text can be read."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from sts.evaluation.scores import Interval
from sts.reports.figures import augment_fidelity, augment_scores
from sts.reports.figures.augment_fidelity import (
    HeatMap,
    MethodPlace,
    draw_densities,
    draw_heat_maps,
    draw_map,
)
from sts.reports.figures.augment_scores import (
    LINE_COLOURS,
    MARKERS,
    Line,
    Panel,
    draw_class_gains,
    draw_landscape,
    draw_levels,
)
from tests.reports.figures.drawn import assert_legible, keep_figures

CLASSES = [f"Inh_{number} ({7 * number})" for number in range(1, 18)]
METHODS = ["SMOTE", "WGAN-GP", "VAE", "MAF", "DDPM", "Random oversampling", "Class weights"]
NAMES = [f"upstroke_downstroke_ratio_{number}" for number in range(45)]


def line(name: str, levels: int) -> Line:
    values = [Interval(0.6 + 0.01 * level, 0.5, 0.7) for level in range(levels)]
    return Line(name=name, values={"accuracy": values, "macro_f1": values})


def levels(stem: Path, count: int) -> list[Path]:
    lines = [line(f"Logistic regression {number}", 4) for number in range(10)]
    return draw_levels(
        stem,
        [
            Panel(title=name, levels=["0", "100", "500", "1k"], lines=lines)
            for name in METHODS[:count]
        ],
    )


def landscape(stem: Path, count: int) -> list[Path]:
    names = [f"Logistic regression {number}" for number in range(count)]
    return draw_landscape(
        stem, [line(n, 1) for n in names], [line(n, 5) for n in names], list("12345")
    )


def heat_maps(stem: Path, count: int) -> list[Path]:
    values = np.random.default_rng(0).random((17, 45))
    values[0] = np.nan
    maps = [HeatMap(title=f"{name} against held-out cells", values=values) for name in METHODS]
    return draw_heat_maps(stem, maps[:count], classes=CLASSES, features=NAMES, what="KS distance")


def densities(stem: Path, count: int) -> list[Path]:
    rng = np.random.default_rng(0)
    rows = {name: rng.standard_normal((40, 4)) for name in ("real", "held out", *METHODS[:count])}
    rows["real"][:, 0] = np.nan
    rows["held out"][:, 1] = 3.0
    return draw_densities(stem, NAMES[:4], rows)


def chart(stem: Path, count: int) -> list[Path]:
    places = [
        MethodPlace(
            name=name,
            gain=Interval(0.002 * number, -0.01, 0.02),
            auc=0.5 + 0.02 * number,
            distance=0.2 * number,
        )
        for number, name in enumerate(METHODS[:count])
    ]
    return draw_map(stem, places, real=0.48, gain_of="Soft vote, 100 rows added to each class")


def gains(stem: Path, count: int) -> list[Path]:
    values = np.random.default_rng(0).normal(0, 0.1, (count, 17))
    values[0, 0] = np.nan
    return draw_class_gains(
        stem,
        values,
        classes=CLASSES,
        methods=METHODS[:count],
        clear=(np.abs(values) > 0.1).tolist(),
    )


DRAWN = [levels, landscape, heat_maps, densities, chart, gains]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures = [keep_figures(monkeypatch, module) for module in (augment_scores, augment_fidelity)]
    return Joined(figures)


class Joined(list[Figure]):
    """The figures of several modules as one list."""

    def __init__(self, lists: list[list[Figure]]) -> None:
        super().__init__()
        self._lists = lists

    def __getitem__(self, place: int) -> Figure:  # type: ignore[override]
        return [figure for each in self._lists for figure in each][place]


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("draw", DRAWN)
def test_its_text_can_be_read(  # type: ignore[no-untyped-def]
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, draw, count: int
) -> None:
    draw(Path("x"), count)
    assert_legible(drawn[0], monkeypatch)


def test_lines_are_scores_at_each_level(drawn: list[Figure]) -> None:
    levels(Path("x"), 1)
    accuracy = drawn[0].axes[0]
    assert list(accuracy.lines[0].get_ydata()) == pytest.approx([0.6, 0.61, 0.62, 0.63])
    assert [label.get_text() for label in accuracy.get_xticklabels()] == ["0", "100", "500", "1k"]


def test_many_methods_stand_in_rows_of_four_on_the_same_scales(drawn: list[Figure]) -> None:
    levels(Path("x"), 7)
    shown = [axes for axes in drawn[0].axes if axes.axison]
    assert len(shown) == 7 * 2
    assert [axes.get_title(loc="left") for axes in shown[:4]] == METHODS[:4]
    assert [axes.get_title(loc="left") for axes in shown[8:11]] == METHODS[4:]
    accuracy, macro_f1 = shown[:4] + shown[8:11], shown[4:8] + shown[11:]
    for axes in (accuracy, macro_f1):
        assert len({each.get_ylim() for each in axes}) == 1


def test_names_of_points_that_lie_close_keep_apart(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [
        MethodPlace(
            name=name,
            gain=Interval(0.01 + 0.0004 * (number % 3), -0.02, 0.04),
            auc=0.6 + 0.002 * number,
            distance=1.0,
        )
        for number, name in enumerate(METHODS)
    ]
    places.append(
        MethodPlace(name="alone", gain=Interval(0.01, -0.02, 0.04), auc=0.9, distance=0.0)
    )
    draw_map(Path("x"), places, real=0.5, gain_of="LDA")
    assert_legible(drawn[0], monkeypatch)


def test_the_best_classifier_is_on_top(drawn: list[Figure]) -> None:
    low, high = line("low", 1), line("high", 1)
    better = [Interval(0.9, 0.8, 1.0)]
    high = Line(name="high", values={"accuracy": better, "macro_f1": better})
    draw_landscape(Path("x"), [high, low], [], [])
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == ["low", "high"]


def test_there_are_as_many_looks_as_classifiers() -> None:
    from sts.tabular.classifiers import CLASSIFIERS

    assert len(LINE_COLOURS) == len(MARKERS) == len(CLASSIFIERS) + 1
