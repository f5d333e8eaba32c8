"""What a page is made of, and each piece as HTML in which all text is escaped."""

import base64
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from sts.base.commands import as_typed
from sts.base.errors import StsError

# Beyond it, a drawing full of pixels is no sharper than its PNG and many times as large.
SVG_BYTES: Final = 600_000
PNG_MARK: Final = b"\x89PNG\r\n\x1a\n"
# A text of more letters is set in several lines, as a column of its own width.
LONG_TEXT: Final = 36
# What is shown wider, in pixels, is moved sideways on a telephone.
TELEPHONE: Final = 360
SIDEWAYS: Final = '<p class="sideways" aria-hidden="true">\u2194 move it sideways to see all</p>'


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under named columns; numbers are set to the right, what is missing is a dash."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure that was drawn: its files, of which one is shown, and what is to be seen."""

    files: Sequence[Path]
    caption: str


@dataclass(frozen=True)
class Facts:
    """The few figures a reader looks for first: (name, value, remark)."""

    facts: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Code:
    """Text to be copied as it is, such as a command."""

    text: str


# A text is a paragraph.
Block = str | Table | Picture | Facts | Code


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


def as_html(block: Block) -> str:
    """Return a block as HTML."""
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        return _picture(block)
    if isinstance(block, Facts):
        return _facts(block)
    if isinstance(block, Code):
        return f"<pre><code>{escape(as_typed(block.text))}</code></pre>"
    return f"<p>{escape(block)}</p>"


def _table(table: Table) -> str:
    caption = f"<caption><span>{escape(table.caption)}</span></caption>" if table.caption else ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "".join(_row(row) for row in table.rows)
    return (
        f'<div class="wide" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(row: Sequence[object]) -> str:
    first, *others = row
    cells = "".join(f"<td{_kind(value)}>{escape(text_of(value))}</td>" for value in others)
    return f'<tr><th scope="row">{escape(text_of(first))}</th>{cells}</tr>'


def _kind(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ' class="number"'
    return ' class="text"' if isinstance(value, str) and len(value) > LONG_TEXT else ""


def text_of(value: object) -> str:
    """Return a value as a reader wants it: four digits, thousands apart, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _facts(block: Facts) -> str:
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><dd>{escape(remark)}</dd></div>"
        for name, value, remark in block.facts
    )
    return f"<dl>{tiles}</dl>"


def _picture(picture: Picture) -> str:
    path = _shown(picture.files)
    raw = path.read_bytes()
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    width, height = _png_size(raw) if kind == "png" else _svg_size(raw)
    stated = kind == "png" and raw.startswith(PNG_MARK)
    size = f' width="{width}" height="{height}"' if stated else ""
    sideways = SIDEWAYS if width > TELEPHONE else ""
    source = f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"
    caption = escape(picture.caption)
    return (
        f'<figure><div class="wide"><img src="{source}" alt="{caption}"{size}></div>'
        f"{sideways}<figcaption>{caption}</figcaption></figure>"
    )


def _shown(files: Sequence[Path]) -> Path:
    """Return the SVG, which is sharp at any size, or the PNG if that one is too large."""
    by_kind = {path.suffix: path for path in files}
    svg, png = by_kind.get(".svg"), by_kind.get(".png")
    if svg and (png is None or svg.stat().st_size <= SVG_BYTES):
        return svg
    if png is None:
        raise StsError(f"no PNG or SVG among {', '.join(map(str, files)) or 'no files'}")
    return png


def _png_size(raw: bytes) -> tuple[int, int]:
    """Return how large to show it: figures have two pixels for each one of a screen."""
    if not raw.startswith(PNG_MARK) or len(raw) < 24:
        return 0, 0
    width, height = struct.unpack(">II", raw[16:24])
    return width // 2, height // 2


def _svg_size(raw: bytes) -> tuple[int, int]:
    """Return how large a drawing of ours is shown, in pixels; 0 where it does not say so."""
    opening = re.search(rb"<svg\b[^>]*>", raw)
    sizes = dict(re.findall(rb'\b(width|height)="([\d.]+)pt"', opening[0])) if opening else {}
    # There are three points for four pixels.
    width, height = (round(float(sizes.get(name, 0)) / 0.75) for name in (b"width", b"height"))
    return width, height
