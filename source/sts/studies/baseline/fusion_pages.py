"""What --with-networks leaves to look at."""

from collections.abc import Mapping
from typing import Final

from sts.evaluation.compare import Comparison
from sts.evaluation.scores import POOLED, Scores
from sts.reports.blocks import Block, Section
from sts.reports.tables import difference_table, headline, notes_on_scores, score_table

# What is compared: each alone, and the stack.
TABLE, NETWORK, STACK = "table", "network", "both"
SAID: Final = (
    "Logistic regression on the log probabilities of both, fitted on training cells that each had "
    "left out, calibrated with one temperature ({temperature:.2f}). The held-out cells are those "
    "that neither was trained on and both know."
)


def sections_of(
    scores: Mapping[str, Mapping[str, Scores]],
    gains: Mapping[str, Comparison],
    own: Mapping[str, Scores],
    *,
    temperature: float,
) -> list[Section]:
    """Return the report: both together, the gain over each alone, and the training cells.

    Parameters
    ----------
    scores
        On held-out cells, by side and by data set.
    own
        Of the stack on the cells it was fitted on, each left out once.
    """
    together: list[Block] = [
        headline(scores[STACK][POOLED]),
        SAID.format(temperature=temperature),
        score_table({name: each[POOLED] for name, each in scores.items()}),
        score_table(scores[STACK]),
        *notes_on_scores(scores[STACK]),
    ]
    return [
        Section("Held-out cells", together),
        *(
            Section(
                f"Gain over the {name} alone", [difference_table(each, first=name, second=STACK)]
            )
            for name, each in gains.items()
        ),
        Section("Training cells, each left out once", [score_table(own)]),
    ]
