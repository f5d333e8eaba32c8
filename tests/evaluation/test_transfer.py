"""Weights, shares of classes and how well data sets are told apart, against their definitions."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from sts.evaluation.scores import score
from sts.evaluation.transfer import (
    auc,
    effective_size,
    estimate_shares,
    independence_weights,
    transfer_scores,
    with_shares,
)
from tests.evaluation.worlds import make_predictions, softmax

SHARES = np.array([0.4, 0.3, 0.2, 0.1])


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def confounded(cells: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Return classes and data sets that hang together."""
    rng = generator()
    truth = rng.integers(4, size=cells)
    there = rng.random(cells) < np.array([0.9, 0.2, 0.5, 0.6])[truth]
    return truth, np.where(there, "PatchSeq", "PatchClamp")


def test_under_its_weights_class_and_data_set_are_independent() -> None:
    truth, dataset = confounded()
    weights = independence_weights(truth, dataset)
    for label in range(4):
        for name in np.unique(dataset):
            here = (truth == label) & (dataset == name)
            alone = np.mean(truth == label) * np.mean(dataset == name)
            # sums of 500 numbers in another order
            assert weights[here].sum() / len(truth) == pytest.approx(alone, abs=1e-12)


def test_the_weights_leave_classes_and_data_sets_as_frequent_as_they_are() -> None:
    truth, dataset = confounded()
    weights = independence_weights(truth, dataset)
    for values in (truth, dataset):
        for each in np.unique(values):
            assert weights[values == each].sum() == pytest.approx((values == each).sum(), abs=1e-9)


def test_independent_cells_all_weigh_one() -> None:
    truth, dataset = np.tile(np.arange(4), 6), np.repeat(["a", "b", "c"], 8)
    assert independence_weights(truth, dataset) == pytest.approx(np.ones(24), abs=1e-12)


def test_equal_weights_count_every_cell_and_one_heavy_cell_counts_alone() -> None:
    assert effective_size(np.full(50, 0.3)) == pytest.approx(50)
    assert effective_size(np.array([1e9, 1.0, 1.0])) == pytest.approx(1, abs=1e-6)
    # half of the cells weigh nothing
    assert effective_size(np.repeat([0.0, 2.0], 10)) == pytest.approx(10)


def test_the_scores_are_those_of_scikit_learn_with_weights() -> None:
    cells = make_predictions(400)
    weights = generator().random(400)
    found = transfer_scores(cells, rng=generator(), weights=weights, resamples=10)
    said = cells.prediction
    f1 = f1_score(cells.truth, said, average="weighted", sample_weight=weights)
    recalls = balanced_accuracy_score(cells.truth, said, sample_weight=weights)
    assert found.weighted_f1.value == pytest.approx(f1, abs=1e-12)
    assert found.balanced_accuracy.value == pytest.approx(recalls, abs=1e-12)
    assert found.effective_cells == pytest.approx(effective_size(weights))
    assert found.cells == 400


def test_cells_of_a_donor_are_drawn_together() -> None:
    donors = np.repeat(np.arange(25), 8).astype(str)
    right = np.repeat(np.arange(25) % 3 > 0, 8)
    truth = np.repeat(np.arange(25) % 4, 8)
    probabilities = np.eye(4)[np.where(right, truth, (truth + 1) % 4)]
    parts = {"truth": truth, "probabilities": probabilities, "dataset": np.full(200, "x")}
    widths = []
    for donor_id in (None, donors):
        cells = make_predictions(200, **parts, donor_id=donor_id)
        found = transfer_scores(cells, rng=generator(), resamples=1000).balanced_accuracy
        widths.append(found.high - found.low)
    # eight cells that are alike tell as much as one: the root of eight
    assert widths[1] / widths[0] == pytest.approx(8**0.5, rel=0.15)


def test_without_weights_they_are_the_scores_everywhere_else() -> None:
    cells = make_predictions(200)
    found = transfer_scores(cells, rng=generator(), resamples=10)
    known = score(cells, rng=generator(), resamples=10)
    for name in ("weighted_f1", "balanced_accuracy"):
        assert getattr(found, name).value == getattr(known, name).value


def test_neither_the_order_of_cells_nor_cells_of_no_class_change_a_digit() -> None:
    cells = make_predictions(200)
    weights = generator().random(200)
    truth = cells.truth.copy()
    truth[:20] = -1
    some = make_predictions(200, truth=truth)
    order = generator().permutation(200)
    found = [
        transfer_scores(each.rows(rows), rng=generator(), weights=weights[rows], resamples=50)
        for each, rows in ((some, np.arange(200)), (some, order), (cells, np.arange(20, 200)))
    ]
    assert found[0] == found[1] == found[2]


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    weights = np.random.default_rng(0).uniform(0.2, 3.0, 20_000)
    whole = make_predictions(20_000)
    truth = transfer_scores(whole, rng=generator(), weights=weights, resamples=1).weighted_f1.value
    rng = generator()
    covered = []
    for _ in range(60):
        rows = rng.choice(20_000, 300, replace=False)
        found = transfer_scores(whole.rows(rows), rng=rng, weights=weights[rows], resamples=200)
        covered.append(not found.weighted_f1.excludes(truth))
    # Binomial(60, .95) lies below 51 once in 400 times; the bootstrap is a little narrow.
    assert np.sum(covered) >= 51


