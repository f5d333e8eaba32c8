"""What a page is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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
