"""Figures kept instead of written, and whether their text can be read."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from sts.base.types import Floats
from sts.reports.figures.style import look

# Boxes of text hold room for letters that reach lower than those that are there.
PIXELS = 1.0
# Coarser than the files, so that tests are quick; the layout is the same.
DPI = 100


def keep_figures(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[Figure]:
    """Return a list that fills with what a module would write."""
    figures: list[Figure] = []

    def keep(figure: Figure, stem: Path, **_: object) -> list[Path]:
        figures.append(figure)
        return [stem]

    monkeypatch.setattr(module, "save", keep)
    return figures


def texts_of(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Floats]:
    """Return every text that is really drawn, and left, bottom, right and top of it."""
    seen: dict[int, Text] = {}
    draw = Text.draw

    def record(text: Text, *arguments: object, **named: object) -> None:
        seen[id(text)] = text
        draw(text, *arguments, **named)  # type: ignore[arg-type]

    figure.set_dpi(DPI)
    with monkeypatch.context() as patched, look():
        patched.setattr(Text, "draw", record)
        figure.canvas.draw()
    shown = [text for text in seen.values() if text.get_visible() and text.get_text().strip()]
    return [text.get_text() for text in shown], np.array(
        [text.get_window_extent().extents for text in shown]
    )


def assert_legible(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a text lies on another one, or sticks out of the figure."""
    texts, boxes = texts_of(figure, monkeypatch)
    assert texts
    low, high = boxes[:, :2], boxes[:, 2:]
    outside = np.concatenate([-low, high - figure.bbox.extents[2:]], axis=1).max(axis=1)
    assert outside.max() <= PIXELS, f"{texts[outside.argmax()]!r} sticks out"
    shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    depth = np.triu(shared.min(axis=2), k=1)
    one, other = np.unravel_index(depth.argmax(), depth.shape)
    assert depth.max() <= PIXELS, f"{texts[one]!r} lies on {texts[other]!r}"
