"""What a benchmark says, in words: whether methods help, look real, and are more than copies."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from sts.augment.fidelity.copying import copying_in_words
from sts.augment.grid import BASELINE, BORROW
from sts.evaluation.compare import CANNOT_TELL, NO_VERDICT
from sts.evaluation.scores import Interval
from sts.reports.page import Block, Table
from sts.studies.augment.differences import Gain
from sts.studies.augment.results import Results, name_of
from sts.tabular.classifiers import classifier_title

CIRCULAR: Final = (
    "E-types are clusters of the same electrophysiology that is classified here (Gouwens et al., "
    "2019), so the task is partly circular: a high score says that the clusters can be read from "
    "these features, not that a type of cell was found."
)
INTERVALS: Final = {
    "cv": (
        "Intervals (95 %) are over all folds of all repeats, corrected for the training rows that "
        "folds share (Nadeau and Bengio, 2003); differences are paired with the same classifier "
        "on the same fold without added rows. A verdict says whether this interval leaves 0 out. "
        "About one in twenty differences that are none would get one: beside it stands the verdict "
        "that is corrected for all comparisons in the same score (Holm, 1979). Where all folds "
        "differ by the same there is neither."
    ),
    "paper": (
        "As published: one stratified holdout of 20 %. The intervals are over seeds alone; what "
        "another holdout would say is not in them, so they are too narrow for a verdict on other "
        "cells, and there is none. Use --protocol cv for verdicts."
    ),
}
PUBLISHED: Final = {
    "e": (
        "Vasques and Cif (2025) report for this task a gain of 0.16 by SMOTE and accuracies of "
        "0.72 to 0.76 on one holdout of 20 %, moderate gains by deep generators, and none behind a "
        "reducer. Their published code fills missing values before it divides the neurons, scales "
        "the test set by its own fit, and cross-validates on rows that were made from those it "
        "scores; none of that is done here."
    ),
    "me": (
        "Vasques and Cif (2025) report for this task a gain of 0.12 by SMOTE and accuracies of "
        "0.85 to 0.90 on one holdout of 20 %. In their table 27 neurons stand twice, so that one "
        "can be on both sides, and their published code fills missing values before it divides "
        "the neurons, and cross-validates on rows that were made from those it scores; none of "
        "that is done here."
    ),
}
SIMULATED: Final = "These neurons are made up: nothing on this page is said of real ones."
# How much better than a classifier tells real cells from real ones it must tell made ones.
TOLD: Final = ((0.05, "not told from real cells"), (0.15, "hardly told from real cells"))

Summary = dict[str, dict[str, float]]


def what_it_says(results: Results, fidelity: Summary) -> list[Block]:
    """Return what came out, what was published, and what is to be said of each method."""
    blocks: list[Block] = list(_sentences(results))
    if results.simulated:
        blocks.insert(0, SIMULATED)
    elif results.task.name in PUBLISHED:
        blocks.append(PUBLISHED[results.task.name] + _like_theirs(results))
    for method in dict.fromkeys(each.method for each in results.differences):
        said = in_words(results, fidelity, method)
        blocks.append(f"{name_of(method)}: {'; '.join(filter(None, said.values()))}.")
    return blocks


def in_words(results: Results, fidelity: Summary, method: str) -> dict[str, str]:
    """Return whether a method helps, and whether its rows are real, new, and enough by themselves.

    What was not measured is empty.
    """
    return {
        "helps": helping(results.differences, method),
        "real": realness(fidelity, method),
        "new": copying(fidelity, method),
        "alone": alone(fidelity, method),
    }


def _sentences(results: Results) -> list[str]:
    """Return how often macro F1 is changed, and the largest gains."""
    told = [each for each in results.differences if each.score == "macro_f1"]
    if not told:
        return ["No method was compared with the baseline."]
    helps = sorted(
        (each for each in told if each.verdict == "helps"), key=lambda each: -each.difference.value
    )
    text = _verdicts_in_words(told)
    made = [each for each in helps if each.method != BORROW]
    best = f"The largest gain by synthetic rows or weights is {_in_full(made[0])}." if made else ""
    real = [each for each in told if each.method == BORROW]
    if not real:
        return [f"{text} {best}".rstrip()]
    most = max(real, key=lambda each: each.difference.value)
    return [
        f"{text} {best}".rstrip(),
        f"What they have to beat, other real neurons, without morphology: {_in_full(most)}.",
    ]


def _verdicts_in_words(told: Sequence[Gain]) -> str:
    """Return how many comparisons say what, alone and corrected for their number."""
    alone, corrected = (
        Counter(getattr(each, name) for each in told) for name in ("verdict", "holm_verdict")
    )
    judged = len(told) - alone[NO_VERDICT]
    if not judged:
        return (
            f"No verdicts on {len(told)} comparisons in macro F1 (method, classifier, rows added): "
            "nothing here says how much another division would change."
        )
    without = f" {alone[NO_VERDICT]} more have no verdict." if alone[NO_VERDICT] else ""
    return (
        f"Of {judged} comparisons in macro F1 (method, classifier, rows added), {alone['helps']} "
        f"say that it helps, {alone['hurts']} that it hurts, and {alone[CANNOT_TELL]} cannot tell; "
        f"where nothing is changed, chance would have about {max(1, round(judged / 20))} say one "
        f"or the other.{without} Corrected for all {judged} (Holm, 1979), {corrected['helps']} say "
        f"that it helps and {corrected['hurts']} that it hurts."
    )


def _in_full(each: Gain) -> str:
    added = f", {each.added:,} rows added to each class" if each.added else ""
    return (
        f"{name_of(each.method)} with {classifier_title(each.classifier)}{added}: "
        f"{each.baseline:.3f} to {each.value:.3f}, {gain_in_words(each.difference)}, "
        f"{verdicts_of(each)}"
    )


def verdicts_of(each: Gain) -> str:
    """Return the verdict of a comparison, alone and corrected for their number."""
    if each.verdict == NO_VERDICT:
        return NO_VERDICT
    return f"{each.verdict} (corrected for {each.comparisons} comparisons: {each.holm_verdict})"


def _like_theirs(results: Results) -> str:
    """Return what the same method gains here, by the best of its settings."""
    here = [
        each for each in results.differences if each.method == "smote" and each.score == "accuracy"
    ]
    if not here:
        return ""
    best = max(here, key=lambda each: each.difference.value)
    return f" The most that SMOTE adds to accuracy here: {_in_full(best)}."


def gain_in_words(interval: Interval) -> str:
    """Return a difference with its interval, or why there is none."""
    if np.isfinite([interval.low, interval.high]).all() or np.isnan(interval.value):
        return interval.in_words()
    why = "no variance" if np.isnan(interval.low) else "one division"
    return f"{interval.value:.3f} ({why}: no interval)"


def helping(differences: Sequence[Gain], method: str) -> str:
    """Return how often a method helps and hurts, and what it changes on the mean."""
    here = [each for each in differences if each.method == method and each.score == "macro_f1"]
    known = [each.difference.value for each in here if np.isfinite(each.difference.value)]
    if not known:
        return ""
    mean = f"macro F1 {np.mean(known):+.3f} on the mean"
    judged = [each for each in here if each.verdict != NO_VERDICT]
    if not judged:
        return f"{mean}, {NO_VERDICT}"
    alone, corrected = (
        _counted([getattr(each, name) for each in judged]) for name in ("verdict", "holm_verdict")
    )
    of = f"{alone} of {len(judged)}" if alone else f"{CANNOT_TELL} in any of {len(judged)}"
    if not alone:
        return f"{mean}, {of}"
    number = judged[0].comparisons
    return f"{mean}, {of} (corrected for {number} comparisons: {corrected or CANNOT_TELL})"


def _counted(verdicts: Sequence[str]) -> str:
    """Return such as "helps in 3, hurts in 1", nothing where none does."""
    counts = Counter(verdicts)
    return ", ".join(f"{name} in {counts[name]}" for name in ("helps", "hurts") if counts[name])


def realness(fidelity: Summary, method: str) -> str:
    """Return whether a classifier tells made rows from held-out cells, beside real ones."""
    name = "two_sample_auc, held-out"
    found, floor = (fidelity.get(each, {}).get(name) for each in (method, BASELINE))
    if found is None or floor is None:
        return ""
    words = next((words for limit, words in TOLD if found - floor < limit), "told from real cells")
    return f"{words} (AUC {found:.2f}, real ones {floor:.2f})"


def copying(fidelity: Summary, method: str) -> str:
    """Return whether made rows repeat training cells."""
    found, floor = fidelity.get(method, {}), fidelity.get(BASELINE, {})
    near, distance = found.get("near, training"), copying_ratio(fidelity, method)
    if near is None or distance is None:
        return ""
    return (
        f"{copying_in_words(near, distance)} (nearest training cell at {100 * distance:.0f} % of "
        f"their distance; {100 * near:.0f} % lie near one, of real cells "
        f"{100 * floor['near, training']:.0f} %)"
    )


def copying_ratio(fidelity: Summary, method: str) -> float | None:
    """Return the distance of made rows to training cells, that of held-out cells being 1."""
    name = "nearest, training"
    found, floor = (fidelity.get(each, {}).get(name) for each in (method, BASELINE))
    if found is None or floor is None:
        return None
    # Where held-out cells are training cells again, nothing can come nearer.
    return found / floor if floor > 0 else 1.0


def alone(fidelity: Summary, method: str) -> str:
    """Return what made rows alone are worth to a classifier, beside real training cells."""
    found, real = (fidelity.get(each, {}).get("trained_macro_f1") for each in (method, BASELINE))
    if found is None or not real:
        return ""
    return (
        f"a classifier trained on it alone reaches {found:.3f}, {100 * found / real:.0f} % of the "
        f"{real:.3f} of one trained on real cells"
    )


def notes_of(results: Results) -> Table | None:
    """Return what generators did otherwise than asked for."""
    if not results.notes:
        return None
    rows: list[list[Any]] = [
        [name_of(method), note, count] for (method, note), count in results.notes.items()
    ]
    return Table(columns=["method", "what its generator did", "in divisions"], rows=rows)
