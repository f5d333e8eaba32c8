"""What --with-networks leaves to look at."""

from dataclasses import dataclass
from typing import Any, Final

from sts.base.types import Floats
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """Each alone and both together on the same cells."""

    probabilities: Floats
    """Of both together."""
    scores: dict[str, dict[str, Scores]]
    """By side and by data set."""
    gains: dict[str, Comparison]
    """Of both together over each alone."""

    def to_dict(self) -> dict[str, Any]:
        """Return what `report.json` holds."""
        return {
            "scores": {
                side: {name: each.to_dict() for name, each in groups.items()}
                for side, groups in self.scores.items()
            },
            "gains": {side: each.to_dict() for side, each in self.gains.items()},
        }


def sections_of(held_out: Compared, own: Compared, *, temperature: float) -> list[Section]:
    """Return the report: held-out cells first, then those that the stack was fitted on.

    Parameters
    ----------
    own
        Each predicted by a stack that left it out.
    """
    return [
        Section(
            "Held-out cells",
            [
                headline(held_out.scores[STACK][POOLED]),
                SAID.format(temperature=temperature),
                *_blocks(held_out),
            ],
        ),
        Section("Training cells, each left out once", _blocks(own)),
    ]


def _blocks(compared: Compared) -> list[Block]:
    scores = compared.scores
    return [
        score_table({name: each[POOLED] for name, each in scores.items()}),
        *(
            difference_table(each, first=name, second=STACK)
            for name, each in compared.gains.items()
        ),
        *notes_on_scores(scores[STACK]),
    ]
