"""Pictures of cells: true axes, one colour scale, the same bytes every time."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from sts.base.types import CLASSES
from sts.reports.figures import scalogram, style
from sts.reports.figures.scalogram import CellPicture, draw_cell, draw_classes
from tests.conftest import REPOSITORY

RATE_HZ = 4000.0
ONSET_S = 0.1
SAMPLES = 4800


def make_picture(label: str = "Sst") -> CellPicture:
    times_s = np.arange(SAMPLES) / RATE_HZ - ONSET_S
    traces = np.where((times_s >= 0) & (times_s < 1), -50.0, -70.0) * np.ones((2, 1))
    scalograms = np.random.default_rng(1).normal(0, 20, (2, 180, SAMPLES)).astype(np.float32)
    return CellPicture(
        specimen_id="601506492",
        label=label,
        traces=traces,
        scalograms=scalograms,
        freqs_hz=np.arange(20.0, 200.0),
        amplitudes_pa=(110.0, 150.0),
        rate_hz=RATE_HZ,
        onset_s=ONSET_S,
        dataset="PatchSeq",
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """Return the figures instead of writing them."""
    figures: list[Figure] = []

    def keep(figure: Figure, stem: Path, **_: object) -> list[Path]:
        figures.append(figure)
        return [stem]

    monkeypatch.setattr(scalogram, "save", keep)
    yield figures


def panels(figure: Figure) -> Any:
    """Return the panels by row and column, without the colour bar."""
    own = [axes for axes in figure.axes if axes.get_subplotspec() and not axes.get_label()]
    rows = own[0].get_subplotspec().get_gridspec().nrows
    return np.array(own, dtype=object).reshape(rows, -1)


def test_the_same_cell_gives_the_same_bytes_whatever_the_user_has_set(tmp_path: Path) -> None:
    first = draw_cell(tmp_path / "some.cell", make_picture())
    with mpl.rc_context({"font.size": 20.0, "image.cmap": "jet", "savefig.dpi": 30}):
        second = draw_cell(tmp_path / "two", make_picture())
        assert mpl.rcParams["font.size"] == 20.0
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert [path.name for path in first] == ["some.cell.png", "some.cell.svg"]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    svg = first[1].read_text(encoding="utf-8")
    assert "<svg" in svg[:2000]
    assert not re.search(r"<dc:date>|20\d\d-\d\d-\d\d", svg)


def test_no_global_figure_and_no_window_system_is_touched(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from tests.reports.figures.test_scalogram import draw_cell, make_picture; "
        f"draw_cell(Path({str(tmp_path / 'cell')!r}), make_picture()); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    # A process of its own: in this one another library may have loaded it already.
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_an_svg_stays_small(tmp_path: Path) -> None:
    """The scalograms inside are pixels: 864,000 shapes a sweep would be a hundred megabytes."""
    _, svg = draw_cell(tmp_path / "cell", make_picture())
    assert svg.read_text(encoding="utf-8").count("<image") == 3
    # noise packs worst; scalograms of cells take a quarter of it
    assert svg.stat().st_size < 3e6


def test_axes_are_in_ms_from_the_onset_and_in_hz_ascending(drawn: list[Figure]) -> None:
    draw_cell(Path("cell"), make_picture())
    for axes in panels(drawn[0])[-1]:
        (image,) = axes.get_images()
        assert image.get_extent() == pytest.approx([-100.0, 1100.0, 19.5, 199.5])
        assert image.origin == "lower"
        assert axes.get_ylim() == pytest.approx((19.5, 199.5))
        # one sample is 0.25 ms
        assert axes.get_xlim() == pytest.approx((-100.0, 1100.0), abs=0.26)
    for axes in panels(drawn[0])[0]:
        times_ms, voltage_mv = axes.get_lines()[0].get_data()
        assert times_ms[np.argmax(voltage_mv > -60)] == pytest.approx(0.0, abs=1e-9)


def test_a_bright_place_is_drawn_where_it_is(drawn: list[Figure]) -> None:
    """One coefficient at 100 Hz and 500 ms after the onset, the rest is dark."""
    scalograms = np.zeros((2, 180, SAMPLES), np.float32)
    scalograms[0, 80, round((ONSET_S + 0.5) * RATE_HZ)] = -7.0
    draw_cell(Path("cell"), replace(make_picture(), scalograms=scalograms))
    (image,) = panels(drawn[0])[-1, 0].get_images()
    pixels = np.asarray(image.get_array())
    row, column = np.argwhere(pixels == -7.0)[0]
    left, right, bottom, top = image.get_extent()
    assert bottom + (row + 0.5) * (top - bottom) / pixels.shape[0] == pytest.approx(100.0)
    # a column is 1.5 ms wide
    assert left + (column + 0.5) * (right - left) / pixels.shape[1] == pytest.approx(500.0, abs=1.5)


def test_the_colours_are_symmetric_and_shared(drawn: list[Figure]) -> None:
    picture = make_picture()
    louder = replace(picture, scalograms=picture.scalograms * np.array([[[1.0]], [[3.0]]]))
    draw_cell(Path("cell"), louder)
    limits = {panel.get_images()[0].get_clim() for panel in panels(drawn[0])[-1]}
    ((low, high),) = limits
    assert low == -high
    assert high > 0


def test_a_dark_scalogram_is_drawn_in_the_middle_of_a_scale(drawn: list[Figure]) -> None:
    picture = make_picture()
    draw_cell(Path("cell"), replace(picture, scalograms=0 * picture.scalograms))
    assert panels(drawn[0])[-1, 0].get_images()[0].get_clim() == (-1.0, 1.0)


def test_the_title_says_who_it_is_and_the_panels_what_was_injected(drawn: list[Figure]) -> None:
    draw_cell(Path("cell"), make_picture())
    title = drawn[0].get_suptitle()
    assert all(word in title for word in ("601506492", "Sst", "PatchSeq"))
    names = [axes.get_title(loc="left") for axes in panels(drawn[0])[0]]
    assert names == ["rheobase sweep: 110 pA", "second sweep: 150 pA"]
    injected = [axes.get_lines()[0].get_ydata() for axes in panels(drawn[0])[1]]
    assert [values.max() for values in injected] == [110.0, 150.0]
    # 1 s of 1.2 s at 4 kHz
    assert [(values > 0).sum() for values in injected] == [4000, 4000]


def test_a_cell_of_no_known_class_is_drawn_too(drawn: list[Figure]) -> None:
    draw_cell(Path("cell"), make_picture(label=""))
    assert "class not known" in drawn[0].get_suptitle()


def test_every_class_has_a_colour_of_its_own() -> None:
    assert tuple(style.CLASS_COLOURS) == CLASSES
    assert len(set(style.CLASS_COLOURS.values())) == len(CLASSES)


def test_classes_stand_side_by_side_under_one_colour_scale(drawn: list[Figure]) -> None:
    draw_classes(Path("classes"), [make_picture(label) for label in CLASSES])
    grid = panels(drawn[0])
    assert grid.shape == (2, 4)
    assert [axes.get_title(loc="left") for axes in grid[0]] == list(CLASSES)
    assert len({axes.get_images()[0].get_clim() for axes in grid[1]}) == 1


def test_a_single_class_can_be_drawn(tmp_path: Path) -> None:
    assert all(path.is_file() for path in draw_classes(tmp_path / "one", [make_picture()]))
