"""Reliability by hand, and temperatures that are known."""

import time

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.evaluation.calibration import (
    TEMPERATURES,
    apply_temperature,
    calibrate,
    calibrate_each,
    calibration_error,
    find_class_sets,
    fit_temperature,
    reliability,
)
from sts.evaluation.scores import score_class_sets
from tests.evaluation.worlds import make_predictions


def calibrated_world(cells: int, seed: int = 0) -> tuple[Floats, Ints]:
    """Return logits and classes drawn with the very probabilities they say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (cells, 4))
    # Gumbel's trick: the largest of logits and such noise follows their softmax
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    logits, truth = calibrated_world(20_000)
    # the inverse temperature of 20,000 such cells is uncertain by about 1 %
    assert fit_temperature(logits * temperature, truth) == pytest.approx(temperature, rel=0.04)


def test_no_other_temperature_has_a_lower_log_loss() -> None:
    logits, truth = calibrated_world(400, seed=3)
    logits = logits * 2.5
    best = fit_temperature(logits, truth)
    least = log_loss(truth, apply_temperature(logits, best), labels=range(4))
    for temperature in np.geomspace(*TEMPERATURES, 100):
        found = log_loss(truth, apply_temperature(logits, temperature), labels=range(4))
        # the search stops within 1e-6 of the minimum, where the loss is flat
        assert least <= found + 1e-9


def test_log_probabilities_serve_as_logits() -> None:
    logits, truth = calibrated_world(500)
    logs = log_softmax(logits, axis=1)
    assert fit_temperature(logs, truth) == pytest.approx(fit_temperature(logits, truth), rel=1e-5)
    # the normaliser cancels: rounding alone remains
    assert apply_temperature(logs, 2.0) == pytest.approx(apply_temperature(logits, 2.0), abs=1e-12)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 20.0])
def test_a_temperature_leaves_the_prediction_alone(temperature: float) -> None:
    logits, _ = calibrated_world(2000)
    probabilities = apply_temperature(logits, temperature)
    assert (probabilities.argmax(axis=1) == logits.argmax(axis=1)).all()
    # float64 sums of four numbers
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-12)


def test_the_temperature_lowers_the_calibration_error_of_the_overconfident() -> None:
    logits, truth = calibrated_world(3000)
    boasting = logits * 3
    before = reliability(apply_temperature(boasting, 1.0), truth).ece
    after = reliability(apply_temperature(boasting, fit_temperature(boasting, truth)), truth).ece
    assert after < 0.25 * before


def test_nothing_is_learnt_from_cells_that_are_all_right() -> None:
    assert fit_temperature(np.eye(4) * 3, np.arange(4)) == 1.0


def test_a_temperature_that_helps_is_applied_and_said() -> None:
    logits, truth = calibrated_world(300)
    found = calibrate(logits * 3, truth)
    assert found.temperature == fit_temperature(logits * 3, truth)
    assert found.cells == 300
    assert f"The temperature is {found.temperature:.2f}, fitted on 300 training" in found.in_words()
    assert found.log_losses[1] < found.log_losses[0]


def test_a_temperature_that_makes_it_worse_is_not_applied_and_that_is_said() -> None:
    for seed in range(20):
        logits, truth = calibrated_world(60, seed=seed)
        found = calibrate(logits, truth)
        if found.is_applied:
            assert found.log_losses[1] < found.log_losses[0]
        else:
            assert found.log_losses[1] >= found.log_losses[0]
            assert found.temperature == 1.0
            assert found.in_words().startswith(f"No temperature is applied: {found.fitted:.2f}")
    # These say their very probabilities: most temperatures follow chance and are of no use.
    applied = [calibrate(*calibrated_world(60, seed=seed)).is_applied for seed in range(20)]
    assert sum(applied) < 10


def test_a_temperature_is_judged_on_cells_that_it_was_not_fitted_on() -> None:
    logits, truth = calibrated_world(95, seed=4)
    logits = logits * 2
    losses = []
    for cell in range(95):
        # Every tenth cell, this one among them, is left out.
        others = np.arange(95) % 10 != cell % 10
        temperature = fit_temperature(logits[others], truth[others])
        probabilities = apply_temperature(logits[cell : cell + 1], temperature)
        losses.append(-np.log(probabilities[0, truth[cell]]))
    # sums of 95 rounded numbers
    assert calibrate(logits, truth).log_losses[1] == pytest.approx(np.mean(losses), abs=1e-12)


def test_few_cells_that_are_all_right_are_left_as_they_are() -> None:
    found = calibrate(np.eye(4) * 3, np.arange(4))
    assert (found.temperature, found.cells) == (1.0, 4)
    assert calibrate(np.eye(4)[:1], np.zeros(1, int)).temperature == 1.0
    assert calibrate(np.empty((0, 4)), np.empty(0, int)).temperature == 1.0


def test_each_cell_is_calibrated_by_the_others() -> None:
    logits, truth = calibrated_world(400, seed=6)
    told = calibrate_each(logits * 4, truth)
    before = reliability(apply_temperature(logits * 4, 1.0), truth).ece
    assert reliability(told, truth).ece < 0.5 * before
    # What a cell is does not count for its own temperature.
    other = truth.copy()
    other[::10] = (other[::10] + 1) % 4
    np.testing.assert_array_equal(calibrate_each(logits * 4, other)[::10], told[::10])


def test_cells_of_unknown_class_teach_nothing() -> None:
    logits, truth = calibrated_world(300)
    hidden = np.arange(300) < 100
    told = fit_temperature(logits, np.where(hidden, -1, truth))
    assert told == fit_temperature(logits[~hidden], truth[~hidden])


def test_a_class_held_impossible_that_comes_true_counts_but_not_beyond_measure() -> None:
    logits, truth = calibrated_world(300)
    logs = log_softmax(logits, axis=1)
    logs[0, truth[0]] = -np.inf
    floored = np.maximum(logs, np.log(np.finfo(np.float64).eps))

    def loss(temperature: float) -> float:
        return log_loss(truth, apply_temperature(floored, temperature), labels=range(4))

    grid = np.geomspace(0.5, 5.0, 200)
    # the grid's steps are 1.2 %
    best = grid[np.argmin([loss(temperature) for temperature in grid])]
    assert fit_temperature(logs, truth) == pytest.approx(best, rel=0.012)


def test_the_calibration_error_equals_its_definition() -> None:
    predictions = make_predictions(500, skill=1.0)
    probabilities, truth = predictions.probabilities, predictions.truth
    wanted = 0.0
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    for edge in range(15):
        inside = (confidence > edge / 15) & (confidence <= (edge + 1) / 15)
        if inside.any():
            gap = abs(confidence[inside].mean() - right[inside].mean())
            wanted += inside.mean() * gap
    # sums of 500 rounded numbers
    assert reliability(probabilities, truth).ece == pytest.approx(wanted, abs=1e-12)


def test_bins_hold_what_falls_into_them() -> None:
    probabilities = np.array([[0.95, 0.05], [0.9, 0.1], [0.4, 0.6], [0.35, 0.65]])
    diagram = reliability(probabilities, np.array([0, 1, 1, 0]), bins=2)
    assert diagram.cells.tolist() == [0, 4]
    assert np.isnan(diagram.accuracy[0])
    assert diagram.accuracy[1] == 0.5
    # means of four numbers
    assert diagram.confidence[1] == pytest.approx(0.775, abs=1e-12)


def test_an_edge_belongs_to_the_bin_below() -> None:
    assert reliability(np.array([[0.5, 0.5]]), np.array([0]), bins=2).cells.tolist() == [1, 0]


def test_full_certainty_lies_in_the_last_bin() -> None:
    assert reliability(np.eye(4), np.arange(4)).cells[-1] == 4


def test_no_cells_have_no_calibration_error() -> None:
    assert np.isnan(reliability(np.empty((0, 4)), np.empty(0, int)).ece)


def test_perfect_calibration_is_that_of_labels_drawn_one_by_one() -> None:
    probabilities = make_predictions(150, seed=4).probabilities
    found = calibration_error(
        probabilities, np.zeros(150, dtype=int), rng=np.random.default_rng(1), draws=4000
    )
    rng = np.random.default_rng(2)
    errors = [
        reliability(probabilities, np.array([rng.choice(4, p=each) for each in probabilities])).ece
        for _ in range(400)
    ]
    # the mean of 400 draws is uncertain by 1.3 % of it, their 95 % point by 2 %; 4 of these
    assert found.perfect_mean == pytest.approx(np.mean(errors), rel=0.05)
    assert found.perfect_high == pytest.approx(np.quantile(errors, 0.95), rel=0.08)


def test_the_error_itself_is_the_ece_and_cells_without_a_class_do_not_count() -> None:
    predictions = make_predictions(60)
    truth = np.where(np.arange(60) < 20, -1, predictions.truth)
    found = calibration_error(predictions.probabilities, truth, rng=np.random.default_rng(0))
    known = calibration_error(
        predictions.probabilities[20:], truth[20:], rng=np.random.default_rng(0)
    )
    assert found == known
    assert found.value == reliability(predictions.probabilities, truth).ece


def test_a_calibrated_classifier_stays_below_its_95_percent_point_19_times_in_20() -> None:
    above = 0
    for seed in range(200):
        logits, truth = calibrated_world(100, seed=seed)
        probabilities = apply_temperature(logits, 1.0)
        error = calibration_error(probabilities, truth, rng=np.random.default_rng(seed), draws=400)
        above += error.value > error.perfect_high
    # 10 are expected of 200; fewer than 2 or more than 21 once in a thousand times
    assert 2 <= above <= 21


def test_fewer_cells_show_a_larger_error_although_nothing_is_wrong() -> None:
    few, many = (
        calibration_error(*_calibrated(cells), rng=np.random.default_rng(0)) for cells in (50, 5000)
    )
    # the error of chance falls about as the root of the cells: 10 times
    assert 5 < few.perfect_mean / many.perfect_mean < 20


def _calibrated(cells: int) -> tuple[Floats, Ints]:
    logits, truth = calibrated_world(cells)
    return apply_temperature(logits, 1.0), truth


def test_sure_and_right_has_no_error_even_by_chance() -> None:
    found = calibration_error(np.eye(4), np.arange(4), rng=np.random.default_rng(0))
    assert (found.value, found.perfect_mean, found.perfect_high) == (0.0, 0.0, 0.0)
    assert found.in_words() == "0.000 (perfect calibration at this n: mean 0.000, 95 % below 0.000)"


def test_no_cell_has_no_error() -> None:
    nothing = calibration_error(np.eye(4), np.full(4, -1), rng=np.random.default_rng(0))
    assert np.isnan([nothing.value, nothing.perfect_mean, nothing.perfect_high]).all()
    assert nothing.in_words() == "–"


def test_1000_draws_of_1118_cells_take_under_half_a_second() -> None:
    predictions = make_predictions(1118)
    start = time.perf_counter()
    calibration_error(
        predictions.probabilities, predictions.truth, rng=np.random.default_rng(0), draws=1000
    )
    # 0.02 s on one free core: other tests may run beside this one
    assert time.perf_counter() - start < 0.5


def test_sets_hold_the_true_class_as_often_as_promised_in_every_class() -> None:
    logits, truth = calibrated_world(24_000, seed=4)
    # A rare class, whose probabilities are too low, is covered like the others.
    logits[:, 3] -= 2.0
    kept = np.arange(len(truth)) < 4000
    kept &= (truth != 3) | (np.arange(len(truth)) % 10 == 0)
    known = calibrate(logits[kept], truth[kept]).own_probabilities
    new = np.arange(len(truth)) >= 4000
    probabilities = apply_temperature(logits[new], calibrate(logits[kept], truth[kept]).temperature)
    for coverage in (0.8, 0.9):
        sets = find_class_sets(probabilities, known, coverage)
        for label, own in enumerate(known):
            of_class = truth[new] == label
            # The coverage over new cells is beta distributed, by the calibration cells.
            spread = np.sqrt(coverage * (1 - coverage) * (1 / len(own) + 1 / of_class.sum()))
            assert sets[of_class, label].mean() == pytest.approx(coverage, abs=4 * spread)


def test_a_class_of_few_calibration_cells_is_in_every_set() -> None:
    probabilities = np.array([[0.999, 0.001], [0.5, 0.5]])
    many = [tuple(np.linspace(0.3, 1.0, 50)), (0.4,) * 8]
    assert find_class_sets(probabilities, many).tolist() == [[True, True], [True, True]]
    many[1] = (0.4,) * 9
    assert find_class_sets(probabilities, many).tolist() == [[True, False], [True, True]]
    with pytest.raises(StsError, match="need 2 classes, not 1"):
        find_class_sets(probabilities, many[:1])


def test_scores_of_sets_are_counted_by_data_set_and_class() -> None:
    predictions = make_predictions(12, seed=1)
    sets = np.zeros((12, len(predictions.classes)), dtype=bool)
    sets[np.arange(12), np.maximum(predictions.truth, 0)] = True
    sets[0] = False
    scores = score_class_sets(predictions, sets)
    known = predictions.truth >= 0
    assert scores["pooled"].cells == known.sum()
    missed = int(known[0])
    assert scores["pooled"].coverage.value == pytest.approx(1 - missed / known.sum())
    assert scores["pooled"].empty == pytest.approx(missed / known.sum())
    by_class = [scores[name].cells for name in predictions.classes if name in scores]
    assert sum(by_class) == known.sum()
