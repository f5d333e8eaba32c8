"""Tables of a page: scores, differences between runs, settings."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from sts.evaluation.predictions import RESAMPLED, SCORES
from sts.evaluation.scores import FEW_CELLS, Scores
from sts.reports.page import Facts, Table

if TYPE_CHECKING:
    from sts.evaluation.compare import Comparison, Group

BRACKETS: Final = "In brackets: 95 % intervals, bootstrap within each class."
PROPORTIONS: Final = (
    f"{BRACKETS} Those of proportions of fewer than {FEW_CELLS} cells are Wilson's."
)
PERFECT: Final = (
    "The calibration error is above 0 by chance alone. Beside it is the error that perfect "
    "calibration would show with as many cells: its mean, and the value that 95 % stay below."
)
# Scores in large type at the top of a page.
HEADLINE: Final = ("balanced_accuracy", "weighted_f1", "macro_f1")


def headline(scores: Scores) -> Facts:
    """Return the scores for the top of a page."""
    intervals = [(SCORES[name], getattr(scores, name)) for name in HEADLINE]
    return Facts(
        [
            (name, f"{one.value:.3f}", f"{one.low:.3f} to {one.high:.3f} (95 %)")
            for name, one in intervals
        ]
        + [(SCORES["ece"], f"{scores.ece.value:.3f}", scores.ece.perfect_in_words())]
    )


def score_table(scores: Mapping[str, Scores]) -> Table:
    """Return all scores, pooled and by data set."""
    counts = ["cells", *(f"{one.cells:,}" for one in scores.values())]
    rows = [
        [SCORES[key], *(getattr(one, key).in_words() for one in scores.values())]
        for key in RESAMPLED
    ]
    errors = [SCORES["ece"], *(one.ece.in_brief() for one in scores.values())]
    return Table(
        columns=["score", *scores],
        rows=[counts, *rows, errors],
        caption=f"{PROPORTIONS} {PERFECT}",
    )


def class_table(scores: Mapping[str, Scores]) -> Table:
    """Return precision, recall and F1 of each class, pooled and by data set."""
    rows = [
        [
            name,
            group,
            one.support,
            *(i.in_words() for i in (one.precision, one.recall, one.f1)),
        ]
        for name in next(iter(scores.values())).classes
        for group, one in ((group, each.per_class[name]) for group, each in scores.items())
    ]
    columns = ["class", "data set", "cells", "precision", "recall", "F1"]
    return Table(columns=columns, rows=rows, caption=PROPORTIONS)


def notes_on_scores(scores: Mapping[str, Scores]) -> list[str]:
    """Return the limits of the scores, a sentence each."""
    return [f"{group}: {note}." for group, one in scores.items() for note in one.notes]


def difference_table(comparison: "Comparison", *, first: str, second: str) -> Table:
    """Return the scores of two runs and their paired differences, pooled and by data set."""
    verdicts = {"first": f"{first} is better", "second": f"{second} is better"}

    def row(score: str, name: str, group: "Group") -> list[object]:
        each = group.differences[score]
        scores = [f"{each.first:.3f}", f"{each.second:.3f}"]
        if score not in RESAMPLED:
            scores = [one.in_brief() for one in group.calibration]
        verdict = verdicts.get(each.verdict, each.verdict)
        return [SCORES[score], name, group.cells, *scores, each.difference.in_words(), verdict]

    return Table(
        columns=["score", "data set", "cells", first, second, "difference", "verdict"],
        rows=[
            row(score, name, group) for score in SCORES for name, group in comparison.groups.items()
        ],
        caption=f"Differences are {second} minus {first}, on the same cells. {BRACKETS} {PERFECT} "
        "So it gives no verdict.",
    )


def cells_compared(comparison: "Comparison") -> list[str]:
    """Return how many and which cells two runs are compared on, a sentence each."""
    pooled, *others = comparison.groups.values()
    names = list(comparison.groups)[1:]
    of = ", ".join(f"{name} {group.cells:,}" for name, group in zip(names, others, strict=True))
    classes = ", ".join(f"{name} {count:,}" for name, count in pooled.classes.items())
    by_origin = f" ({of})" if of else ""
    both = f"{comparison.cells:,} cells of known class that both have predicted{by_origin}"
    sentences = [f"Compared on the {both}: {classes}."]
    for side, ids in (("first", comparison.only_first), ("second", comparison.only_second)):
        if ids:
            sentences.append(
                f"{len(ids):,} cells are in the {side} run only, such as {ids[0]}: they do not "
                "count here."
            )
    return sentences


def settings_table(settings: Mapping[str, Any]) -> Table:
    """Return settings, those inside others with their full names."""
    rows = [[name, _show_setting(value)] for name, value in _flatten(settings)]
    return Table(columns=["setting", "value"], rows=rows)


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _show_setting(value: object) -> object:
    """Return a setting with all its digits."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value if value is None or isinstance(value, bool) else str(value)
