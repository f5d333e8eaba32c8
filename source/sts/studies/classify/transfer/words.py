"""The one paragraph of --transfer, with every figure in it."""

from collections.abc import Iterator
from typing import Final

from sts.studies.classify.transfer.crossing import (
    ABSOLUTE,
    ACROSS,
    EVEN,
    MOVED,
    ONSET,
    POOLED,
    WITHIN,
)
from sts.studies.classify.transfer.findings import BOTH, UNDISPUTED, WEIGHED, Findings, Key

USES_TESTED_CELLS: Final = (
    '"Carried over" uses the features of the very cells that it is tested on, without their '
    'labels: it says what is gained on these cells, not on new ones. "Same kind, plain" are the '
    "same classifiers without it."
)


def paragraph(found: Findings) -> str:
    """Return what was found, as it may be quoted."""
    return " ".join([*_pooled(found), *_absolute(found), *_crossed(found), *_carried(found)])


def _pooled(found: Findings) -> Iterator[str]:
    features = found.aligned[-1]
    cells = found.scores[_key(features, POOLED, BOTH)].cells
    first, second = found.datasets
    yield (
        f"On {cells:,} training cells, by cross-validation, with times from the stimulus onset and "
        f"{features} features, weighted F1 is {found.of(POOLED, BOTH, features)} over both data "
        f"sets, {found.of(POOLED, first, features)} on the cells of {first} and "
        f"{found.of(POOLED, second, features)} on those of {second}; trained within one data set "
        f"it is {found.of(WITHIN, first, features)} and {found.of(WITHIN, second, features)}."
    )
    weighed = found.scores[_key(features, POOLED, WEIGHED)]
    yield (
        f"Weighed until class and data set are independent ({weighed.effective_cells:.0f} "
        f"effective cells), it is {weighed.weighted_f1.in_words()}, and "
        f"{found.of(EVEN, WEIGHED, features)} when trained so too."
    )
    yield (
        "The same features tell which data set a cell is of with an area under the ROC curve of "
        f"{found.origin[features, ONSET].in_words()}."
    )


def _absolute(found: Findings) -> Iterator[str]:
    if ABSOLUTE not in {times for _, times in found.views}:
        return
    features, both = found.views[0][0], found.datasets
    yield (
        f"With absolute times the {features} features tell the data set with "
        f"{found.origin[features, ABSOLUTE].in_words()}, aligned with "
        f"{found.origin[features, ONSET].in_words()}; aligning the times changes weighted F1 from "
        f"{found.of(POOLED, BOTH, features, ABSOLUTE)} to {found.of(POOLED, BOTH, features)} "
        f"(paired difference {found.drops['pooled'].in_words()})."
    )
    for name, other in (both, both[::-1]):
        yield (
            f"Moving only the times of {name} cells to the onset of {other} takes theirs from "
            f"{found.of(POOLED, name, features, ABSOLUTE)} to "
            f"{found.of(MOVED, name, features, ABSOLUTE)}."
        )


def _crossed(found: Findings) -> Iterator[str]:
    for name, other in (found.datasets, found.datasets[::-1]):
        each = ", ".join(
            f"{found.of(ACROSS, other, features)} with {features} features"
            for features in found.aligned
        )
        yield f"Trained on {name} and tested on {other}, weighted F1 is {each}."
    for name in found.datasets:
        if found.disputed[name]:
            features = found.aligned[-1]
            yield (
                f"Without the {found.disputed[name]} cells of {name} whose label other metadata "
                f"contradict, {features} features reach "
                f"{found.of(POOLED, name + UNDISPUTED, features)} trained on both and "
                f"{found.of(ACROSS, name + UNDISPUTED, features)} trained on the other."
            )


def _carried(found: Findings) -> Iterator[str]:
    for attempt, plain, scores in zip(found.attempts, found.plain, found.carried, strict=True):
        yield (
            f"Carried over with the features of the very {scores.cells:,} cells of "
            f"{attempt.tested_on} that are tested, but without any of their labels "
            f"({attempt.recipe.in_words()}), classifiers of {attempt.trained_on} reach weighted "
            f"F1 {scores.weighted_f1.in_words()} and balanced accuracy "
            f"{scores.balanced_accuracy.in_words()} there; the same kind of classifiers, plain, "
            f"reach {plain.weighted_f1.in_words()} and {plain.balanced_accuracy.in_words()} "
            f"(paired difference in weighted F1 {attempt.gain.in_words()})."
        )


def _key(features: str, training: str, tested_on: str) -> Key:
    return Key(features=features, times=ONSET, training=training, tested_on=tested_on)
