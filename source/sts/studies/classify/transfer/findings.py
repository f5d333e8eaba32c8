"""What is asked of the transfer between two data sets, and what was found."""

from dataclasses import dataclass, field
from typing import Any, Final

from sts.datasets.splits import DONOR
from sts.evaluation.bootstrap import Interval
from sts.evaluation.transfer import TransferScores
from sts.studies.classify.transfer.attempts import Attempt
from sts.studies.classify.transfer.crossing import ONSET

SETS: Final = ("paper", "shared", "engineered")
# Both of them; with the weights under which class and data set are independent; without the cells
# whose label is contradicted.
BOTH: Final = "both"
WEIGHED: Final = "both, independent"
UNDISPUTED: Final = ", undisputed"


@dataclass(frozen=True, kw_only=True)
class TransferJob:
    """All that decides what is found, besides the cells."""

    features: tuple[str, ...] = SETS
    """Sets, or files that list names; the attempt is made with all that they hold."""
    model: str = "lightgbm"
    settings: dict[str, Any] = field(default_factory=dict)
    skip_missing: bool = False
    group_by: str = DONOR
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Key:
    """What one line of the table is about."""

    features: str
    times: str
    training: str
    """One of those in `crossing`."""
    tested_on: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """All that was found."""

    datasets: tuple[str, str]
    views: tuple[tuple[str, str], ...]
    """Features and the origin of times, in the order in which they are shown."""
    scores: dict[Key, TransferScores]
    origin: dict[tuple[str, str], Interval]
    """How well a view tells the data set: area under the ROC curve."""
    drops: dict[str, Interval]
    """Weighted F1 with times from the onset less that with absolute times, paired, by data set."""
    disputed: dict[str, int]
    """Cells of each data set whose label other metadata contradict."""
    has_witnesses: bool
    """Whether there are metadata that could contradict a label."""
    attempts: tuple[Attempt, ...]
    carried: tuple[TransferScores, ...]
    """Of the recipes that were chosen."""
    plain: tuple[TransferScores, ...]
    """Of classifiers of the same kind that see nothing of the other data set."""

    @property
    def aligned(self) -> list[str]:
        """Return the sets of features with times from the onset."""
        return [features for features, times in self.views if times == ONSET]

    def of(self, training: str, tested_on: str, features: str, times: str = ONSET) -> str:
        """Return the weighted F1 in words, a dash where it was not measured."""
        key = Key(features=features, times=times, training=training, tested_on=tested_on)
        return self.scores[key].weighted_f1.in_words() if key in self.scores else "–"
