"""Measures of likeness are those of others, and tell copies, noise and real rows apart."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from sts.augment.evaluate import PreparedItem
from sts.augment.fidelity import (
    LEARNERS,
    MEASURES,
    Measurement,
    measure_fidelity,
    scale_sides,
)
from sts.augment.grid import Division, Grid, Item
from sts.augment.measures import (
    attack_membership,
    boosted_auc,
    class_distances,
    compare_with_class_distances,
    correlation_error,
    coverage,
    density,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p,
    mean_gaps,
    measure_classes,
    nearest_distances,
    score_learner,
    score_training,
    two_sample_auc,
    variance_ratio,
    wasserstein,
)
from tests.augment.tables import NAMES, blobs, halves

RNG = np.random.default_rng(0)
ONE, OTHER = np.round(RNG.standard_normal((40, 3)), 1), np.round(RNG.standard_normal((25, 3)), 1)


def test_distances_of_distributions_are_scipys() -> None:
    tests = [stats.ks_2samp(*pair, method="asymp") for pair in zip(ONE.T, OTHER.T, strict=True)]
    gaps = kolmogorov_smirnov(ONE, OTHER)
    # Equal but for the order of sums; values are rounded, so that many are equal.
    assert gaps == pytest.approx([each.statistic for each in tests], abs=1e-12)
    assert kolmogorov_smirnov_p(ONE, OTHER) == pytest.approx(
        [each.pvalue for each in tests], rel=1e-9
    )
    moved = [stats.wasserstein_distance(*pair) for pair in zip(ONE.T, OTHER.T, strict=True)]
    assert wasserstein(ONE, OTHER) == pytest.approx(moved, abs=1e-12)
    assert kolmogorov_smirnov(ONE, ONE) == pytest.approx([0.0] * 3, abs=1e-12)


def test_a_shift_is_its_own_size() -> None:
    assert wasserstein(ONE + 0.7, ONE) == pytest.approx([0.7] * 3)
    assert mean_gaps(ONE + 0.7, ONE) == pytest.approx([0.7] * 3)


def test_classes_with_too_few_rows_are_not_measured() -> None:
    made = (ONE, np.repeat([0, 1], [39, 1]))
    real = (OTHER, np.repeat([0, 1], [20, 5]))
    table = measure_classes(wasserstein, made, real)
    assert list(table) == [0, 1]
    assert np.isfinite(table[0]).all()
    assert np.isnan(table[1]).all()


def test_errors_are_compared_with_the_spread_between_classes() -> None:
    spread = class_distances(np.array([[0.0], [2.0], [5.0]]), np.array([0, 1, 2]))
    assert sorted(spread.ravel().tolist()) == [2.0, 3.0, 5.0]
    errors = np.array([[0.1, 0.2, 9.0]])
    share, chance = compare_with_class_distances(errors, spread)
    tested = stats.mannwhitneyu(errors.ravel(), spread.ravel(), alternative="less")
    assert share == pytest.approx(6 / 9)
    assert chance == pytest.approx(tested.pvalue)


def test_correlations_and_variances_are_numpys() -> None:
    above = np.triu_indices(3, k=1)
    wanted = np.abs(np.corrcoef(ONE.T) - np.corrcoef(OTHER.T))[above].mean()
    assert correlation_error(ONE, OTHER) == pytest.approx(wanted)
    # One feature hangs together with no other, and one row with nothing.
    assert np.isnan(correlation_error(ONE[:, :1], OTHER[:, :1]))
    assert np.isnan(correlation_error(ONE[:1], OTHER))
    y = np.repeat([0, 1], 20)
    assert variance_ratio((2 * ONE, y), (ONE, y)) == pytest.approx(4.0)


def test_nearest_and_coverage_are_the_direct_ones() -> None:
    assert nearest_distances(ONE, OTHER) == pytest.approx(cdist(ONE, OTHER).min(axis=1))
    assert coverage(ONE, ONE) == 1.0
    radius = np.sort(cdist(OTHER, OTHER), axis=1)[:, 5]
    wanted = (cdist(OTHER, ONE).min(axis=1) <= radius).mean()
    assert coverage(ONE, OTHER) == pytest.approx(wanted)
    assert coverage(OTHER + 100, OTHER) == 0.0
    dense = (cdist(ONE, OTHER) <= radius).sum(axis=1).mean() / 5
    assert density(ONE, OTHER) == pytest.approx(dense)
    assert density(OTHER + 100, OTHER) == 0.0


def test_a_judge_tells_what_differs_and_not_what_does_not() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 300)
    rows = [rng.standard_normal((300, 4)) + y[:, None] for _ in range(2)]
    # 300 rows a side: one standard error of the area is .024.
    for separate in (two_sample_auc, boosted_auc):
        assert abs(separate((rows[0], y), (rows[1], y), rng) - 0.5) < 0.1
        assert separate((rows[0] + 3, y), (rows[1], y), rng) > 0.95
    assert np.isnan(two_sample_auc((rows[0][:3], y[:3]), (rows[1], y), rng))


def test_rows_of_one_law_are_told_apart_by_nobody_however_rare_their_classes() -> None:
    areas = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = np.repeat(np.arange(10), [60, 20, 8, 5, 3, 3, 2, 2, 1, 1])
        sides = [rng.standard_normal((len(y), 6)) + y[:, None] for _ in range(2)]
        areas.append(two_sample_auc((sides[0], y), (sides[1], y), rng))
    # 8 areas of 105 rows a side: a standard error of .015. Folds that take more of one side's rows
    # of a class than of the other's end at .43.
    assert np.mean(areas) == pytest.approx(0.5, abs=0.045)


def test_one_learns_from_rows_of_the_right_classes_only() -> None:
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1, 2], 40)
    rows = rng.standard_normal((120, 4)) + 4 * y[:, None]
    right, wrong = (
        score_training((rows, labels), (rows, y), classes=("a", "b", "c"), rng=rng)
        for labels in (y, np.roll(y, 40))
    )
    assert right["macro_f1"] == 1.0
    assert wrong["macro_f1"] == 0.0
    # With 4 deviations between means, 2 % of rows lie nearer to those of another class.
    for name in LEARNERS:
        own = score_learner(name, (rows, y), (rows, y), classes=("a", "b", "c"), rng=rng)
        assert own > 0.93, name
    one_class = (rows[:40], y[:40])
    assert np.isnan(score_learner("lda", one_class, (rows, y), classes=("a", "b", "c"), rng=rng))


def test_an_attack_finds_what_a_generator_remembers_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    training, held_out, fresh = (rng.standard_normal((n, 6)) for n in (300, 300, 900))
    copies = np.repeat(training, 3, axis=0)
    near = copies + 0.5 * rng.standard_normal(copies.shape)
    law, floor, half, whole = (
        attack_membership(rows, training, held_out, np.random.default_rng(0))
        for rows in (fresh, None, near, copies)
    )
    for attack in ("distance", "density"):
        # 300 cells on either side: a standard error of .024.
        for each in (law, floor):
            assert each[f"{attack}_auc"] == pytest.approx(0.5, abs=0.07)
            assert each[f"{attack}_found"] < 0.06
        assert 0.7 < half[f"{attack}_auc"] < whole[f"{attack}_auc"] == 1.0
        assert half[f"{attack}_found"] < whole[f"{attack}_found"] == 1.0
    assert attack_membership(fresh, training, held_out[:2], rng) == {}


def found_of(method: str) -> dict[tuple[str, str], float]:
    neurons = blobs((60, 45, 30))
    item = Item(
        method=method,
        task="e",
        division=halves(neurons),
        neurons=neurons,
        grid=Grid(classifiers=("lda",)),
    )
    values: dict[tuple[str, str], list[float]] = {}
    for each in measure_fidelity(PreparedItem(item)):
        values.setdefault((each.measure, each.against), []).append(each.value)
    return {key: float(np.nanmean(several)) for key, several in values.items()}


def test_copies_are_told_from_new_rows_and_both_from_the_floor() -> None:
    floor, copies, smote = (found_of(name) for name in ("none", "random", "smote"))
    # Repeated rows lie on training cells, SMOTE's between them, held-out cells further out.
    assert copies["nearest", "training"] == 0.0
    assert copies["nearest", "training"] < smote["nearest", "training"]
    assert smote["nearest", "training"] < floor["nearest", "training"]
    assert smote["variance_ratio", "training"] < 0.9
    attacks = [found["distance_auc", ""] for found in (floor, smote, copies)]
    assert attacks == sorted(attacks)
    # Five draws a row leave out exp(-5) of the rows.
    assert attacks[-1] > 0.97
    for found in (floor, copies, smote):
        assert {name for name, _ in found} == set(MEASURES)
        assert {side for _, side in found} == {"training", "held-out", ""}


def test_the_floor_is_what_real_cells_reach_on_either_side() -> None:
    neurons = blobs((60, 45, 30))
    item = Item(method="none", task="e", division=halves(neurons), neurons=neurons, grid=Grid())
    sides = scale_sides(PreparedItem(item))
    floor = {
        (each.measure, each.against): each.value
        for each in measure_fidelity(PreparedItem(item))
        if not each.label and not each.feature
    }
    (training, y), (held_out, z) = sides.training, sides.held_out
    direct = np.median(cdist(held_out, training).min(axis=1))
    assert floor["nearest", "training"] == pytest.approx(direct)
    labels = np.intersect1d(y, z)
    chances = [
        stats.ks_2samp(held_out[z == label][:, j], training[y == label][:, j], method="asymp")
        for label in labels
        for j in range(len(sides.names))
    ]
    wanted = np.mean([each.pvalue < 0.05 for each in chances])
    assert floor["ks_rejected", "training"] == pytest.approx(wanted)


def test_classes_on_one_side_alone_leave_nothing_to_measure() -> None:
    neurons = blobs((1, 1, 1, 1))
    division = Division(repeat=0, fold=0, fit=np.array([0, 1]), scored=np.array([2, 3]))
    item = Item(method="smote", task="e", division=division, neurons=neurons, grid=Grid())
    assert measure_fidelity(PreparedItem(item)) == []


def test_it_is_measured_in_deviations_of_the_training_cells_without_flags() -> None:
    neurons = blobs((60, 45, 30))
    item = Item(method="none", task="e", division=halves(neurons), neurons=neurons, grid=Grid())
    sides = scale_sides(PreparedItem(item))
    assert sides.names == NAMES
    assert sides.training[0].std(axis=0) == pytest.approx(np.ones(5))
    assert sides.scale.shape == (5,)
    assert isinstance(measure_fidelity(PreparedItem(item))[0], Measurement)
