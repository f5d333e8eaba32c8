"""Saliency stands where it is, on true axes, beneath the sweep it belongs to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sts.base.types import CLASSES, Floats
from sts.reports.figures import saliency
from sts.reports.figures.saliency import ClassSaliency, draw_class_saliency, draw_saliency
from sts.reports.figures.scalogram import CellPicture
from tests.reports.figures.drawn import assert_legible, keep_figures
from tests.reports.figures.test_scalogram import SAMPLES, make_picture

FREQS_HZ = np.arange(20.0, 200.0)
WINDOW_MS = (-100.0, 1100.0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return keep_figures(monkeypatch, saliency)


def make_cell(label: str = "Sst") -> CellPicture:
    """Return a cell whose scalograms are dark, so that colours are the saliency's alone."""
    picture = make_picture(label)
    return replace(picture, scalograms=0 * picture.scalograms)


def spot(rows: int, columns: int, *, row: int, column: int, value: float = 1.0) -> Floats:
    """Return maps that are 0 but for one pixel of the rheobase sweep."""
    maps = np.zeros((2, rows, columns))
    maps[0, row, column] = value
    return maps


def panels(figure: Figure, rows: int) -> Any:
    own = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    return np.array(own, dtype=object).reshape(rows, -1)


def pixels_of(axes: Axes) -> Floats:
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


def places(axes: Axes, wanted: Any) -> tuple[list[float], list[float]]:
    """Return times and frequencies of the middles of the pixels wanted."""
    (image,) = axes.get_images()
    left, right, bottom, top = image.get_extent()
    rows, columns = np.nonzero(wanted)
    height, width = wanted.shape
    times_ms = left + (columns + 0.5) * (right - left) / width
    return times_ms.tolist(), (bottom + (rows + 0.5) * (top - bottom) / height).tolist()


def make_average(label: str, cells: int = 80, size: tuple[int, int] = (60, 120)) -> ClassSaliency:
    values = np.random.default_rng(len(label)).random((2, *size))
    return ClassSaliency(label=label, cells=cells, saliency=values)


def test_both_are_written_as_png_and_svg(tmp_path: Path) -> None:
    maps = {"gradient": spot(224, 224, row=3, column=5)}
    paths = [
        *draw_saliency(tmp_path / "one", make_picture(), maps=maps),
        *draw_class_saliency(
            tmp_path / "all", [make_average("Sst")], freqs_hz=FREQS_HZ, window_ms=WINDOW_MS
        ),
    ]
    assert [path.name for path in paths] == ["one.png", "one.svg", "all.png", "all.svg"]
    # an SVG holds its scalograms as pixels
    assert all(0 < path.stat().st_size < 3e6 for path in paths)


