"""What a run says of each cell: any `predictions.csv`, of one line or of several lines a cell."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.datasets.cell_types import CLASS_DEPTH, LEVELS
from sts.datasets.table import check_name, locate_errors
from sts.evaluation.type_tree import split_label
from sts.reports.predictions import PREFIX
from sts.reports.type_answers import LEVEL_COLUMNS, NO_ANSWER, SET_SEPARATOR

# Columns that may hold the types that a cell can have, in tables of one line a cell.
_SET_COLUMNS: Final = ("set", "prediction_set", "possible_types")
REASON_PREFIX: Final = "because_"
YES: Final = frozenset({"true", "yes", "1"})


@dataclass(frozen=True, kw_only=True)
class LevelAnswer:
    """The answer for a cell at one level of the tree of types."""

    level: str
    call: str
    probability: float
    is_given: bool
    """Whether the run gives this type as its answer, and not only a coarser one."""
    possible: tuple[str, ...]
    """The prediction set."""


@dataclass(frozen=True, kw_only=True)
class CellAnswer:
    """What a run says of one cell; texts are empty where it says nothing."""

    specimen_id: str
    dataset: str = ""
    truth: str = ""
    prediction: str = ""
    probabilities: Mapping[str, float]
    possible: tuple[str, ...] | None = None
    """The prediction set; None where the run has none."""
    is_unlike: bool | None = None
    """Whether the cell is unlike the training cells; None where that is not known."""
    reasons: tuple[str, ...] = ()
    levels: tuple[LevelAnswer, ...] = ()
    status: str = "ok"
    reason: str = ""
    notes: str = ""


def read_answers(path: Path) -> dict[str, CellAnswer]:
    """Return the answers of a table by specimen id, in its order."""
    rows = read_csv(path, ["specimen_id"])
    found: dict[str, CellAnswer] = {}
    for line, row in enumerate(rows, start=2):
        with locate_errors(f"{path}, line {line}"):
            answer = _read_levels(row) if "level" in row else _read_answer(row)
        # A recording that could not be read may have no id.
        if not answer.specimen_id:
            continue
        known = found.get(answer.specimen_id)
        if known and "level" not in row:
            raise StsError(f"{path}, line {line}: {answer.specimen_id[:80]} is there twice")
        if known:
            answer = replace(known, levels=(*known.levels, *answer.levels))
        found[answer.specimen_id] = answer
    return found


def _read_answer(row: Mapping[str, str]) -> CellAnswer:
    sets = [row[name] for name in _SET_COLUMNS if name in row]
    levels = _read_tree(row)
    possible = _split_set(sets[0]) if sets and sets[0] else None
    # The probabilities of the table are those of the classes, and so is the set beside them.
    classes = next((each for each in levels if each.level == LEVELS[CLASS_DEPTH - 1]), None)
    unlike = row.get("unlike_training", "")
    names = sorted(name for name in row if name.startswith(REASON_PREFIX))
    return CellAnswer(
        **_identify_row(row),
        # PREDICT knows the class of some cells under another name.
        truth=row.get("truth", row.get("label", "")),
        prediction=row.get("prediction", ""),
        probabilities={
            name.removeprefix(PREFIX): _read_share(text, name)
            for name, text in row.items()
            if name.startswith(PREFIX) and text
        },
        possible=possible if classes is None else classes.possible,
        is_unlike=unlike.lower() in YES if unlike else None,
        reasons=tuple(row[name] for name in names if row[name]),
        levels=levels,
        status=row.get("status", "ok"),
        reason=row.get("reason", ""),
        notes=row.get("notes", ""),
    )


def _read_tree(row: Mapping[str, str]) -> tuple[LevelAnswer, ...]:
    """Return what a tree of types says in the columns of PREDICT, () for other models."""
    names = [name for name in LEVEL_COLUMNS if row.get(f"call_{name}")]
    answer = dict(zip(LEVEL_COLUMNS, split_label(row.get("answer", "")), strict=False))
    return tuple(
        LevelAnswer(
            level=LEVELS[LEVEL_COLUMNS.index(name)],
            call=row[f"call_{name}"],
            probability=_read_share(
                row.get(f"call_probability_{name}", ""), f"call_probability_{name}"
            ),
            is_given=row[f"call_{name}"] == answer.get(name),
            possible=_split_set(row.get(f"set_{name}", "")),
        )
        for name in names
    )


def _read_levels(row: Mapping[str, str]) -> CellAnswer:
    level = LevelAnswer(
        level=row["level"],
        call=row.get("call", ""),
        probability=_read_share(row.get("probability", ""), "probability"),
        is_given=row.get("given", "").lower() in YES,
        possible=_split_set(row.get("set", "")),
    )
    return CellAnswer(**_identify_row(row), probabilities={}, levels=(level,))


def _identify_row(row: Mapping[str, str]) -> dict[str, Any]:
    return {
        "specimen_id": check_name(row["specimen_id"], "a specimen id"),
        "dataset": row.get("dataset", ""),
    }


def _read_share(text: str, name: str) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise StsError(f"{name} is {text[:60]!r}, a number is wanted")
    return value


def _split_set(text: str) -> tuple[str, ...]:
    if text == NO_ANSWER:
        return ()
    return tuple(name.strip() for name in text.split(SET_SEPARATOR.strip()) if name.strip())
