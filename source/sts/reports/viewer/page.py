"""Write the viewer: pages of cells, each one file that needs nothing else.

The policy of a page names its script by its digest and no source of anything else, so that text
from a file can neither run nor load.
"""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sts import __version__
from sts.base.files import write_text
from sts.base.types import CLASSES, Floats, Ints
from sts.reports.viewer.answers import CellAnswer

FOLDER: Final = Path(__file__).parent
# The modules in an order in which each one follows those that it imports.
SCRIPTS: Final = (
    *("unpack", "scalogram", "spikes", "state", "marks", "colours"),
    *("elements", "cells", "map", "sweeps", "details", "main"),
)
# Cells whose sweeps share a block of data: a block is parsed when one of its cells is opened.
BLOCK_CELLS: Final = 50
# Steps of 0.03 mV: no value moves by more than 0.015 mV, which is below the noise of recordings.
STEP_MV: Final = 0.03
# A sweep that spans more than this many steps gets larger steps: 0.96 V, which no cell reaches.
MOST_STEPS: Final = 32_000
# Raw deflate, without a header.
WINDOW_BITS: Final = -15

PackedPair = list[str | float]


@dataclass(frozen=True, kw_only=True, eq=False)
class CellView:
    """One cell of the viewer; texts are empty where nothing is known."""

    specimen_id: str
    dataset: str = ""
    label: str = ""
    donor_id: str = ""
    status: str = "ok"
    reason: str = ""
    notes: tuple[str, ...] = ()
    traces: Floats | None = None
    """(2, 4800), mV."""
    amplitudes_pa: tuple[float, float] | None = None
    answer: CellAnswer | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewerContent:
    """All cells of the viewer; row i of every array is cell i."""

    title: str
    key: str
    """Names the data set to the browser, which keeps marks under it."""
    run: str
    """The name of the run, "" without one."""
    command: str
    """The command that writes the page anew."""
    cells: Sequence[CellView]
    X: Floats
    """(n, features), NaN where one is missing."""
    names: Sequence[str]
    units: Sequence[str]
    points: Floats
    """(n, 2), NaN for a cell that has no place on the map."""
    map_words: str
    """How the places were found."""
    neighbours: Sequence[Sequence[int]]
    """The nearest cells of each cell, the nearest first."""
    quartiles: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    """For each class and feature: lower quartile, median, upper quartile."""


