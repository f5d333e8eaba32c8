"""Saying nothing drops errors: curves, thresholds and false alarms."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from sts.evaluation.abstention import false_alarms, find_threshold, risk_coverage

RNG = np.random.default_rng(0)
CONFIDENCE = RNG.random(500)
RIGHT = RNG.random(500) < CONFIDENCE


def test_the_curve_counts_errors_among_the_most_confident() -> None:
    found = risk_coverage(np.array([0.9, 0.5, 0.7, 0.7]), np.array([True, False, False, True]))
    assert found.threshold.tolist() == [0.9, 0.7, 0.5]
    assert found.coverage.tolist() == [0.25, 0.75, 1.0]
    assert np.allclose(found.risk, [0.0, 1 / 3, 0.5])
    assert np.isclose(found.area, 0.25 * 0 + 0.5 / 3 + 0.25 * 0.5)


def test_the_curve_ends_at_the_share_of_all_errors() -> None:
    found = risk_coverage(CONFIDENCE, RIGHT)
    assert found.coverage[-1] == 1.0
    assert np.isclose(found.risk[-1], 1 - RIGHT.mean())
    assert (np.diff(found.coverage) > 0).all()


def test_a_confidence_that_knows_more_leaves_less_risk() -> None:
    perfect = risk_coverage(RIGHT.astype(float), RIGHT).area
    chance = risk_coverage(RNG.random(500), RIGHT).area
    assert perfect < risk_coverage(CONFIDENCE, RIGHT).area < chance


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_threshold_drops_the_share_of_errors_that_is_asked_for(share: float) -> None:
    threshold = find_threshold(CONFIDENCE, RIGHT, errors_dropped=share)
    wrong, right = (float((CONFIDENCE[of] < threshold).mean()) for of in (~RIGHT, RIGHT))
    errors = int((~RIGHT).sum())
    assert share <= wrong < share + 1 / errors + 1e-9
    assert right <= wrong or share == 0


def test_without_errors_nothing_is_dropped() -> None:
    none = np.ones(3, dtype=bool)
    assert find_threshold(CONFIDENCE[:3], none) == 0.0


def test_false_alarms_are_those_of_the_roc_curve() -> None:
    known, unlike = RNG.normal(size=300), RNG.normal(1.5, size=200)
    truth = np.repeat([0, 1], [300, 200])
    rates = roc_curve(truth, np.concatenate([known, unlike]), drop_intermediate=False)
    expected = rates[0][rates[1] >= 0.95].min()
    assert np.isclose(false_alarms(known, unlike), expected)
    assert false_alarms(known, known.max() + np.abs(unlike)) == 0.0
