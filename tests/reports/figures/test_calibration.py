"""Reliability diagrams before and after the temperature."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sts.evaluation.calibration import Reliability, reliability
from sts.reports.figures import calibration
from sts.reports.figures.calibration import COLOURS, draw_reliability
from tests.evaluation.worlds import make_predictions
from tests.reports.figures.drawn import assert_legible, keep_figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, calibration)


def make_diagram() -> Reliability:
    """Return two filled bins of four: too sure in one, not sure enough in the other."""
    nothing = np.nan
    return Reliability(
        confidence=np.array([nothing, 0.4, nothing, 0.8]),
        accuracy=np.array([nothing, 0.1, nothing, 0.9]),
        cells=np.array([0, 10, 0, 30]),
        ece=0.15,
        said=np.repeat([0.4, 0.8], [10, 30]),
    )


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def heights(axes: Axes) -> dict[str, list[float]]:
    return {str(bars.get_label()): [bar.get_height() for bar in bars] for bars in axes.containers}


def test_it_is_written_as_png_and_svg(tmp_path: Path) -> None:
    predictions = make_predictions()
    diagram = reliability(predictions.probabilities, predictions.truth)
    paths = draw_reliability(tmp_path / "x", diagram, rng=rng(), after=diagram, temperature=1.3)
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert all(path.stat().st_size > 0 for path in paths)


def test_a_bar_tells_what_was_said_and_what_was_met(drawn: list[Figure]) -> None:
    draw_reliability(Path("x"), make_diagram(), rng=rng())
    diagram, cells = drawn[0].axes
    found = heights(diagram)
    assert list(found) == list(COLOURS)
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
def test_no_text_lies_on_another(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, both: bool
) -> None:
    after = make_diagram() if both else None
    draw_reliability(Path("x"), make_diagram(), rng=rng(), after=after, temperature=19.99)
    assert_legible(drawn[0], monkeypatch)
