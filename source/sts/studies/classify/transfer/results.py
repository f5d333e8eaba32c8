"""The measurements of --transfer between two data sets, and the paragraph about them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sts.datasets.splits import DONOR
from sts.evaluation.scores import Interval
from sts.evaluation.transfer import TransferScores
from sts.studies.classify.transfer.carry_over import CarryOver

DEFAULT_SETS: Final = ("paper", "shared", "engineered")
# Origins of times.
ONSET, ABSOLUTE = "onset", "absolute"
# Training cells of a prediction: other cells of both data sets, the same with weights that make
# class and data set independent, other cells of the same data set, or all cells of the other one.
TOGETHER, EVEN, WITHIN, ACROSS = "pooled", "independent", "within", "across"
# Trained on both data sets, for cells whose times are shifted to those of the other data set.
MOVED: Final = "moved"
# The same, for cells whose features of a stimulus are hidden.
HIDDEN: Final = ("without short square", "without ramp", "without subthreshold steps")
# Tested on cells of both data sets; the same with the weights of EVEN.
BOTH: Final = "both"
WEIGHED: Final = "both, independent"
# Suffix of a data set without the cells whose label other metadata contradict.
UNDISPUTED: Final = ", undisputed"
USES_TESTED_CELLS: Final = (
    '"Carried over" uses the features of the test cells themselves, without their labels: the gain '
    'is that on these cells, not on new ones. "Same kind, plain" are the same classifiers without '
    "these features."
)


@dataclass(frozen=True, kw_only=True)
class TransferJob:
    """All settings of --transfer; the results depend only on them and on the cells."""

    features: tuple[str, ...] = DEFAULT_SETS
    """Sets, or files that list names; classifiers are carried over with all their features."""
    model: str = "lightgbm"
    settings: dict[str, Any] = field(default_factory=dict)
    skip_missing: bool = False
    group_by: str = DONOR
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TransferKey:
    """The key of scores."""

    features: str
    times: str
    training: str
    """TOGETHER, EVEN, WITHIN, ACROSS, MOVED or one of HIDDEN."""
    tested_on: str


@dataclass(frozen=True, kw_only=True, eq=False)
class TransferResults:
    """All measurements of --transfer."""

    datasets: tuple[str, str]
    views: tuple[tuple[str, str], ...]
    """Features and the origin of times, in the order of the report."""
    scores: dict[TransferKey, TransferScores]
    origin: dict[tuple[str, str], Interval]
    """How well a view predicts the data set: area under the ROC curve."""
    drops: dict[str, Interval]
    """Weighted F1 with times from the onset minus that with absolute times, paired, by data set."""
    disputed: dict[str, int]
    """Cells of each data set whose label other metadata contradict."""
    has_metadata: bool
    """Whether there are metadata that can contradict a label."""
    carried: tuple[CarryOver, ...]
    carried_scores: tuple[TransferScores, ...]
    """Of the selected recipes."""
    plain_scores: tuple[TransferScores, ...]
    """Of the same classifiers by the plain recipe, which uses nothing of the other data set."""

    @property
    def aligned(self) -> list[str]:
        """Return the sets of features with times from the onset."""
        return [features for features, times in self.views if times == ONSET]

    def f1(self, training: str, tested_on: str, features: str, times: str = ONSET) -> str:
        """Return the weighted F1 as text, a dash if it was not measured."""
        key = TransferKey(features=features, times=times, training=training, tested_on=tested_on)
        return self.scores[key].weighted_f1.in_words() if key in self.scores else "–"


def describe_results(results: TransferResults) -> str:
    """Return the results as one paragraph that can be quoted."""
    parts = (_describe_pooled, _describe_times, _describe_crossing, _describe_carried)
    return " ".join(sentence for part in parts for sentence in part(results))


def _describe_pooled(results: TransferResults) -> Iterator[str]:
    features = results.aligned[-1]
    pooled, weighed = (
        results.scores[
            TransferKey(features=features, times=ONSET, training=TOGETHER, tested_on=cells)
        ]
        for cells in (BOTH, WEIGHED)
    )
    first, second = results.datasets
    yield (
        f"On {pooled.cells:,} training cells, by cross-validation, with times from "
        f"the stimulus onset and {features} features, weighted F1 is "
        f"{results.f1(TOGETHER, BOTH, features)} over both data sets, "
        f"{results.f1(TOGETHER, first, features)} on the cells of {first} and "
        f"{results.f1(TOGETHER, second, features)} on those of {second}; trained within one data "
        f"set it is {results.f1(WITHIN, first, features)} and "
        f"{results.f1(WITHIN, second, features)}."
    )
    yield (
        "With weights that make class and data set independent "
        f"({weighed.effective_cells:.0f} effective cells), it is "
        f"{results.f1(TOGETHER, WEIGHED, features)}, and "
        f"{results.f1(EVEN, WEIGHED, features)} when the training cells have such weights too."
    )
    yield (
        "The same features predict the data set of a cell with an area under the ROC curve of "
        f"{results.origin[features, ONSET].in_words()}."
    )


def _describe_times(results: TransferResults) -> Iterator[str]:
    if ABSOLUTE not in {times for _, times in results.views}:
        return
    features, both = results.views[0][0], results.datasets
    yield (
        f"With absolute times the {features} features predict the data set with "
        f"{results.origin[features, ABSOLUTE].in_words()}, with times from the onset with "
        f"{results.origin[features, ONSET].in_words()}; times from the onset change weighted F1 "
        f"from {results.f1(TOGETHER, BOTH, features, ABSOLUTE)} to "
        f"{results.f1(TOGETHER, BOTH, features)} "
        f"(paired difference {results.drops['pooled'].in_words()})."
    )
    for name, other in (both, both[::-1]):
        yield (
            f"Moving only the times of {name} cells to the onset of {other} changes their weighted "
            f"F1 from {results.f1(TOGETHER, name, features, ABSOLUTE)} to "
            f"{results.f1(MOVED, name, features, ABSOLUTE)}."
        )


def _describe_crossing(results: TransferResults) -> Iterator[str]:
    for name, other in (results.datasets, results.datasets[::-1]):
        each = ", ".join(
            f"{results.f1(ACROSS, other, features)} with {features} features"
            for features in results.aligned
        )
        yield f"Trained on {name} and tested on {other}, weighted F1 is {each}."
    features = results.aligned[-1]
    for name in (name for name in results.datasets if results.disputed[name]):
        yield (
            f"Without the {results.disputed[name]} cells of {name} whose label other metadata "
            f"contradict, {features} features reach "
            f"{results.f1(TOGETHER, name + UNDISPUTED, features)} trained on both and "
            f"{results.f1(ACROSS, name + UNDISPUTED, features)} trained on the other."
        )


def _describe_carried(results: TransferResults) -> Iterator[str]:
    for carried, scores, plain in zip(
        results.carried, results.carried_scores, results.plain_scores, strict=True
    ):
        yield (
            f"Carried over with the features of the {scores.cells:,} test cells of "
            f"{carried.tested_on} themselves, but without any of their labels "
            f"({carried.recipe.in_words()}), classifiers of {carried.trained_on} reach weighted "
            f"F1 {scores.weighted_f1.in_words()} and balanced accuracy "
            f"{scores.balanced_accuracy.in_words()} there; the same kind of classifiers, plain, "
            f"reach {plain.weighted_f1.in_words()} and {plain.balanced_accuracy.in_words()} "
            f"(paired difference in weighted F1 {carried.gain.in_words()})."
        )
