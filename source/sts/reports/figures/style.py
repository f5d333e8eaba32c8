"""The look of all figures, and saving them so that equal figures are equal files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends import backend_pdf as untyped_pdf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sts.base.files import atomic_path

# matplotlib states no types for its writer of PDF.
backend_pdf: Any = untyped_pdf

# Colours of Okabe and Ito (2008), which differ in every kind of colour vision and in grey.
CLASS_COLOURS: Final = {
    "Pvalb": "#0072B2",
    "Excitatory": "#D55E00",
    "Vip/Lamp5": "#009E73",
    "Sst": "#CC79A7",
}
INK: Final = "#222222"
FAINT: Final = "#8A8A8A"
SHADE: Final = "#F1EFEA"
# Colour of bars: no class has it, and it is light enough to draw on.
BAR_COLOUR: Final = "#6FA8D0"
# Colours and markers of series. Okabe and Ito (2008), without the colours of classes.
SERIES_COLOURS: Final = ("#8A8A8A", "#56B4E9", "#E69F00", "#222222", "#F0A3A3", "#B22222")
SERIES_MARKERS: Final = "oDs^<v"
# Red for positive values, blue for negative ones, white for 0.
DIVERGING: Final = "RdBu_r"
DPI: Final = 200
# Names of the two sweeps of a cell, and the duration of their step.
SWEEP_TITLES: Final = ("rheobase sweep", "second sweep")
STEP_S: Final = 1.0

# Without dates and versions, so that a file is the same each time it is drawn.
NO_METADATA: Final[dict[str, dict[str, None]]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

MM_PER_IN: Final = 25.4
# Printed figures are drawn in the sizes of those for the screen and then made smaller as a whole:
# text of 9 points becomes text of 7 points.
PRINT_SCALE: Final = 0.78
PRINT_DPI: Final = 300

LOOK: Final[dict[str, Any]] = {
    # This font comes with matplotlib, so that text is the same on every machine.
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titleweight": "normal",
    "axes.labelsize": 9.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    # Names of data sets and classes are drawn as they are, also with dollar signs in them.
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "lines.linewidth": 0.8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Ids inside an SVG are derived from this, and not random.
    "svg.hashsalt": "spike-train-scalograms",
    "svg.fonttype": "path",
    # Text of a PDF is text, in a font that programs for drawing can edit.
    "pdf.fonttype": 42,
    "path.simplify": True,
}


def look() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn; after it, matplotlib is as before."""
    # The user's own settings must not change the figures. The backend is left alone: reading it
    # would load a window system.
    settings: Any = {
        name: setting
        for name, setting in dict.items(mpl.rcParamsDefault)
        if not name.startswith("backend")
    }
    return mpl.rc_context(settings | LOOK)


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a figure is drawn for: a page on the screen, or a column of a journal."""

    width_mm: float | None = None
    """Width of the column; None: the figure is for the screen, and as wide as it needs."""

    @property
    def is_print(self) -> bool:
        """Tell whether the figure is printed: a caption then says what a title would say."""
        return self.width_mm is not None


SCREEN: Final = Paper()
ONE_COLUMN: Final = Paper(width_mm=85.0)
TWO_COLUMNS: Final = Paper(width_mm=175.0)


def new_figure(width_in: float, height_in: float, paper: Paper = SCREEN) -> Figure:
    """Return an empty figure without a window, unknown to pyplot; a paper gives the width."""
    if paper.width_mm is not None:
        width_in = paper.width_mm / MM_PER_IN / PRINT_SCALE
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(
    figure: Figure, stem: Path, *, kinds: Sequence[str] = ("png", "svg"), paper: Paper = SCREEN
) -> list[Path]:
    """Write a figure in each of these formats and return the paths; a print is PDF and PNG."""
    if paper.is_print:
        kinds = ("pdf", "png")
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
    with _fixed_layout(figure):
        for path, kind in zip(paths, kinds, strict=True):
            with atomic_path(path) as temporary:
                if kind == "pdf":
                    _write_pdf(figure, temporary)
                else:
                    _write_image(figure, temporary, kind, paper)
    return paths


def _write_image(figure: Figure, path: Path, kind: str, paper: Paper) -> None:
    more: dict[str, Any] = {}
    if paper.is_print:
        # The file states the resolution at the size in print.
        more = {"dpi": PRINT_DPI * PRINT_SCALE, "pil_kwargs": {"dpi": (PRINT_DPI, PRINT_DPI)}}
    figure.savefig(path, format=kind, metadata=NO_METADATA[kind], **more)


def _write_pdf(figure: Figure, path: Path) -> None:
    """Write a figure as PDF at the scale of print, with lines, marks and text scaled alike.

    The writer of matplotlib has no scale; this is what it does, with one added.
    """
    width, height = figure.get_size_inches()
    dpi = figure.dpi
    file: Any = backend_pdf.PdfFile(str(path), metadata=NO_METADATA["pdf"])
    try:
        # Points of a PDF, of which an inch has 72.
        figure.dpi = 72
        file.newPage(width * PRINT_SCALE, height * PRINT_SCALE)
        # Paths are cut at these, which are in the unit of what is drawn.
        file.width, file.height = width, height
        file.output(PRINT_SCALE, 0, 0, PRINT_SCALE, 0, 0, backend_pdf.Op.concat_matrix)
        pixels = PRINT_DPI * PRINT_SCALE
        vectors = backend_pdf.RendererPdf(file, pixels, height, width)
        renderer = backend_pdf.MixedModeRenderer(figure, width, height, pixels, vectors)
        figure.draw(renderer)
        renderer.finalize()
        file.finalize()
    finally:
        figure.dpi = dpi
        file.close()


@contextmanager
def _fixed_layout(figure: Figure) -> Iterator[None]:
    """Compute the layout once; `savefig` would do it for each file, and draw all twice for it."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    yield
    figure.set_layout_engine(engine)


def save_foreign(draw: Callable[[], Axes], stem: Path) -> list[Path]:
    """Save a figure that another library draws by pyplot, and remove it from pyplot."""
    from matplotlib import pyplot

    # Without a chosen backend the first figure would load a window system.
    if not isinstance(dict.__getitem__(mpl.rcParams, "backend"), str):
        pyplot.switch_backend("agg")
    with look():
        figure = draw().get_figure(root=True)
        if figure is None:
            raise ValueError("these axes belong to no figure")
        try:
            return save(figure, stem)
        finally:
            pyplot.close(figure)


def shade(axes: Axes, start: float, end: float) -> None:
    """Shade a stretch of time in the background."""
    axes.axvspan(start, end, color=SHADE, linewidth=0, zorder=0)
