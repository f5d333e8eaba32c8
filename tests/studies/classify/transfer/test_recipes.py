"""Scales, shares, simulated data sets and recipes, each on cells whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from sts.base.types import Floats, Ints
from sts.datasets.ep_tables import EpTable
from sts.signals.feature_names import FEATURES, TIME_FEATURES
from sts.studies.classify.transfer.carry_over import (
    carry_over_both_ways,
    list_steps,
    measure_gaps,
    move_features,
    simulate_data_set,
)
from sts.studies.classify.transfer.measure import FeatureView
from sts.studies.classify.transfer.recipes import (
    ALL_FEATURES,
    ASSUMED_SHARES,
    FITS,
    PLAIN,
    RECIPES,
    SCALES,
    LabelledCells,
    Recipe,
    align_features,
    apply_recipes,
    even_weights,
    find_stable_features,
    ks_distance,
    predict_all_ways,
    predict_dataset,
    weight_by_density_ratio,
)
from sts.studies.classify.transfer.results import ABSOLUTE, ONSET
from tests.datasets.ep_worlds import make_table
from tests.studies.classify.transfer.worlds import CELLS, generator, noisy_table

pytestmark = pytest.mark.usefixtures("small_models")


# How scales are carried over.


def test_cells_that_are_distributed_alike_stay_where_they_are() -> None:
    X, like = generator().normal(size=(2, 4000, 3))
    ones = np.ones(4000)
    # Quantiles of 4000 cells are known to .02 in the middle, to .04 near the ends.
    np.testing.assert_allclose(
        align_features(X, like, weights=ones, reference_weights=ones), X, atol=0.15, rtol=0.05
    )


def test_a_scale_that_was_bent_is_unbent() -> None:
    X = generator().normal(size=(3000, 2))
    bent = np.exp(0.5 * X) + 3
    ones = np.ones(len(X))
    inside = np.abs(X) < 1.9
    found = align_features(bent, X, weights=ones, reference_weights=ones)
    # Between 25 levels the map is a straight line.
    np.testing.assert_allclose(found[inside], X[inside], atol=0.02)


def test_the_order_of_values_stays_and_what_is_missing_stays_missing() -> None:
    rng = generator()
    X, like = rng.normal(size=(200, 1)), rng.exponential(size=(300, 1))
    X[::7] = np.nan
    found = align_features(X, like, weights=np.ones(200), reference_weights=np.ones(300))
    assert (np.isnan(found) == np.isnan(X)).all()
    there = np.isfinite(X[:, 0])
    assert (np.argsort(found[there, 0]) == np.argsort(X[there, 0])).all()


def test_what_has_few_values_has_no_scale() -> None:
    X = np.tile([[0.0], [1.0]], (50, 1))
    like = np.ones((80, 1))
    found = align_features(X, like, weights=np.ones(100), reference_weights=np.ones(80))
    assert (found == X).all()


def shifted_classes(shares: Floats, *, by: float) -> tuple[Floats, Ints]:
    """Return a feature whose mean is the class, and `by` more."""
    rng = generator()
    y = rng.choice(4, 4000, p=shares)
    return (rng.normal(4.0 * y, 1.0) + by)[:, None], y


def test_weights_keep_other_shares_of_classes_from_passing_for_another_scale() -> None:
    like, y = shifted_classes(np.array([0.7, 0.1, 0.1, 0.1]), by=0.0)
    X, truth = shifted_classes(np.array([0.1, 0.1, 0.1, 0.7]), by=5.0)
    of_classes = even_weights(np.eye(4)[y])
    found = align_features(
        X, like, weights=even_weights(np.eye(4)[truth]), reference_weights=of_classes
    )
    # The quantiles of 400 cells of a class are known to .1.
    assert np.median(found - (X - 5.0)) == pytest.approx(0.0, abs=0.2)
    naive = align_features(X, like, weights=np.ones(4000), reference_weights=np.ones(4000))
    assert abs(np.median(naive - (X - 5.0))) > 2.0


def test_under_even_weights_every_known_class_weighs_the_same() -> None:
    y = generator().integers(4, size=300)
    found = even_weights(np.eye(4)[y])
    np.testing.assert_allclose(np.bincount(y, weights=found), np.ones(4), rtol=1e-12)


def test_a_class_that_hardly_a_cell_seems_to_be_of_does_not_weigh_as_the_others() -> None:
    said = np.tile([0.999, 0.001, 0.0, 0.0], (100, 1))
    assert even_weights(said).sum() == pytest.approx(1.1, abs=1e-9)


# How data sets differ.


def test_the_distance_is_the_largest_gap_of_distributions() -> None:
    ones = np.ones(2)
    assert ks_distance(np.array([0.0, 1.0]), np.array([2.0, 3.0]), ones, ones) == pytest.approx(1.0)
    assert ks_distance(np.array([0.0, 1.0]), np.array([1.0, 0.0]), ones, ones) == pytest.approx(0.0)
    half = ks_distance(np.array([0.0, 1.0]), np.array([0.0, np.nan]), ones, ones)
    assert half == pytest.approx(0.5)


def test_the_steady_features_are_those_that_do_not_move() -> None:
    rng = generator()
    X, others = rng.normal(size=(2, 300, 6))
    others[:, [1, 4]] += 2
    found = find_stable_features(X, others, weights=np.ones(300), other_weights=np.ones(300))
    assert found.tolist() == [True, False, True, True, False, True]


def test_data_sets_are_told_apart_only_where_they_differ() -> None:
    rng = generator()
    X = rng.normal(size=(300, 4))
    is_other = np.repeat([False, True], 150)
    alike = predict_dataset(X, is_other, seed=0)
    X[is_other, 2] += 3
    apart = predict_dataset(X, is_other, seed=0)
    # Right for all but the few that lie between.
    assert np.mean((apart > 0) == is_other) > 0.85
    assert np.mean((alike > 0) == is_other) < 0.65


def test_cells_that_look_like_the_others_weigh_more() -> None:
    rng = generator()
    X, others = rng.normal(size=(300, 2)), rng.normal(size=(300, 2))
    others[:, 0] += 1.5
    weights = weight_by_density_ratio(X, others, seed=0)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[X[:, 0] > 1].mean() > 3 * weights[X[:, 0] < 0].mean()


# The simulated data sets on which a recipe is chosen.


def test_features_move_by_gaps_that_were_measured_and_by_no_others() -> None:
    rng = generator()
    here = rng.normal(size=(500, 8))
    there = here.copy()
    there[:, 3] += 2 * np.subtract(*np.quantile(here[:, 3], (0.75, 0.25)))
    gaps = measure_gaps(here, there)
    assert gaps.shift == pytest.approx([0, 0, 0, 2, 0, 0, 0, 0], abs=1e-9)
    found = move_features(here, gaps, rng=rng)
    steps = np.median(found - here, axis=0) / gaps.spread
    assert set(np.round(steps, 6).tolist()) <= {0.0, 2.0, -2.0}


def test_between_a_data_set_and_itself_nothing_moves() -> None:
    X = make_table(80).X
    # To the last digits: the median is taken off and put back.
    np.testing.assert_allclose(move_features(X, measure_gaps(X, X), rng=generator()), X, rtol=1e-9)


def test_values_go_missing_as_often_as_in_the_other_data_set() -> None:
    rng = generator()
    here, there = rng.normal(size=(2, 4000, 2))
    here[:1000, 0] = there[:3000, 0] = np.nan
    found = move_features(here, measure_gaps(here, there), rng=rng)
    # 4000 cells: two deviations are .014.
    assert np.isnan(found).mean(axis=0) == pytest.approx([0.75, 0.0], abs=0.02)


def test_simulated_cells_are_of_every_class_with_other_shares() -> None:
    table = make_table(400)
    gaps = measure_gaps(table.X, table.X)
    shares = [
        np.bincount(simulate_data_set(table.X, table.truth, gaps, rng=rng)[1], minlength=4) / 400
        for rng in map(np.random.default_rng, range(5))
    ]
    assert np.min(shares) > 0
    assert np.std(shares, axis=0).min() > 0.05


# The recipes.


def training_of(table: EpTable, name: str = "PatchSeq") -> LabelledCells:
    own = table.rows(table.dataset == name)
    return LabelledCells(X=own.X, y=own.truth, names=table.names, seed=0)


def test_every_recipe_predicts_every_cell() -> None:
    table = make_table(CELLS)
    others = table.rows(table.dataset == "PatchClamp").X
    found = dict(apply_recipes(training_of(table), others, fitted={}))
    assert tuple(found) == RECIPES
    assert len(RECIPES) == len(FITS) * len(SCALES) * len(ASSUMED_SHARES)
    for said in found.values():
        assert said.shape == (len(others), 4)
        np.testing.assert_allclose(said.sum(axis=1), 1.0, atol=1e-9)


def test_the_plain_recipe_predicts_as_the_models() -> None:
    table = make_table(CELLS)
    training = training_of(table)
    others = table.rows(table.dataset == "PatchClamp").X
    pair = training.fit()
    found = predict_all_ways(pair, others)
    np.testing.assert_allclose(
        found[PLAIN.scale, PLAIN.shares], pair.probabilities(others), atol=1e-12
    )


def test_even_shares_undo_what_rare_classes_lose() -> None:
    table = make_table(320)
    rare = (table.truth != 1) | (np.arange(320) % 20 == 1)
    training = training_of(table.rows(rare & (table.dataset == "PatchSeq")))
    others = table.rows(table.dataset == "PatchClamp")
    found = predict_all_ways(training.fit(), others.X)
    kept, even = (found["as measured", each].argmax(axis=1) for each in ("kept", "even"))
    assert np.mean(even[others.truth == 1] == 1) > np.mean(kept[others.truth == 1] == 1)


def test_the_steps_change_one_choice_at_a_time() -> None:
    whole = Recipe(fit=ALL_FEATURES, scale="ranks", shares="even")
    steps = list_steps(whole)
    assert list(steps) == ["plain", "only scale", "only shares", "chosen"]
    assert steps["only scale"] == replace(PLAIN, scale="ranks")
    assert list_steps(PLAIN) == {"plain": PLAIN, "chosen": PLAIN}


def test_no_class_of_the_other_data_set_is_looked_at() -> None:
    table = noisy_table()
    shuffled = table.label.copy()
    others = np.flatnonzero(table.dataset == "PatchClamp")
    shuffled[others] = shuffled[generator().permutation(others)]
    known, found = (
        {each.trained_on: each for each in carry_over_both_ways(cells, seed=0, workers=1)}
        for cells in (table, replace(table, label=shuffled))
    )
    there = found["PatchSeq"]
    assert there.recipe == known["PatchSeq"].recipe
    for one, other in zip(there.predictions, known["PatchSeq"].predictions, strict=True):
        assert (one.probabilities == other.probabilities).all()
    # Afterwards, and the other way round, they do count.
    assert there.agreement() != known["PatchSeq"].agreement()
    assert (found["PatchClamp"].in_worlds != known["PatchClamp"].in_worlds).any()


# Times from the begin of the sweep.


def test_moving_times_puts_them_where_the_other_data_set_has_them() -> None:
    table = make_table(16)
    assert FeatureView(features="shared", times=ONSET, table=table).move_times() is None
    found = FeatureView(features="shared", times=ABSOLUTE, table=table).move_times()
    assert found is not None
    timed = np.array([name in TIME_FEATURES for name in FEATURES])
    gaps = found.X - table.X
    assert np.nanmax(np.abs(gaps[:, ~timed])) == 0
    for name, step_s in (("PatchClamp", -0.52), ("PatchSeq", 0.52)):
        known = gaps[table.dataset == name][:, timed]
        # times of 10 s to the last digit
        assert known[np.isfinite(known)] == pytest.approx(step_s, abs=1e-12)
