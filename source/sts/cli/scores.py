"""Scores as a table on stdout."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sts.cli.run import say, say_table

if TYPE_CHECKING:
    from sts.evaluation.scores import Scores
    from sts.studies.classify.looking import Tested
    from sts.studies.classify.training import Trained

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


def say_trained(trained: "Trained") -> None:
    """Print what a training is worth: the holdout leads, what chose the best trial follows."""
    from sts.reports.trained import name_out_of_fold

    say_scores(HELD_OUT, trained.scores)
    say()
    say_scores(name_out_of_fold(trained.trials), trained.out_of_fold)
    say(f"model   {trained.model}")
    say(f"report  {trained.folder / 'report.html'}")


def say_tested(tested: "Tested") -> None:
    """Print what a stored model is worth on held-out cells."""
    say_scores(HELD_OUT, tested.scores)
    say(f"report  {tested.folder / 'report.html'}")
