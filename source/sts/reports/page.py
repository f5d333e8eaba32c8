"""`report.html`: one file that needs nothing else, runs nothing and looks the same anywhere.

What it looks like is in `templates`; all text is escaped there.
"""

import base64
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sts.base.commands import as_typed
from sts.base.errors import StsError
from sts.base.files import write_text
from sts.reports.blocks import Block, Code, Facts, Picture, Section, Table

TEMPLATES: Final = Path(__file__).with_name("templates")
# The macro of each kind of block; a text is a paragraph.
MACROS: Final = {
    Code: "code",
    Facts: "facts",
    Table: "table",
    Picture: "picture",
}
# Beyond it, a drawing full of pixels is no sharper than its PNG and many times as large.
SVG_BYTES: Final = 600_000
PNG_MARK: Final = b"\x89PNG\r\n\x1a\n"
# A text of more letters is set in several lines, as a column of its own width.
LONG_TEXT: Final = 36


def write_page(path: Path, title: str, *, subtitle: str, sections: Sequence[Section]) -> None:
    """Write a page, its figures inside."""
    page = _environment().get_template("page.html")
    write_text(path, page.render(title=title, subtitle=subtitle, sections=sections))


def as_html(block: Block) -> Markup:
    """Return a block as HTML in which all text is escaped."""
    macros = _environment().get_template("blocks.html").module
    html: Markup = getattr(macros, MACROS.get(type(block), "paragraph"))(block)
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
        "column": _column,
        "html": as_html,
        "image": _image,
        "readable": readable,
    }
    return environment


def readable(value: object) -> str:
    """Return a value as a reader wants it: four digits, thousands apart, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _column(value: object) -> str | None:
    """Return how a value stands in its column, None for a short text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return "text" if isinstance(value, str) and len(value) > LONG_TEXT else None


@dataclass(frozen=True, kw_only=True)
class _Image:
    source: str
    width: int
    """In pixels of a screen; 0 where the file does not tell."""
    size: dict[str, int]
    """What to tell a browser, which cannot see it in a PNG of two pixels for one of a screen."""


def _image(picture: Picture) -> _Image:
    path = _shown_file(picture.files)
    raw = path.read_bytes()
    if path.suffix == ".svg":
        kind, size = "svg+xml", {}
        width = _svg_width(raw)
    else:
        kind, size = "png", _png_size(raw)
        width = size.get("width", 0)
    source = f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"
    return _Image(source=source, width=width, size=size)


def _shown_file(files: Sequence[Path]) -> Path:
    """Return the SVG, which is sharp at any size, or the PNG if that one is too large."""
    by_kind = {path.suffix: path for path in files}
    svg, png = by_kind.get(".svg"), by_kind.get(".png")
    if svg and (png is None or svg.stat().st_size <= SVG_BYTES):
        return svg
    if png is None:
        raise StsError(f"no PNG or SVG among {', '.join(map(str, files)) or 'no files'}")
    return png


def _png_size(raw: bytes) -> dict[str, int]:
    """Return how large to show it: figures have two pixels for each one of a screen."""
    if not raw.startswith(PNG_MARK):
        return {}
    if len(raw) < 24:
        return {"width": 0, "height": 0}
    width, height = struct.unpack(">II", raw[16:24])
    return {"width": width // 2, "height": height // 2}


def _svg_width(raw: bytes) -> int:
    """Return how wide a drawing of ours is shown, in pixels; 0 where it does not say so."""
    opening = re.search(rb"<svg\b[^>]*>", raw)
    width = re.search(rb'\bwidth="([\d.]+)pt"', opening[0]) if opening else None
    # There are three points for four pixels.
    return round(float(width[1]) / 0.75) if width else 0
