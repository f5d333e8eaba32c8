"""The look of all figures, and saving them so that equal figures are equal files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sts.base.files import atomic_path

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
}

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


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure without a window, unknown to pyplot."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, stem: Path, *, kinds: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure in each of these formats and return the paths."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
    with _fixed_layout(figure):
        for path, kind in zip(paths, kinds, strict=True):
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=NO_METADATA[kind])
    return paths


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