@pytest.mark.parametrize(("rows", "columns"), [(180, 4800), (224, 224), (48, 96)])
def test_a_decisive_place_is_drawn_where_it_is(
    drawn: list[Figure], rows: int, columns: int
) -> None:
    """One pixel at a third of the frequencies and half of the time, at any resolution."""
    maps = {"gradient": spot(rows, columns, row=rows // 3, column=columns // 2)}
    draw_saliency(Path("x"), make_cell(), maps=maps)
    left, right = panels(drawn[0], 2)[1]
    pixels = pixels_of(left)
    coloured = pixels.min(axis=-1) < 0.9
    times_ms, freqs_hz = places(left, coloured)
    # half a pixel of the map and half a pixel of the figure
    assert np.mean(times_ms) == pytest.approx(500.0, abs=600.0 / columns + 1.5)
    assert np.mean(freqs_hz) == pytest.approx(79.5, abs=90.0 / rows + 1.0)
    assert (pixels_of(right) > 0.9).all()


def test_axes_are_in_ms_from_the_onset_and_in_hz(drawn: list[Figure]) -> None:
    draw_saliency(Path("x"), make_cell(), maps={"gradient": np.ones((2, 10, 10))})
    grid = panels(drawn[0], 2)
    for axes in grid[1]:
        (image,) = axes.get_images()
        assert image.get_extent() == pytest.approx([-100.0, 1100.0, 19.5, 199.5])
        assert image.origin == "lower"
    assert grid[1, 0].get_xlabel() == "time from stimulus onset (ms)"
    assert grid[1, 0].get_ylabel() == "frequency (Hz)"
    assert grid[0, 0].get_ylabel() == "membrane\npotential (mV)"


def test_what_speaks_against_the_class_has_another_colour(drawn: list[Figure]) -> None:
    maps = spot(180, 4800, row=90, column=1200, value=2.0)
    maps[0, 90, 3600] = -2.0
    draw_saliency(Path("x"), make_cell(), maps={"integrated gradients": maps})
    pixels = pixels_of(panels(drawn[0], 2)[1, 0])[90]
    # six columns of the map are one of the picture
    assert np.argmax(pixels[:, 0] - pixels[:, 2]) == 200
    assert np.argmax(pixels[:, 2] - pixels[:, 0]) == 600
    bar = [axes for axes in drawn[0].axes if axes.get_label() == "<colorbar>"]
    assert [text.get_text() for text in bar[0].get_yticklabels()] == ["against", "for the class"]


def test_the_scalogram_shows_through_where_nothing_is_decisive(drawn: list[Figure]) -> None:
    picture = make_cell()
    scalograms = picture.scalograms.copy()
    scalograms[0, :, 2400:2410] = 5.0
    maps = {"gradient": spot(180, 4800, row=10, column=100)}
    draw_saliency(Path("x"), replace(picture, scalograms=scalograms), maps=maps)
    left = panels(drawn[0], 2)[1, 0]
    grey = pixels_of(left)[120]
    assert (np.ptp(grey, axis=-1) == 0).all()
    times_ms, _ = places(left, (pixels_of(left).max(axis=-1) < 0.9)[120:121])
    # 10 samples of 0.25 ms from 500 ms on, in columns of 1.5 ms
    assert 498.0 < min(times_ms) < max(times_ms) < 504.0


def test_the_sweeps_stand_above_in_the_colour_of_the_class(drawn: list[Figure]) -> None:
    cell = make_cell("Pvalb")
    draw_saliency(
        Path("x"), cell, maps={"gradient": np.ones((2, 4, 4))}, prediction="taken for Sst"
    )
    grid = panels(drawn[0], 2)
    assert [axes.get_title(loc="left") for axes in grid[0]] == [
        "rheobase sweep: 110 pA",
        "second sweep: 150 pA",
    ]
    for axes, trace in zip(grid[0], cell.traces, strict=True):
        (line,) = axes.get_lines()
        assert (line.get_ydata() == trace).all()
        assert line.get_color() == cell.colour
    assert drawn[0].get_suptitle().endswith("taken for Sst")


def without_sweeps(cell: CellPicture) -> CellPicture:
    """Return a cell of which others have published the scalograms alone."""
    return replace(cell, traces=np.empty((0, SAMPLES)), amplitudes_pa=(np.nan, np.nan))


def test_scalograms_stand_above_where_no_sweep_is_known(drawn: list[Figure]) -> None:
    cell = make_cell()
    scalograms = cell.scalograms.copy()
    scalograms[1, 60, 2400:2406] = -5.0
    cell = without_sweeps(replace(cell, scalograms=scalograms))
    draw_saliency(Path("x"), cell, maps={"gradient": np.zeros((2, 4, 4))})
    left, right = panels(drawn[0], 2)[0]
    assert [axes.get_title(loc="left") for axes in (left, right)] == [
        "rheobase sweep",
        "second sweep",
    ]
    assert left.get_ylabel() == "frequency (Hz)"
    assert not left.get_lines()[2:]  # both ends of the step, no trace
    pixels = pixels_of(right)
    times_ms, freqs_hz = places(right, pixels[..., 0] < pixels[..., 2] - 0.1)
    # six columns of the scalogram are one of the picture
    assert times_ms == pytest.approx([500.75])
    assert freqs_hz == pytest.approx([80.0])
    assert (np.ptp(pixels_of(left), axis=(0, 1)) == 0).all()


def test_a_map_that_is_dark_everywhere_is_drawn(drawn: list[Figure]) -> None:
    draw_saliency(Path("x"), make_cell(), maps={"gradient": np.zeros((2, 8, 8))})
    dark = ClassSaliency(label="Sst", cells=1, saliency=np.zeros((2, 8, 8)))
    draw_class_saliency(Path("x"), [dark], freqs_hz=FREQS_HZ, window_ms=WINDOW_MS)
    assert len(drawn) == 2


@pytest.mark.parametrize("columns", [120, 224, 4800])
def test_the_profile_of_a_steady_saliency_is_flat_and_adds_up_to_1(
    drawn: list[Figure], columns: int
) -> None:
    steady = ClassSaliency(label="Sst", cells=3, saliency=np.full((2, 6, columns), -4.0))
    draw_class_saliency(Path("x"), [steady], freqs_hz=FREQS_HZ, window_ms=WINDOW_MS)
    profiles = [
        patch.get_data()
        for patch in panels(drawn[0], 3)[0, 0].patches
        if hasattr(patch, "get_data")
    ]
    assert len(profiles) == 2
    for profile in profiles:
        # a sum of up to 57,600 rounded numbers
        assert profile.values == pytest.approx(np.full(120, 0.5 / 120), abs=1e-12)
        assert profile.edges[[0, 10, -1]] == pytest.approx([-100.0, 0.0, 1100.0])


def test_the_profile_rises_where_the_saliency_is(drawn: list[Figure]) -> None:
    values = spot(6, 4800, row=2, column=round(0.15 * 4000))
    one = ClassSaliency(label="Sst", cells=3, saliency=values)
    draw_class_saliency(Path("x"), [one], freqs_hz=FREQS_HZ, window_ms=WINDOW_MS)
    rheobase, second = (
        patch.get_data()
        for patch in panels(drawn[0], 3)[0, 0].patches
        if hasattr(patch, "get_data")
    )
    # 150 ms into the window is 50 ms after the onset
    assert rheobase.edges[np.argmax(rheobase.values)] == pytest.approx(50.0)
    assert rheobase.values.max() == pytest.approx(1.0)
    assert (second.values == 0).all()


def test_classes_share_one_scale_and_name_their_cells(drawn: list[Figure]) -> None:
    averages = [make_average(label, cells=1000 + index) for index, label in enumerate(CLASSES)]
    draw_class_saliency(Path("x"), averages, freqs_hz=FREQS_HZ, window_ms=WINDOW_MS)
    grid = panels(drawn[0], 3)
    assert [axes.get_title(loc="left") for axes in grid[0]] == list(CLASSES)
    assert [axes.get_title(loc="right") for axes in grid[0]][3] == "1,003 cells"
    assert len([axes for axes in drawn[0].axes if axes.get_label() == "<colorbar>"]) == 1


@pytest.mark.parametrize("sweeps", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_no_text_of_a_cell_lies_on_another(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, count: int, sweeps: bool
) -> None:
    maps = {name: np.ones((2, 8, 8)) for name in ("gradient", "integrated gradients")[:count]}
    picture = replace(make_cell("Excitatory"), dataset="PatchClamp")
    if not sweeps:
        picture = without_sweeps(replace(picture, scalograms=make_picture().scalograms))
    draw_saliency(
        Path("x"), picture, maps=maps, prediction="taken for Vip/Lamp5 with probability 0.93"
    )
    assert_legible(drawn[0], monkeypatch)


@pytest.mark.parametrize("classes", [1, 4])
def test_no_text_of_the_classes_lies_on_another(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    averages = [make_average(label, cells=1545) for label in CLASSES[:classes]]
    draw_class_saliency(Path("x"), averages, freqs_hz=FREQS_HZ, window_ms=WINDOW_MS)
    assert_legible(drawn[0], monkeypatch)
