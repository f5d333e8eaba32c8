"""Intervals over repeated folds are those of Nadeau and Bengio, and say how much they cover."""

import math

import numpy as np
import pytest
from scipy import stats

from sts.evaluation.compare import (
    CANNOT_TELL,
    NO_VERDICT,
    correct_by_holm,
    corrected_interval,
    judge,
)


def test_the_interval_is_the_one_written_out() -> None:
    values = [0.01, 0.04, -0.02, 0.05, 0.03, 0.02]
    mean = sum(values) / 6
    variance = sum((value - mean) ** 2 for value in values) / 5
    reach = 2.570581835636314 * math.sqrt((1 / 6 + 0.25) * variance)  # t, 5 degrees of freedom
    found = corrected_interval(np.array(values), test_to_train=0.25)
    assert (found.value, found.low, found.high) == pytest.approx((mean, mean - reach, mean + reach))


def test_without_shared_rows_it_is_the_plain_one() -> None:
    values = np.random.default_rng(0).standard_normal(8)
    found = corrected_interval(values, test_to_train=0.0)
    plain = stats.t.interval(0.95, 7, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(plain)


def test_folds_without_a_value_do_not_count() -> None:
    values = np.array([0.1, np.nan, 0.2, np.nan, 0.4])
    assert corrected_interval(values, test_to_train=0.5) == corrected_interval(
        values[np.isfinite(values)], test_to_train=0.5
    )
    assert math.isnan(corrected_interval(np.array([np.nan]), test_to_train=0.5).value)


def test_one_division_alone_leaves_everything_open() -> None:
    judged = judge(np.array([0.3]), "accuracy", test_to_train=0.25)
    assert judged.verdict == NO_VERDICT
    assert math.isnan(judged.p)
    assert (judged.difference.low, judged.difference.high) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("values", "score", "verdict"),
    [
        ([0.10, 0.11, 0.12], "accuracy", "helps"),
        ([-0.10, -0.11, -0.12], "macro_f1", "hurts"),
        ([0.10, 0.11, 0.12], "log_loss", "hurts"),
        ([-0.10, -0.11, -0.12], "log_loss", "helps"),
        ([0.10, -0.11, 0.12], "recall_a", CANNOT_TELL),
        # Without variance between folds nothing is known of how much they vary.
        ([0.0, 0.0, 0.0], "accuracy", NO_VERDICT),
        ([1e-15, 1e-15, 1e-15], "accuracy", NO_VERDICT),
        ([0.02, 0.02, 0.02 + 1e-16], "accuracy", NO_VERDICT),
        ([math.nan, math.nan], "recall_a", NO_VERDICT),
    ],
)
def test_verdicts_are_these(values: list[float], score: str, verdict: str) -> None:
    assert judge(np.array(values), score, test_to_train=0.25).verdict == verdict


def test_equal_differences_have_neither_interval_nor_p() -> None:
    judged = judge(np.full(5, 0.02), "accuracy", test_to_train=0.25)
    assert judged.difference.value == pytest.approx(0.02)
    assert np.isnan([judged.difference.low, judged.difference.high, judged.p]).all()


def test_folds_that_are_all_alike_have_no_interval() -> None:
    found = corrected_interval(np.full(3, 0.66), test_to_train=0.0)
    assert found.in_words() == "0.660"


def test_seeds_of_one_division_give_an_interval_but_no_verdict() -> None:
    values = np.array([0.10, 0.11, 0.12])
    judged = judge(values, "accuracy", test_to_train=0.0, over_divisions=False)
    assert judged.verdict == NO_VERDICT
    assert math.isnan(judged.p)
    assert judged.difference == corrected_interval(values, test_to_train=0.0)


def test_p_is_that_of_a_paired_t_test_where_nothing_is_shared() -> None:
    ours, theirs = np.random.default_rng(0).normal([[0.1], [0.0]], 0.1, (2, 9))
    p = judge(ours - theirs, "accuracy", test_to_train=0.0).p
    assert p == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5, 3.0])
def test_p_and_interval_agree(scale: float) -> None:
    values = np.array([-0.3, 0.9, 0.1, 0.4, 0.6]) + scale
    judged = judge(values, "accuracy", test_to_train=0.25)
    assert (judged.p < 0.05) == judged.difference.excludes(0.0)


def test_holm_by_hand() -> None:
    """Five, four, three... times the smallest, next, ...; never below an earlier one (1979)."""
    assert correct_by_holm([0.03, 0.01, 0.05, 0.02, 0.04]) == pytest.approx(
        [0.09, 0.05, 0.09, 0.08, 0.09]
    )
    assert correct_by_holm([0.9, 0.6]) == pytest.approx([1.0, 1.0])
    assert correct_by_holm([0.03]) == pytest.approx([0.03])
    assert correct_by_holm([]) == []


def test_comparisons_without_a_p_are_not_counted() -> None:
    corrected = correct_by_holm([0.02, math.nan, 0.01])
    assert corrected[::2] == pytest.approx([0.02, 0.02])
    assert math.isnan(corrected[1])


def covered(test_to_train: float, *, worlds: int = 300) -> float:
    """Return how often the interval holds a difference of means that is none.

    Two rules of a threshold are fitted to the training part of 60 rows and scored on the rest, in
    five folds twice; both are equally good on the mean over worlds.
    """
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(worlds):
        X = rng.standard_normal((60, 2))
        truth = (X.sum(axis=1) + rng.standard_normal(60)) > 0
        differences = []
        for _ in range(2):
            fold = rng.permutation(60) % 5
            for each in range(5):
                fit, scored = fold != each, fold == each
                limits = X[fit].mean(axis=0)
                right = ((X[scored] > limits) == truth[scored, None]).mean(axis=0)
                differences.append(right[0] - right[1])
        interval = corrected_interval(np.array(differences), test_to_train=test_to_train)
        held += not interval.excludes(0.0)
    return held / worlds


def test_the_corrected_interval_covers_what_it_says_and_the_plain_one_does_not() -> None:
    # 300 worlds: one standard error at .95 is .013, at .8 .023.
    assert covered(12 / 48) > 0.91
    assert covered(0.0) < 0.90


def test_the_corrected_interval_holds_where_the_plain_one_does_not() -> None:
    """Differences of nothing, over folds whose training rows overlap."""
    rng = np.random.default_rng(0)
    wrong = {0.25: 0, 0.0: 0}
    for _ in range(400):
        # Folds share four fifths of their rows, and so most of what chance made of these.
        values = rng.standard_normal() + rng.standard_normal(10)
        for ratio in wrong:
            wrong[ratio] += corrected_interval(values, test_to_train=ratio).excludes(0.0)
    assert wrong[0.25] < wrong[0.0] / 1.5


@pytest.mark.parametrize(
    ("values", "score", "verdict"),
    [
        ([0.10, 0.11, 0.09, 0.10], "macro_f1", "helps"),
        ([-0.10, -0.11, -0.09, -0.10], "macro_f1", "hurts"),
        ([-0.10, -0.11, -0.09, -0.10], "log_loss", "helps"),
        ([0.1, -0.1, 0.2, -0.2], "accuracy", "cannot tell"),
        ([0.0, 0.0, 0.0], "accuracy", "no verdict"),
        ([0.3], "accuracy", "no verdict"),
        ([np.nan, np.nan], "recall_a", "no verdict"),
    ],
)
def test_verdicts(values: list[float], score: str, verdict: str) -> None:
    assert judge(np.array(values), score, test_to_train=0.25).verdict == verdict
