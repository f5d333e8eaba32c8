"""The conclusions of a benchmark in sentences: whether methods help, are realistic, or copy."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from sts.augment.given import FEWEST_MEASURED, NO_ROW, Condition
from sts.augment.grid import BASELINE, BORROW, REAL_NEURONS
from sts.augment.measures import describe_copying
from sts.evaluation.compare import CANNOT_TELL, NO_VERDICT
from sts.evaluation.predictions import RECALL
from sts.evaluation.scores import Interval
from sts.reports.benchmark_scores import (
    FidelitySummary,
    Gain,
    copying_ratio,
    method_title,
    summarise_scores,
)
from sts.reports.page import Block, Table
from sts.studies.augment.planning import FEW_NEURONS, find_best_gain
from sts.studies.augment.results import Results
from sts.tabular.classifiers import classifier_title

CIRCULAR: Final = (
    "E-types are clusters of the same electrophysiology that is classified here (Gouwens et al., "
    "2019), so the task is partly circular: a high score means that the clusters can be read from "
    "these features, not that a type of cell was found."
)
INTERVALS: Final = {
    "cv": (
        "Intervals (95 %) are over all folds of all repeats, corrected for the training rows that "
        "folds share (Nadeau and Bengio, 2003). Differences are paired with the same classifier "
        "on the same fold without added rows. A verdict says whether this interval excludes 0. "
        "About one in twenty true differences of 0 would get a verdict; therefore a second verdict "
        "is corrected for all comparisons in the same score (Holm, 1979). If all folds differ by "
        "the same amount, there is neither."
    ),
    "paper": (
        "As published: one stratified holdout of 20 %. The intervals are over seeds only and do "
        "not contain how another holdout would differ, so they are too narrow for a verdict on "
        "other cells, and there is none. Use --protocol cv for verdicts."
    ),
}
PUBLISHED_OUTCOMES: Final = {
    "e": (
        "Vasques and Cif (2025) report for this task a gain of 0.16 by SMOTE and accuracies of "
        "0.72 to 0.76 on one holdout of 20 %, moderate gains by deep generators, and none after a "
        "reducer. Their published code fills missing values before it divides the neurons, scales "
        "the test set by its own fit, and cross-validates on rows that were generated from the "
        "rows it scores; this benchmark does none of that."
    ),
    "me": (
        "Vasques and Cif (2025) report for this task a gain of 0.12 by SMOTE and accuracies of "
        "0.85 to 0.90 on one holdout of 20 %. Their table contains 27 neurons twice, so that a "
        "neuron can be on both sides. Their published code fills missing values before it divides "
        "the neurons, and cross-validates on rows that were generated from the rows it scores; "
        "this benchmark does none of that."
    ),
}
SIMULATED_NOTE: Final = "These neurons are simulated: this page says nothing about real ones."
ATTACKS: Final = {"distance_auc": "near rows", "density_auc": "density"}
# Difference of the AUC of an attack from that of real cells above which a generator leaks.
ATTACK_LEAK: Final = 0.05
# Largest difference of the AUC from that of real cells, and its meaning.
REALISM: Final = (
    (0.05, "not distinguishable from real cells"),
    (0.15, "hardly distinguishable from real cells"),
)


def write_conclusions(results: Results, fidelity: FidelitySummary) -> list[Block]:
    """Return the outcome, the published outcome, and a sentence for each method."""
    blocks: list[Block] = list(_summarise_gains(results))
    if (condition := results.task.condition) is not None:
        blocks.insert(0, _describe_condition(condition))
    if results.simulated:
        blocks.insert(0, SIMULATED_NOTE)
    elif results.task.name in PUBLISHED_OUTCOMES:
        blocks.append(PUBLISHED_OUTCOMES[results.task.name] + _compare_with_published(results))
    for method in dict.fromkeys(each.method for each in results.gains):
        parts = describe_method(results, fidelity, method)
        blocks.append(f"{method_title(method)}: {'; '.join(filter(None, parts.values()))}.")
    return blocks


def _describe_condition(condition: Condition) -> str:
    """Return what a comparison with conditional rows means."""
    return (
        f"Added rows have {condition.words}, as {condition.met.sum():,} of {len(condition.met):,} "
        "neurons have. Classes without such rows get none. The scores are those of all held-out "
        "neurons, with and without these features; fidelity compares rows with cells that have "
        f"them, in folds with at least {FEWEST_MEASURED} of them on either side."
    )


def describe_method(results: Results, fidelity: FidelitySummary, method: str) -> dict[str, str]:
    """Return whether a method helps, and whether its rows are real, new, leak, and are enough.

    A text is empty if it was not measured.
    """
    return {
        "helps": describe_gains(results.gains, method),
        "real": describe_realism(fidelity, method),
        "new": describe_novelty(fidelity, method),
        "leaks": describe_leak(fidelity, method),
        "alone": _describe_training(fidelity, method),
    }


def _summarise_gains(results: Results) -> list[str]:
    """Return how many comparisons show a change of macro F1, and the largest gains."""
    gains = [each for each in results.gains if each.score == "macro_f1"]
    if not gains:
        return ["No method was compared with the baseline."]
    text = _count_verdicts(gains)
    helpful = [
        each for each in gains if each.verdict == "helps" and each.method not in REAL_NEURONS
    ]
    if helpful:
        best = _describe_gain(max(helpful, key=lambda each: each.difference.value))
        text = f"{text} The largest gain by synthetic rows or weights is {best}."
    real = [each for each in gains if each.method == BORROW]
    if not real:
        return [text]
    most = _describe_gain(max(real, key=lambda each: each.difference.value))
    return [text, f"Synthetic rows have to beat other real neurons, without morphology: {most}."]


def _count_verdicts(gains: Sequence[Gain]) -> str:
    """Return the number of each verdict, without and with correction."""
    alone, corrected = (
        Counter(getattr(each, name) for each in gains) for name in ("verdict", "holm_verdict")
    )
    judged = len(gains) - alone[NO_VERDICT]
    if not judged:
        return (
            f"No verdicts on {len(gains)} comparisons in macro F1 (method, classifier, rows "
            "added): how much another division would change the scores is not known."
        )
    without = f" {alone[NO_VERDICT]} more have no verdict." if alone[NO_VERDICT] else ""
    return (
        f"Of {judged} comparisons in macro F1 (method, classifier, rows added), {alone['helps']} "
        f"find that the method helps, {alone['hurts']} that it hurts, and {alone[CANNOT_TELL]} "
        "cannot tell. If no method changed anything, chance would give about "
        f"{max(1, round(judged / 20))} verdicts.{without} Corrected for all {judged} comparisons "
        f"(Holm, 1979), {corrected['helps']} find that it helps and {corrected['hurts']} that it "
        "hurts."
    )


def _describe_gain(gain: Gain) -> str:
    """Return one comparison with its scores, interval and verdicts."""
    added = f", {gain.added:,} rows added to each class" if gain.added else ""
    verdict = gain.verdict
    if verdict != NO_VERDICT:
        verdict += f" (corrected for {gain.comparisons} comparisons: {gain.holm_verdict})"
    return (
        f"{method_title(gain.method)} with {classifier_title(gain.classifier)}{added}: "
        f"{gain.baseline:.3f} to {gain.value:.3f}, {format_gain(gain.difference)}, {verdict}"
    )


def _compare_with_published(results: Results) -> str:
    """Return the largest gain of SMOTE in accuracy here."""
    gains = [each for each in results.gains if (each.method, each.score) == ("smote", "accuracy")]
    if not gains:
        return ""
    best = max(gains, key=lambda each: each.difference.value)
    return f" The largest gain of SMOTE in accuracy here: {_describe_gain(best)}."


def format_gain(interval: Interval) -> str:
    """Return a difference with its interval, or why there is none."""
    if np.isfinite([interval.low, interval.high]).all() or np.isnan(interval.value):
        return interval.in_words()
    why = "no variance" if np.isnan(interval.low) else "one division"
    return f"{interval.value:.3f} ({why}: no interval)"


def describe_gains(gains: Sequence[Gain], method: str) -> str:
    """Return how often a method helps and hurts, and its mean effect."""
    here = [each for each in gains if each.method == method and each.score == "macro_f1"]
    known = [each.difference.value for each in here if np.isfinite(each.difference.value)]
    if not known:
        return ""
    mean = f"macro F1 {np.mean(known):+.3f} on average"
    judged = [each for each in here if each.verdict != NO_VERDICT]
    if not judged:
        return f"{mean}, {NO_VERDICT}"
    alone, corrected = (
        _join_counts([getattr(each, name) for each in judged])
        for name in ("verdict", "holm_verdict")
    )
    if not alone:
        return f"{mean}, {CANNOT_TELL} in any of {len(judged)}"
    number = judged[0].comparisons
    return (
        f"{mean}, {alone} of {len(judged)} (corrected for {number} comparisons: "
        f"{corrected or CANNOT_TELL})"
    )


def _join_counts(verdicts: Sequence[str]) -> str:
    """Return a text such as "helps in 3, hurts in 1", empty if there is neither."""
    counts = Counter(verdicts)
    return ", ".join(f"{name} in {counts[name]}" for name in ("helps", "hurts") if counts[name])


def describe_realism(fidelity: FidelitySummary, method: str) -> str:
    """Return whether a classifier can separate synthetic rows from held-out cells."""
    name = "two_sample_auc, held-out"
    auc, real = (fidelity.get(each, {}).get(name) for each in (method, BASELINE))
    if auc is None or real is None:
        return ""
    otherwise = "distinguishable from real cells"
    words = next((words for limit, words in REALISM if auc - real < limit), otherwise)
    return f"{words} (AUC {auc:.2f}, real ones {real:.2f})"


def describe_novelty(fidelity: FidelitySummary, method: str) -> str:
    """Return whether synthetic rows repeat training cells."""
    values, real = fidelity.get(method, {}), fidelity.get(BASELINE, {})
    near, distance = values.get("near, training"), copying_ratio(fidelity, method)
    if near is None or distance is None:
        return ""
    return (
        f"{describe_copying(near, distance)} (nearest training cell at {100 * distance:.0f} % of "
        f"the distance of real cells; {100 * near:.0f} % of rows are near one, of real cells "
        f"{100 * real['near, training']:.0f} %)"
    )


def describe_leak(fidelity: FidelitySummary, method: str) -> str:
    """Return whether an attack recognises training cells by the rows of a method."""
    values, real = fidelity.get(method, {}), fidelity.get(BASELINE, {})
    known = [name for name in ATTACKS if name in values and name in real]
    if not known:
        return ""
    worst = max(known, key=lambda name: values[name] - real[name])
    found = values[worst.replace("auc", "found")]
    figures = (
        f"by {ATTACKS[worst]}, AUC {values[worst]:.2f}, real cells {real[worst]:.2f}; "
        f"{100 * found:.0f} % found with 1 % false alarms"
    )
    if values[worst] - real[worst] > ATTACK_LEAK:
        return f"a leak: its rows show which cells it was fitted on ({figures})"
    return f"two attacks do not recognise training cells, though others may ({figures})"


def _describe_training(fidelity: FidelitySummary, method: str) -> str:
    """Return the score of a classifier trained on synthetic rows alone, and on real cells."""
    score, real = (fidelity.get(each, {}).get("trained_macro_f1") for each in (method, BASELINE))
    if score is None or not real:
        return ""
    return (
        f"a classifier trained on these rows alone reaches {score:.3f}, {100 * score / real:.0f} % "
        f"of the {real:.3f} of one trained on real cells"
    )


def show_recalls(results: Results) -> list[Block]:
    """Return the recall of each class, rarest first, and the classes that are too rare."""
    neurons = results.task.neurons
    counts = neurons.counts()
    order = [label for label in np.argsort(counts, kind="stable").tolist() if counts[label]]
    best = find_best_gain(results)
    compared = [] if best is None else [(best.method, best.added)]
    compared += [(each, 0) for each in REAL_NEURONS] if results.job.borrow else []
    columns = {
        neurons.classes[label]: _describe_recall(results, neurons.classes[label], compared)
        for label in order
    }
    heads = [f"change, {_level_title(method, added)}" for method, added in compared]
    table = Table(
        columns=[
            "class",
            "neurons",
            f"recall, {classifier_title(results.main_classifier)}",
            *heads,
        ],
        rows=[
            [neurons.classes[at], int(counts[at]), *columns[neurons.classes[at]]] for at in order
        ],
        caption="Recall of each class, rarest first, and its change by the augmentation with the "
        "largest gain in macro F1, and by real neurons if they are borrowed. Intervals (95 %) are "
        "not corrected for the number of classes.",
    )
    rare = [neurons.classes[label] for label in order if counts[label] < FEW_NEURONS]
    few = (
        f"Classes with fewer than {FEW_NEURONS} neurons, whose recall is not known well: "
        f"{', '.join(rare)}."
    )
    return [table, few] if rare else [table]


def _describe_recall(
    results: Results, name: str, compared: Sequence[tuple[str, int]]
) -> list[object]:
    """Return the recall of a class without added rows, and its changes."""
    score, main = RECALL + name, results.main_classifier
    rows = [row for row in results.rows if row["classifier"] == main]
    levels = summarise_scores(rows, score, protocol=results.job.protocol)
    plain = levels.get((BASELINE, main, 0, 1.0))
    changes = {
        (each.method, each.added): format_gain(_limit_change(each.difference))
        for each in results.gains
        if (each.classifier, each.score) == (main, score)
    }
    return ["" if plain is None else plain.in_words(), *(changes.get(at, "") for at in compared)]


def _limit_change(change: Interval) -> Interval:
    """Return the change of a recall with an interval inside the possible values, -1 to 1."""
    if not np.isfinite([change.low, change.high]).all():
        return change
    return Interval(change.value, max(change.low, -1.0), min(change.high, 1.0))


def _level_title(method: str, added: int) -> str:
    return method_title(method) + (f", {added:,} added" if added else "")


def list_missing_classes(results: Results) -> list[str]:
    """Return the classes for which a method has no row with the given features, each with why."""
    return [
        f"{method_title(method)}, in {count} of {len(results.divisions)} divisions: {note}"
        for (method, note), count in results.notes.items()
        if note.endswith(NO_ROW)
    ]


def make_notes_table(results: Results) -> Table | None:
    """Return the notes of the generators."""
    if not results.notes:
        return None
    rows: list[list[Any]] = [
        [method_title(method), note, count] for (method, note), count in results.notes.items()
    ]
    return Table(columns=["method", "note of its generator", "in divisions"], rows=rows)
