"""Confusion matrices show shares and cells of the true class, pooled and by data set."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from sts.base.types import CLASSES
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import Scores, by_dataset, score
from sts.reports.figures import confusion
from sts.reports.figures.confusion import draw_confusion
from sts.reports.figures.style import CLASS_COLOURS
from tests.evaluation.worlds import make_predictions
from tests.reports.figures.drawn import assert_legible, keep_figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, confusion)


def scored(predictions: Predictions) -> Scores:
    return score(predictions, rng=np.random.default_rng(1), resamples=20)


def many_classes(count: int) -> Predictions:
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.full(count, 0.2), 400)
    return Predictions(
        specimen_id=np.arange(400).astype(str),
        dataset=np.full(400, ""),
        truth=rng.integers(count, size=400),
        probabilities=probabilities,
        classes=tuple(f"Inh_{index}" for index in range(count)),
    )


def squares_of(axes: Axes) -> np.ndarray:
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


def test_it_is_written_as_png_and_svg(tmp_path: Path) -> None:
    paths = draw_confusion(tmp_path / "confusion", {"pooled": scored(make_predictions(40))})
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert all(path.stat().st_size > 0 for path in paths)


def test_every_group_has_a_panel_with_its_cells_and_accuracy(drawn: list[Figure]) -> None:
    scores = by_dataset(make_predictions(), rng=np.random.default_rng(1), resamples=20)
    draw_confusion(Path("x"), scores)
    for axes, (name, one) in zip(drawn[0].axes, scores.items(), strict=True):
        assert axes.get_title(loc="left") == f"{name} · {one.cells:,} cells"
        words = [text.get_text() for text in axes.texts]
        assert f"balanced accuracy {one.balanced_accuracy.in_words()}" in words
        # 4 x 4 squares with two lines each, and the accuracy
        assert len(words) == 33


def test_the_number_in_a_square_is_how_many_of_the_row_are_taken_for_the_column(
    drawn: list[Figure],
) -> None:
    truth = np.repeat([0, 3], [4, 2])
    probabilities = np.eye(4)[[0, 0, 0, 1, 3, 3]]
    draw_confusion(
        Path("x"), {"all": scored(make_predictions(6, truth=truth, probabilities=probabilities))}
    )
    at = {
        (round(text.get_position()[0]), round(text.get_position()[1]), text.get_text())
        for text in drawn[0].axes[0].texts
    }
    assert {(0, 0, "75 %"), (0, 0, "3"), (1, 0, "25 %"), (1, 0, "1"), (3, 3, "100 %")} <= at
    # no cell is of the two other classes
    assert not any(row in (1, 2) and words.endswith("%") for _, row, words in at)


def test_a_fuller_square_is_darker_and_of_the_colour_of_its_class(drawn: list[Figure]) -> None:
    draw_confusion(Path("x"), {"all": scored(make_predictions(skill=3.0))})
    squares = squares_of(drawn[0].axes[0])
    for row, label in enumerate(CLASSES):
        assert squares[row].sum(axis=-1).argmin() == row
        missing = 1 - squares[row, row]
        wanted = 1 - np.array(to_rgb(CLASS_COLOURS[label]))
        # the same hue: in proportion up to rounding
        assert missing / missing.max() == pytest.approx(wanted / wanted.max(), abs=1e-12)


def test_dark_text_is_legible_on_the_fullest_square_of_every_class(drawn: list[Figure]) -> None:
    sure = make_predictions(4, truth=np.arange(4), probabilities=np.eye(4))
    draw_confusion(Path("x"), {"all": scored(sure)})
    squares = squares_of(drawn[0].axes[0])[np.arange(4), np.arange(4)]
    linear = np.where(squares <= 0.04045, squares / 12.92, ((squares + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    # ink is #222222; 4.5 is what WCAG asks of text
    assert ((luminance + 0.05) / (0.0159 + 0.05) >= 4.5).all()


@pytest.mark.parametrize("groups", [1, 4])
def test_no_text_lies_on_another(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    one = scored(make_predictions(1118, skill=3.0))
    draw_confusion(Path("x"), {f"data set {index}": one for index in range(groups)})
    assert_legible(drawn[0], monkeypatch)


def test_many_classes_remain_legible(drawn: list[Figure], monkeypatch: pytest.MonkeyPatch) -> None:
    draw_confusion(Path("x"), {"pooled": scored(many_classes(17))})
    assert_legible(drawn[0], monkeypatch)
