"""What is said follows from the cells: differences by fold, and words on help, likeness, copies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.augment.tasks import load_task
from sts.evaluation.compare import corrected_interval
from sts.evaluation.scores import Interval
from sts.reports.benchmark_scores import (
    find_fidelity_intervals,
    summarise_fidelity,
    summarise_scores,
)
from sts.reports.page import Block, Table
from sts.studies.augment.conclusions import (
    describe_gains,
    describe_leak,
    describe_novelty,
    describe_realism,
    format_gain,
    show_recalls,
    write_conclusions,
)
from sts.studies.augment.results import Results, compare_with_baseline
from tests.augment.tables import blobs
from tests.studies.augment.worlds import job_of, made_workspace


def row(method: str, fold: int, value: float, added: int = 0) -> dict[str, Any]:
    return {
        "method": method,
        "repeat": 0,
        "fold": fold,
        "added": added,
        "part": 1.0,
        "classifier": "lda",
        "accuracy": value,
        "recall_a": np.nan if fold == 2 else value,
        "train_rows": 80,
        "scored_rows": 20,
    }


def test_differences_are_paired_by_fold() -> None:
    base = [row("none", fold, value) for fold, value in enumerate((0.2, 0.5, 0.8))]
    more = [row("smote", fold, value, 9) for fold, value in enumerate((0.31, 0.6, 0.89))]
    accuracy, recall = compare_with_baseline([*base, *more], protocol="cv")
    assert accuracy.difference.value == pytest.approx(0.1)
    # Folds differ far more than the method does, and cancel.
    assert accuracy.verdict == "helps"
    assert (accuracy.baseline, accuracy.value) == pytest.approx((0.5, 0.6))
    assert (accuracy.pairs, recall.pairs) == (3, 2)
    level = summarise_scores(base, "accuracy", protocol="cv")["none", "lda", 0, 1.0]
    assert level.low < 0.2


def test_a_verdict_stands_beside_that_after_holm_s_correction() -> None:
    """One of twelve comparisons has p = .03: alone it helps, among twelve nobody can tell."""
    rng = np.random.default_rng(3)
    rows = [row("none", fold, 0.5) for fold in range(4)]
    for added in range(1, 12):
        noise = rng.normal(0.0, 0.05, 4)
        rows += [row("smote", fold, 0.5 + noise[fold] - noise.mean(), added) for fold in range(4)]
    rows += [
        row("smote", fold, 0.5 + value, 99) for fold, value in enumerate((5e-2, 6e-2, 3e-2, 4e-2))
    ]
    found = [
        each for each in compare_with_baseline(rows, protocol="cv") if each.score == "accuracy"
    ]
    assert {each.comparisons for each in found} == {12}
    last = found[-1]
    assert 0.01 < last.p < 0.05
    assert last.holm_p == pytest.approx(12 * last.p)
    assert (last.verdict, last.holm_verdict) == ("helps", "cannot tell")
    assert {"p", "holm_p", "holm_verdict", "comparisons"} <= set(last.to_row())


def test_folds_that_all_differ_by_the_same_have_no_verdict() -> None:
    base = [row("none", fold, value) for fold, value in enumerate((0.25, 0.5, 0.75))]
    more = [row("smote", fold, value, 9) for fold, value in enumerate((0.375, 0.625, 0.875))]
    accuracy = compare_with_baseline([*base, *more], protocol="cv")[0]
    assert (accuracy.verdict, accuracy.holm_verdict) == ("no verdict", "no verdict")
    assert accuracy.comparisons == 0
    assert format_gain(accuracy.difference) == "0.125 (no variance: no interval)"


def test_the_published_protocol_has_no_verdicts() -> None:
    """Its seeds share one holdout, however much they agree."""
    base = [row("none", fold, value) for fold, value in enumerate((0.2, 0.5, 0.8))]
    more = [row("smote", fold, value, 9) for fold, value in enumerate((0.31, 0.6, 0.89))]
    for each in compare_with_baseline([*base, *more], protocol="paper"):
        assert (each.verdict, each.holm_verdict) == ("no verdict", "no verdict")
    assert each.difference.excludes(0.0)


def test_the_page_of_the_published_protocol_says_why(tmp_path: Path) -> None:
    rows = [*folds_of("none", (0.2, 0.5, 0.8)), *folds_of("smote", (0.31, 0.6, 0.89), 9)]
    results = results_of(tmp_path, rows, protocol="paper")
    said = text_of(write_conclusions(results, summarise_fidelity(results.fidelity)))
    assert "No verdicts on 1 comparisons in macro F1" in said
    assert "helps" not in said
    assert "SMOTE: macro F1 +0.100 on average, no verdict;" in said


def test_a_level_ends_where_its_score_does() -> None:
    rows = [row("none", fold, value) for fold, value in enumerate((0.2, 0.5, 0.99))]
    level = summarise_scores(rows, "accuracy", protocol="cv")["none", "lda", 0, 1.0]
    assert (level.low, level.high) == (0.0, 1.0)
    losses = [{**each, "log_loss": 3 * each["accuracy"]} for each in rows]
    loss = summarise_scores(losses, "log_loss", protocol="cv")["none", "lda", 0, 1.0]
    assert loss.low == 0.0
    assert loss.high > 3.0


def test_one_division_has_no_interval_to_show() -> None:
    assert format_gain(Interval(0.25, -np.inf, np.inf)) == "0.250 (one division: no interval)"
    assert format_gain(Interval(0.25, 0.2, 0.3)) == "0.250 [0.200, 0.300]"


def figure(method: str, measure: str, against: str, value: float) -> dict[str, Any]:
    place = {"method": method, "repeat": 0, "fold": 0}
    return {**place, "measure": measure, "against": against, "value": value}


FIDELITY = [
    figure("none", "two_sample_auc", "held-out", 0.48),
    figure("none", "nearest", "training", 4.0),
    figure("none", "near", "training", 0.05),
    figure("none", "trained_macro_f1", "", 0.8),
    figure("smote", "two_sample_auc", "held-out", 0.7),
    figure("smote", "nearest", "training", 1.2),
    figure("smote", "near", "training", 0.9),
    figure("smote", "trained_macro_f1", "", 0.6),
    figure("random", "two_sample_auc", "held-out", 0.5),
    figure("random", "nearest", "training", 0.0),
    figure("random", "near", "training", 1.0),
]


def results_of(folder: Path, rows: list[dict[str, Any]], protocol: str = "cv") -> Results:
    task = load_task("e", made_workspace(folder).data)
    whole = [{**each, "macro_f1": each["accuracy"]} for each in rows]
    return Results(
        job=replace(job_of(methods=("smote", "random")), protocol=protocol),
        task=task,
        divisions=(),
        rows=whole,
        fidelity=FIDELITY,
        samples={},
        failed={},
        gains=compare_with_baseline(whole, protocol=protocol),
    )


def folds_of(method: str, values: tuple[float, ...], added: int = 0) -> list[dict[str, Any]]:
    return [row(method, fold, value, added) for fold, value in enumerate(values)]


def text_of(blocks: list[Block]) -> str:
    return "\n".join(each for each in blocks if isinstance(each, str))


def test_the_page_says_what_helps_what_is_real_and_what_is_a_copy(tmp_path: Path) -> None:
    rows = [
        *folds_of("none", (0.2, 0.5, 0.8)),
        *folds_of("smote", (0.31, 0.6, 0.89), 9),
        *folds_of("random", (0.1, 0.4, 0.69), 9),
    ]
    results = results_of(tmp_path, rows)
    said = text_of(write_conclusions(results, summarise_fidelity(results.fidelity)))
    assert "Of 2 comparisons in macro F1" in said
    assert "1 find that the method helps, 1 that it hurts, and 0 cannot tell" in said
    assert (
        "Corrected for all 2 comparisons (Holm, 1979), 1 find that it helps and 1 that it hurts."
        in said
    )
    assert "is SMOTE with LDA, 9 rows added to each class: 0.500 to 0.600" in said
    assert "a gain of 0.16 by SMOTE" in said
    corrected = "(corrected for 2 comparisons: helps in 1); distinguishable"
    assert f"SMOTE: macro F1 +0.100 on average, helps in 1 of 1 {corrected}" in said
    assert "close to copies: most rows lie nearer to a training cell than real cells do" in said
    assert "reaches 0.600, 75 % of the 0.800" in said
    corrected = "(corrected for 2 comparisons: hurts in 1); not distinguishable"
    assert f"Random oversampling: macro F1 -0.103 on average, hurts in 1 of 1 {corrected}" in said
    assert "copies: its rows are training cells (nearest training cell at 0 %" in said


def test_each_class_has_its_recall_with_an_interval_and_rare_ones_are_named(tmp_path: Path) -> None:
    rows = [*folds_of("none", (0.2, 0.5, 0.8)), *folds_of("smote", (0.31, 0.6, 0.89), 9)]
    task = replace(load_task("e", made_workspace(tmp_path).data), neurons=blobs((30, 12)))
    for each in rows:
        each |= {"recall_class 0": each["accuracy"], "recall_class 1": 1 - each["accuracy"]}
    results = replace(results_of(tmp_path, rows), task=task)
    table, rare = show_recalls(results)
    assert isinstance(table, Table)
    assert [row[:2] for row in table.rows] == [["class 1", 12], ["class 0", 30]]
    plain, change = (str(text) for text in table.rows[1][2:])
    assert plain.startswith("0.500 [0.0")
    # Folds differ far more than the method does, and cancel.
    assert change.startswith("0.100 [0.0")
    assert str(rare).endswith("class 1.")


def test_of_neurons_that_are_made_up_it_says_so_and_compares_with_no_study(tmp_path: Path) -> None:
    results = results_of(tmp_path, folds_of("none", (0.2, 0.5)))
    said = text_of(write_conclusions(replace(results, simulated=True), {}))
    assert said.startswith("These neurons are simulated")
    assert "Vasques" not in said


def test_where_nothing_is_measured_nothing_is_said() -> None:
    assert (
        describe_gains([], "smote"),
        describe_realism({}, "smote"),
        describe_novelty({}, "smote"),
        describe_leak({}, "smote"),
    ) == ("", "", "", "")


def test_an_attack_above_that_with_real_cells_is_a_leak() -> None:
    floor = {"distance_auc": 0.51, "distance_found": 0.01, "density_auc": 0.49}
    floor["density_found"] = 0.01

    def say(distance: float, density: float) -> str:
        values = {**floor, "distance_auc": distance, "density_auc": density, "density_found": 0.4}
        return describe_leak({"none": floor, "smote": values}, "smote")

    assert say(0.55, 0.53).startswith("two attacks do not recognise training cells, though others")
    leak = say(0.60, 0.80)
    assert leak.startswith("a leak: its rows show which cells it was fitted on (by density")
    assert "AUC 0.80, real cells 0.49; 40 % found with 1 % false alarms" in leak
    assert say(0.57, 0.50).startswith("a leak")


def test_the_interval_of_a_measure_is_over_divisions_not_over_classes() -> None:
    rows = [
        {**figure("smote", "ks", "training", value), "repeat": repeat, "fold": fold}
        for repeat, fold, values in ((0, 0, (0.1, 0.3)), (0, 1, (0.3, 0.5)), (1, 0, (0.6,)))
        for value in values
    ]
    found = find_fidelity_intervals(rows, test_to_train=0.25)["smote"]["ks, training"]
    wanted = corrected_interval(np.array([0.2, 0.4, 0.6]), test_to_train=0.25)
    assert (found.value, found.low, found.high) == pytest.approx(
        (wanted.value, wanted.low, wanted.high)
    )
    alone = find_fidelity_intervals(rows[:2], test_to_train=0.25)["smote"]["ks, training"]
    assert alone.in_words() == "0.200"


def test_held_out_cells_that_are_training_cells_again_are_no_yardstick() -> None:
    floor = {"nearest, training": 0.0, "near, training": 0.0}
    found = {"nearest, training": 0.0, "near, training": 0.0}
    assert describe_novelty({"none": floor, "smote": found}, "smote").startswith("new")
