"""Scores as a table on stdout."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sts.cli.output import say_table

if TYPE_CHECKING:
    from sts.evaluation.scores import Scores


def say_scores(what: str, scores: "Mapping[str, Scores]") -> None:
    """Print a line for each name; `what` says of which cells."""
    say_table(
        (what, "cells", "balanced accuracy", "weighted F1", "ECE"),
        [
            (
                name,
                each.cells,
                each.balanced_accuracy.in_words(),
                each.weighted_f1.in_words(),
                each.ece.in_words(),
            )
            for name, each in scores.items()
        ],
    )
