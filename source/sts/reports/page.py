"""`report.html`: the parts of a page, written as one file without scripts.

The look of a page is in `templates`, where all text is escaped.
"""

import base64
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sts.base.errors import StsError
from sts.base.files import write_text
from sts.base.logs import as_typed
from sts.base.runs import UNFINISHED

TEMPLATES: Final = Path(__file__).with_name("templates")
# Largest SVG on a page: a larger one is full of pixels, and no sharper than its PNG.
SVG_BYTES: Final = 600_000
PNG_MARK: Final = b"\x89PNG\r\n\x1a\n"
# Longest text in a table that stays on one line, in characters.
LONG_TEXT: Final = 36


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under named columns; numbers are aligned to the right, a missing value is a dash."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure: its files, of which one is shown, and its caption."""

    files: Sequence[Path]
    caption: str


@dataclass(frozen=True)
class Facts:
    """The most important numbers, in large type: (name, value, remark)."""

    facts: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Code:
    """Text to copy, such as a command."""

    text: str


# A text is a paragraph.
Block = str | Table | Picture | Facts | Code


@dataclass(frozen=True)
class Section:
    """A heading and the blocks under it."""

    title: str
    blocks: Sequence[Block]


def write_page(path: Path, title: str, *, subtitle: str, sections: Sequence[Section]) -> None:
    """Write a page with its figures inside it; beside predictions it leads to their cells."""
    page = _environment().get_template("page.html")
    has_cells = path.with_name("predictions.csv").is_file()
    view = _name_view_command(path.parent) if has_cells else ""
    write_text(path, page.render(title=title, subtitle=subtitle, sections=sections, view=view))


def _name_view_command(run: Path) -> str:
    """Return the command that writes the viewer of a run, as it is typed in the workspace."""
    name = run.name.removesuffix(UNFINISHED)
    return f"data_pipeline.py view --run {'/'.join((*run.parts[-4:-1], name))}"


def as_html(block: Block) -> Markup:
    """Return a block as HTML in which all text is escaped."""
    macros = _environment().get_template("blocks.html").module
    # Each class of block has a macro of its name; a text is a paragraph.
    name = "paragraph" if isinstance(block, str) else type(block).__name__.lower()
    html: Markup = getattr(macros, name)(block)
    return html


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "as_typed": as_typed,
        "column": _column_class,
        "html": as_html,
        "image": _image,
        "readable": readable,
    }
    return environment


def readable(value: object) -> str:
    """Return a value for a table: four digits, commas between thousands, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _column_class(value: object) -> str | None:
    """Return the CSS class of a value in a table, None for a short text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return "text" if isinstance(value, str) and len(value) > LONG_TEXT else None


def _image(picture: Picture) -> dict[str, Any]:
    """Return the source of an image, its width on screen (0: unknown), and attributes of size.

    The size of a PNG is stated, because it has two pixels for each pixel of the screen.
    """
    path = _choose_file(picture.files)
    raw = path.read_bytes()
    size: dict[str, int] = {}
    if path.suffix == ".svg":
        kind, width = "svg+xml", _svg_width(raw)
    else:
        kind, size = "png", _png_size(raw)
        width = size.get("width", 0)
    source = f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"
    return {"source": source, "width": width, "size": size}


def _choose_file(files: Sequence[Path]) -> Path:
    """Return the SVG, which is sharp at any size, or the PNG if the SVG is too large."""
    by_kind = {path.suffix: path for path in files}
    svg, png = by_kind.get(".svg"), by_kind.get(".png")
    if svg and (png is None or svg.stat().st_size <= SVG_BYTES):
        return svg
    if png is None:
        raise StsError(f"no PNG or SVG among {', '.join(map(str, files)) or 'no files'}")
    return png


def _png_size(raw: bytes) -> dict[str, int]:
    if not raw.startswith(PNG_MARK):
        return {}
    width, height = struct.unpack(">II", raw[16:24]) if len(raw) >= 24 else (0, 0)
    return {"width": width // 2, "height": height // 2}


def _svg_width(raw: bytes) -> int:
    """Return the width of an SVG of matplotlib in pixels; 0 where it is unknown."""
    opening = re.search(rb"<svg\b[^>]*>", raw)
    width = re.search(rb'\bwidth="([\d.]+)pt"', opening[0]) if opening else None
    # Three points are four pixels.
    return round(float(width[1]) / 0.75) if width else 0