def write_viewer(path: Path, content: ViewerContent, *, max_cells: int) -> list[Path]:
    """Write pages of at most `max_cells` cells and return their paths, the first being `path`."""
    count = max(1, -(-len(content.cells) // max_cells))
    paths = [path, *(path.with_stem(f"{path.stem}-{n}") for n in range(2, count + 1))]
    script, style = join_scripts(), read_part("viewer.css")
    template = _make_environment().get_template("viewer.html")
    for number, each in enumerate(paths):
        rows = range(number * max_cells, min((number + 1) * max_cells, len(content.cells)))
        facts = _describe_page(content, rows, max_cells)
        facts |= {"pages": [one.name for one in paths], "page": number}
        page = template.render(
            title=content.title,
            policy=_state_policy(script, style),
            script=Markup(script),
            style=Markup(style),
            facts=as_data(facts),
            blocks=[as_data(block) for block in _pack_blocks(content.cells, rows)],
        )
        write_text(each, page)
    return paths


def join_scripts() -> str:
    """Return all modules as one script: without imports and exports, in one scope.

    It is no module: those run when the whole page is read, and the map need not wait for sweeps.
    """
    lines = ['"use strict";']
    for name in SCRIPTS:
        for line in read_part(f"{name}.mjs").splitlines():
            if not line.startswith("import "):
                lines.append(line.removeprefix("export "))
    return "\n".join(lines) + "\n"


def read_part(name: str) -> str:
    """Return a file of the viewer, which must not end the element that it is put into."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower() or "<!--" in text:
        raise ValueError(f"{name} would end its element on the page")
    return text


def as_data(value: object) -> Markup:
    """Return a value as JSON that can stand inside a script element, whatever its texts are."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # No character is left that HTML knows.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _make_environment() -> Environment:
    return Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)


def _state_policy(script: str, style: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _describe_page(content: ViewerContent, rows: range, max_cells: int) -> dict[str, Any]:
    """Return all facts of the cells of a page, except their sweeps."""
    names = [cell.specimen_id for cell in content.cells]
    which = slice(rows.start, rows.stop)
    return {
        "title": content.title,
        "key": content.key,
        "run": content.run,
        "command": content.command,
        "version": __version__,
        "classes": CLASSES,
        "total": len(content.cells),
        "blockCells": BLOCK_CELLS,
        "map": content.map_words,
        "features": {"names": list(content.names), "units": list(content.units)},
        "quartiles": {
            label: [[_number(value) for value in three] for three in lines]
            for label, lines in content.quartiles.items()
        },
        "values": pack_floats(content.X[which]),
        "points": pack_floats(content.points[which]),
        "cells": [describe_cell(content.cells[row]) for row in rows],
        "neighbours": [
            [[names[other], other // max_cells] for other in content.neighbours[row]]
            for row in rows
        ],
    }


def describe_cell(cell: CellView) -> dict[str, Any]:
    """Return the facts of a cell; what is empty is left out."""
    facts: dict[str, Any] = {
        "id": cell.specimen_id,
        "set": cell.dataset,
        "label": cell.label,
        "donor": cell.donor_id,
        "status": cell.status,
        "reason": cell.reason,
        "notes": list(cell.notes),
        "amplitudes": [_number(value) for value in cell.amplitudes_pa or ()],
        "sweeps": cell.traces is not None,
    }
    if cell.answer is not None:
        facts["answer"] = _describe_answer(cell.answer)
    return {name: value for name, value in facts.items() if value not in ("", [], False)}


def _describe_answer(answer: CellAnswer) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "truth": answer.truth,
        "prediction": answer.prediction,
        "probabilities": {name: _number(p) for name, p in answer.probabilities.items()},
        "possible": None if answer.possible is None else list(answer.possible),
        "unlike": answer.is_unlike,
        "reasons": list(answer.reasons),
        "levels": [
            asdict(level) | {"probability": _number(level.probability)} for level in answer.levels
        ],
    }
    # An empty prediction set says something.
    return {
        name: value
        for name, value in facts.items()
        if value not in ("", [], {}, None) or (name == "possible" and value is not None)
    }


def _number(value: float) -> float | None:
    """Return a number of six digits, None for NaN, which JSON does not know."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _pack_blocks(cells: Sequence[CellView], rows: range) -> Iterator[list[Any]]:
    """Yield the packed sweeps of the cells of a page in blocks, None for a cell without sweeps."""
    for start in range(rows.start, rows.stop, BLOCK_CELLS):
        own = cells[start : min(start + BLOCK_CELLS, rows.stop)]
        yield [None if cell.traces is None else pack_pair(cell.traces) for cell in own]


def pack_pair(traces_mv: Floats) -> PackedPair:
    """Return the sweeps (2, samples) as [text, step, first, step, first]: numbers of each sweep.

    The text is of int16 differences, deflated, in base64; `unpack.mjs` reads it in the browser.
    Differences are interleaved in sign (0, -1, 1, -2, ...), so that most high bytes are 0; all low
    bytes come before all high bytes.
    """
    differences, numbers = zip(*(_take_differences(trace) for trace in traces_mv), strict=True)
    codes = np.concatenate(differences)
    planes = np.concatenate([codes & 255, codes >> 8]).astype(np.uint8)
    packer = zlib.compressobj(9, zlib.DEFLATED, WINDOW_BITS)
    raw = packer.compress(planes.tobytes()) + packer.flush()
    return [base64.b64encode(raw).decode(), *(number for pair in numbers for number in pair)]


def pack_floats(values: Floats) -> str:
    """Return numbers as base64 of little-endian float32; NaN stays NaN."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _take_differences(trace_mv: Floats) -> tuple[Ints, tuple[float, float]]:
    """Return the coded differences of a sweep, and its step and first value in mV."""
    trace = np.asarray(trace_mv, dtype=np.float64)
    step_mv = max(STEP_MV, float(np.ptp(trace)) / MOST_STEPS)
    first_mv = round(float(trace[0]), 4)
    # Differences of rounded values, so that errors do not add up.
    places = np.rint((trace - first_mv) / step_mv)
    steps = np.asarray(np.diff(places, prepend=0.0)).astype(np.int64)
    return (steps << 1) ^ (steps >> 63), (step_mv, first_mv)
