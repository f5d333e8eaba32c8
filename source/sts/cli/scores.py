"""Scores as a table on stdout."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sts.cli.output import say, say_table

if TYPE_CHECKING:
    from sts.evaluation.scores import Scores

HELD_OUT: Final = "held-out cells"


def say_scores(what: str, scores: "Mapping[str, Scores]") -> None:
    """Print a line for each name, then what limits the figures; `what` says of which cells."""
    from sts.reports.tables import notes_on_scores

    say_table(
        (what, "cells", "balanced accuracy", "weighted F1", "accuracy", "ECE"),
        [
            (
                name,
                each.cells,
                each.balanced_accuracy.in_words(),
                each.weighted_f1.in_words(),
                each.accuracy.in_words(),
                each.ece.in_brief(),
            )
            for name, each in scores.items()
        ],
    )
    for note in notes_on_scores(scores):
        say(f"note: {note}")


def say_trained(
    scores: "Mapping[str, Scores]", out_of_fold: "Mapping[str, Scores]", *, trials: int
) -> None:
    """Print what a training is worth: the holdout leads, what chose the best trial follows."""
    from sts.reports.trained import name_out_of_fold

    say_scores(HELD_OUT, scores)
    say()
    say_scores(name_out_of_fold(trials), out_of_fold)