def test_every_resample_has_the_only_cell_of_its_class_and_data_set() -> None:
    truth = np.tile(np.arange(3), 14)[:40]
    truth[7] = 3
    said = np.eye(4)[truth]
    said[7] = np.eye(4)[0]
    alone = make_predictions(40, truth=truth, probabilities=said)
    found = transfer_scores(alone, rng=generator(), resamples=200)
    # Three classes are always right and one always wrong, whichever cells are drawn.
    assert (found.balanced_accuracy.low, found.balanced_accuracy.high) == (0.75, 0.75)


@pytest.mark.parametrize("digits", [8, 1])
def test_the_auc_is_that_of_scikit_learn_with_ties_and_without(digits: int) -> None:
    rng = generator()
    is_other = rng.random(300) < 0.3
    scores = np.round(rng.normal(size=300) + is_other, digits)
    found = auc(scores, is_other, rng=rng, resamples=20)
    assert found.value == pytest.approx(roc_auc_score(is_other, scores), abs=1e-12)


def test_the_interval_of_the_auc_is_that_of_a_bootstrap_written_out() -> None:
    rng = generator()
    is_other = np.repeat([False, True], [200, 120])
    scores = rng.normal(size=320) + is_other
    found = auc(scores, is_other, rng=rng, resamples=4000)
    drawn = []
    for _ in range(1000):
        rows = np.concatenate([rng.integers(0, 200, 200), rng.integers(200, 320, 120)])
        drawn.append(roc_auc_score(is_other[rows], scores[rows]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    # Quantiles of 1000 draws of deviation .025 are known to .002.
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.006)


def test_the_other_way_round_the_auc_is_what_lacks_to_one() -> None:
    rng = generator()
    is_other = rng.random(100) < 0.5
    scores = rng.normal(size=100) + is_other
    there, back = (auc(scores, side, rng=generator()) for side in (is_other, ~is_other))
    assert there.value + back.value == pytest.approx(1.0, abs=1e-12)


def test_cells_of_one_data_set_have_no_auc() -> None:
    with pytest.raises(ValueError, match="both data sets"):
        auc(np.arange(4.0), np.zeros(4, dtype=bool), rng=generator())


def test_shares_that_stay_change_nothing_and_those_that_return_undo_it() -> None:
    said = softmax(generator().normal(size=(50, 4)))
    np.testing.assert_allclose(with_shares(said, SHARES, SHARES), said, atol=1e-15)
    there = with_shares(said, SHARES, SHARES[::-1])
    np.testing.assert_allclose(there.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(with_shares(there, SHARES[::-1], SHARES), said, atol=1e-12)


def test_a_class_that_nothing_was_trained_on_stays_impossible() -> None:
    said = np.array([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    shares, wanted = np.array([0.6, 0.4, 0.0, 0.0]), np.array([0.0, 0.5, 0.5, 0.0])
    found = with_shares(said, shares, wanted)
    np.testing.assert_allclose(found[0], [0.0, 1.0, 0.0, 0.0])
    # Nothing that is wanted was possible: all that is known is what is wanted.
    np.testing.assert_allclose(found[1], wanted)


def mixture(shares: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features of four normal classes and the densities of each class."""
    rng = generator()
    truth = rng.choice(4, cells, p=shares)
    middles = 1.5 * np.arange(4)
    x = rng.normal(middles[truth], 1.0)
    return x, np.exp(-0.5 * (x[:, None] - middles) ** 2)


def test_shares_of_a_mixture_are_found_by_a_classifier_of_another_mixture() -> None:
    real = np.array([0.1, 0.5, 0.1, 0.3])
    _, densities = mixture(real, 20_000)
    posterior = densities * SHARES
    posterior /= posterior.sum(axis=1, keepdims=True)
    # Of 20,000 cells whose classes overlap, a share is known to about .01.
    assert estimate_shares(posterior, SHARES) == pytest.approx(real, abs=0.03)


def test_shares_that_are_right_already_stay() -> None:
    _, densities = mixture(SHARES, 20_000)
    posterior = densities * SHARES
    posterior /= posterior.sum(axis=1, keepdims=True)
    assert estimate_shares(posterior, SHARES) == pytest.approx(SHARES, abs=0.03)
