"""Every figure of a publication: its size, its files, and what is said where a run lacks them."""

import re
import zlib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.reports.figures import style
from sts.reports.figures.style import (
    MM_PER_IN,
    ONE_COLUMN,
    PRINT_SCALE,
    TWO_COLUMNS,
    Paper,
    look,
    new_figure,
    save,
)
from sts.reports.publications.augment import read_benchmark
from sts.reports.publications.source import FigureSource
from sts.reports.publications.table import PUBLICATIONS, draw_publication
from tests.reports.figures.drawn import assert_legible
from tests.reports.publications.worlds import (
    make_fidelity,
    make_gains,
    make_scores,
    write_data,
    write_runs,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_runs(tmp_path_factory.mktemp("output"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("workspace") / "data")


def source_of(name: str, runs: dict[str, Path], data: Path) -> FigureSource:
    run = runs[name.partition("-")[0]]
    return FigureSource(runs=(run,) if PUBLICATIONS[name].made_by else (), data=data)


@pytest.mark.parametrize("name", PUBLICATIONS)
def test_a_figure_has_its_width_its_data_and_legible_text(
    name: str,
    runs: dict[str, Path],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Figure] = []

    def keep(figure: Figure, path: Path, *_: object) -> None:
        drawn.append(figure)
        path.write_bytes(b"drawn")

    for writer in ("_write_pdf", "_write_image"):
        monkeypatch.setattr(style, writer, keep)
    made = draw_publication(name, source_of(name, runs, data), tmp_path)
    assert [path.suffix for path in made.files] == [".pdf", ".png", ".csv", ".txt"]
    width_mm = drawn[0].get_figwidth() * PRINT_SCALE * MM_PER_IN
    assert width_mm in (pytest.approx(85.0), pytest.approx(175.0))
    # A page of a journal is no higher.
    assert drawn[0].get_figheight() * PRINT_SCALE * MM_PER_IN < 235.0
    assert read_csv(made.files[2], [])
    assert made.files[3].read_text() == f"{made.caption}\n"
    assert_legible(drawn[0], monkeypatch)


def test_files_have_the_size_of_the_print(
    runs: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    source = source_of("sts-3", runs, data)
    first, again = (draw_publication("sts-3", source, tmp_path / part) for part in "ab")
    pdf, png = first.files[:2]
    with Image.open(png) as image:
        # A part of a pixel is lost where a width is not a whole number of pixels.
        assert image.width / 300 * MM_PER_IN == pytest.approx(175.0, abs=MM_PER_IN / 300)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert width_of(pdf) == pytest.approx(175.0, abs=1e-3)
    # A TrueType font: text is text.
    assert b"/CIDFontType2" in pdf.read_bytes()
    for one, other in zip(first.files, again.files, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def width_of(pdf: Path) -> float:
    """Return the width of the page of a PDF in mm."""
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf.read_bytes())
    assert box
    return float(box[1]) / 72 * MM_PER_IN


@pytest.mark.parametrize("paper", [ONE_COLUMN, TWO_COLUMNS])
def test_a_pdf_is_the_whole_figure_made_smaller(paper: Paper, tmp_path: Path) -> None:
    with look(), mpl.rc_context({"pdf.compression": 9}):
        figure = new_figure(5.0, 3.0, paper)
        figure.set_layout_engine("none")
        figure.add_axes((0, 0, 1, 1)).plot([0, 1], [0, 1], clip_on=False)
        figure.axes[0].set(xlim=(0, 1), ylim=(0, 1))
        (pdf, _) = save(figure, tmp_path / "line", paper=paper)
    (page,) = [
        zlib.decompress(stream)
        for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf.read_bytes(), re.DOTALL)
        if stream[:1] == b"x" and b" cm" in zlib.decompress(stream)
    ]
    scale = float(re.findall(rb"([\d.]+) 0 0 ([\d.]+) 0 0 cm", page)[0][0])
    lines = np.array(re.findall(rb"^([\d.]+) ([\d.]+) l\b", page, re.MULTILINE), dtype=float)
    assert paper.width_mm is not None
    # The end of the line is at the corner of the page.
    assert lines[:, 0].max() * scale / 72 * MM_PER_IN == pytest.approx(paper.width_mm, abs=0.01)
    assert lines[:, 1].max() == pytest.approx(3.0 * 72, abs=0.01)


def test_the_files_of_a_benchmark_give_its_scores_again(runs: dict[str, Path]) -> None:
    scores = read_benchmark(FigureSource(runs=(runs["augment"],)))
    assert list(scores.gains) == make_gains()
    assert [row["value"] for row in scores.fidelity] == [row["value"] for row in make_fidelity()]
    assert [row["macro_f1"] for row in scores.rows] == [row["macro_f1"] for row in make_scores()]
    assert (list(scores.methods), scores.main_classifier) == (["none", "smote"], "tree")


def test_the_wrong_kind_of_run_is_named_with_the_right_one(runs: dict[str, Path]) -> None:
    source = FigureSource(runs=(runs["augment"],))
    with pytest.raises(StsError) as error:
        draw_publication("sts-3", source, Path("unused"))
    assert str(error.value).startswith("sts-3 is made of a run of `sts_pipeline.py N TRAIN`")
    assert "is a run of 'augment'" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_else_is_wrong_with_runs_is_said(
    runs: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    wrong = {
        "name its folder with --run": ("sts-3", FigureSource()),
        "leave out --run": ("sts-2", FigureSource(runs=(runs["sts"],), data=data)),
        "of one run, 2 are given": ("sts-3", FigureSource(runs=(runs["sts"],) * 2)),
        "name the folder of a finished run": ("sts-3", FigureSource(runs=(tmp_path,))),
        "did you mean 'sts-3'": ("sts3", FigureSource()),
        "no specimen 'x'": ("sts-1", FigureSource(data=data, cell="x")),
    }
    for words, (name, source) in wrong.items():
        with pytest.raises(StsError, match=re.escape(words)):
            draw_publication(name, source, tmp_path)
