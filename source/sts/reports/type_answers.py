"""What a tree of types says of new cells, for the table, the page and the screen of PREDICT."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sts.evaluation.type_tree import split_label
from sts.reports.page import Block, Table

# Between the members of a set in a table of predictions, and on a page.
SET_SEPARATOR: Final = "; "
_COMMA: Final = ", "
# What columns call the levels of the tree.
LEVEL_COLUMNS: Final = ("side", "class", "subclass", "t_type")
ANSWER_COLUMNS: Final = (
    *("answer", "answer_level", "set_coverage"),
    *(f"set_{level}" for level in LEVEL_COLUMNS),
    *(f"{what}_{level}" for level in LEVEL_COLUMNS for what in ("call", "call_probability")),
    "nearest_prototypes",
)
TYPE_COLUMNS: Final = ("specimen_id", "level", "type", "probability", "in_set")
NO_ANSWER: Final = "none"
# Types of a set that a table names; the table of predictions has all.
NAMED: Final = 8
_HOW: Final = (
    "A set holds the true type of {coverage:.0%} of the cells of each class, or subclass, if they "
    "come from where the training cells come from. The answer goes down the tree as long as the "
    "set of the level is a single type. It says what is safe, and it may be no more than "
    "Inhibitory. An empty set means that the cell is unusual in every type of the level; the next "
    "level then decides. No answer is safe for a cell that is unlike the training cells: do not "
    "trust its sets. Prototypes are the means of "
    "training cells of a type; the number is how far the cell is from them (0: typical of the "
    "type, above 2: rare). types.csv has the probability of every type."
)


@dataclass(frozen=True, kw_only=True)
class TypeChance:
    """The probability of one type of a level."""

    label: str
    probability: float
    in_set: bool

    @property
    def name(self) -> str:
        """Return the last part of the label."""
        return split_label(self.label)[-1]


@dataclass(frozen=True, kw_only=True)
class LevelTypes:
    """The probabilities of all types of one level, the most probable first."""

    level: str
    types: tuple[TypeChance, ...]

    @property
    def chosen(self) -> tuple[str, ...]:
        """Return the names of the types in the prediction set."""
        return tuple(each.name for each in self.types if each.in_set)


@dataclass(frozen=True, kw_only=True)
class TypeAnswer:
    """The answer for one cell on all levels."""

    answer: str
    """Label of the deepest type that is safe, "" if none is."""
    level: str
    """The level of this type."""
    coverage: float
    levels: tuple[LevelTypes, ...]
    nearest: tuple[tuple[str, float], ...]
    """The nearest prototypes, and how far the cell is from them."""

    def in_words(self) -> str:
        """Return the answer, "none" if no type is safe."""
        return self.answer or NO_ANSWER

    def set_at(self, depth: int) -> tuple[str, ...] | None:
        """Return the prediction set at a depth of the tree, None where the tree is not as deep."""
        return self.levels[depth - 1].chosen if depth <= len(self.levels) else None

    def nearest_in_words(self) -> str:
        """Return the nearest prototypes with their distances."""
        return _COMMA.join(f"{split_label(label)[-1]} ({far:.1f})" for label, far in self.nearest)

    def columns(self) -> dict[str, Any]:
        """Return the values of ANSWER_COLUMNS."""
        line: dict[str, Any] = {
            "answer": self.answer,
            "answer_level": self.level,
            "set_coverage": self.coverage,
            "nearest_prototypes": self.nearest_in_words(),
        }
        for name, level in zip(LEVEL_COLUMNS, self.levels, strict=False):
            line[f"set_{name}"] = SET_SEPARATOR.join(level.chosen)
            line[f"call_{name}"] = level.types[0].name
            line[f"call_probability_{name}"] = round(level.types[0].probability, 6)
        return line


def list_types(cells: Sequence[tuple[str, TypeAnswer]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of `types.csv`: every type of every level of every cell.

    Parameters
    ----------
    cells
        Specimen id and answer.
    """
    for specimen, answer in cells:
        for level in answer.levels:
            for each in level.types:
                yield {
                    "specimen_id": specimen,
                    "level": level.level,
                    "type": each.label,
                    "probability": round(each.probability, 6),
                    "in_set": each.in_set,
                }


def name_set(level: LevelTypes) -> str:
    """Return the types of a set in few words."""
    chosen = level.chosen
    more = f" and {len(chosen) - NAMED} more" if len(chosen) > NAMED else ""
    return (_COMMA.join(chosen[:NAMED]) + more) or NO_ANSWER


def build_types(cells: Sequence[tuple[str, TypeAnswer]]) -> list[Block]:
    """Return what the page says of the types of cells (name and answer)."""
    levels = [level.level for level in cells[0][1].levels]
    rows = [
        [
            name,
            each.in_words(),
            *map(name_set, each.levels[1:]),
            each.nearest_in_words(),
        ]
        for name, each in cells
    ]
    columns = ["specimen", "answer", *(f"set: {level}" for level in levels[1:])]
    return [
        _HOW.format(coverage=cells[0][1].coverage),
        Table(columns=[*columns, "nearest prototypes"], rows=rows),
    ]
