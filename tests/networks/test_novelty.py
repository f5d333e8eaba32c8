"""Cells unlike the training cells."""

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.evaluation.neighbours import mean_distance, upper_bound
from sts.networks.novelty import NetworkNovelty, measure_network_novelty


def cloud(n: int, *, seed: int, features: int = 50) -> Floats:
    """Return cells whose 50 features hang on 6 causes, and a little on noise."""
    causes = np.random.default_rng(1).normal(size=(6, features))
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6)) @ causes + 0.1 * rng.normal(size=(n, features)) + 3


def share_of_novel(novelty: NetworkNovelty, features: Floats) -> float:
    return float((novelty.distances(features) > novelty.rule.threshold).mean())


@pytest.fixture(scope="module")
def novelty() -> NetworkNovelty:
    return measure_network_novelty(cloud(600, seed=0), cloud(600, seed=9))


def test_few_cells_of_the_same_kind_are_novel() -> None:
    shares = []
    for seed in range(9, 14):
        novelty = measure_network_novelty(cloud(600, seed=0), cloud(600, seed=seed))
        shares.append(share_of_novel(novelty, cloud(2000, seed=5)))
    # 5 % by construction; a threshold from 600 cells is good to 0.9 %, five of them to 0.4 %.
    assert 0.037 < np.mean(shares) < 0.063


def test_a_cell_far_along_a_known_direction_is_novel(novelty: NetworkNovelty) -> None:
    far = 3 + 6 * (cloud(50, seed=6) - 3)
    assert share_of_novel(novelty, far) > 0.9


def test_a_cell_off_all_known_directions_is_novel() -> None:
    some, others = (cloud(600, seed=seed, features=200) for seed in (0, 9))
    novelty = measure_network_novelty(some, others)
    rng = np.random.default_rng(7)
    off = cloud(50, seed=6, features=200) + 2 * rng.normal(size=(50, 200))
    assert share_of_novel(novelty, off) > 0.9


def test_the_threshold_is_a_percentile_of_cells_that_were_kept_aside() -> None:
    cells, kept = cloud(100, seed=2), cloud(40, seed=3)
    novelty = measure_network_novelty(cells, kept, neighbours=3, percentile=90)
    # The 37th of 40: a 41st of their kind lies beyond it with a probability of 4 in 41.
    assert novelty.rule.threshold == np.sort(novelty.distances(kept))[36]


def test_cells_that_a_network_was_fitted_on_do_not_say_how_far_others_may_lie() -> None:
    # What a network has learnt by heart lies closer together than new cells of the same kind do.
    novelty = measure_network_novelty(3 + 0.3 * (cloud(600, seed=0) - 3), cloud(600, seed=9))
    assert share_of_novel(novelty, cloud(2000, seed=5)) < 0.08


def test_units_of_features_do_not_matter(novelty: NetworkNovelty) -> None:
    units = np.geomspace(0.01, 100, 50)
    other = measure_network_novelty(cloud(600, seed=0) * units, cloud(600, seed=9) * units)
    shown = cloud(20, seed=3)
    # Features are kept in float32.
    np.testing.assert_allclose(other.distances(shown * units), novelty.distances(shown), rtol=1e-3)


def test_a_feature_that_never_moves_does_no_harm() -> None:
    cells = cloud(100, seed=0)
    dead = np.column_stack([cells, np.full(100, 7.0)])
    novelty = measure_network_novelty(dead, dead)
    without = measure_network_novelty(cells, cells)
    np.testing.assert_allclose(novelty.distances(dead), without.distances(cells))
    # Brought to life, it counts, but not beyond all measure.
    alive = np.column_stack([cells, np.full(100, 7.0 + cells.std())])
    assert novelty.distances(alive).max() < 2 * novelty.distances(dead).max()


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(StsError, match="more than 5 training cells, not 5"):
        measure_network_novelty(cloud(5, seed=0), cloud(5, seed=9))


def test_a_stored_rule_without_its_arrays_is_refused(novelty: NetworkNovelty) -> None:
    with pytest.raises(StsError, match="lacks novelty's mean, deviation, components, cells"):
        NetworkNovelty.of(novelty.rule, {})


def test_a_distance_is_the_mean_to_the_nearest_cells() -> None:
    found = mean_distance(np.array([[0.0], [1.0], [5.0]]), np.array([[0.0]]), 2)
    assert found.tolist() == [0.5]


def test_a_new_value_exceeds_the_bound_as_seldom_as_was_asked() -> None:
    rng = np.random.default_rng(0)
    for n, percentile, wanted in ((199, 99.0, 0.01), (20, 90.0, 2 / 21), (40, 99.0, 1 / 41)):
        beyond = [rng.random() > upper_bound(rng.random(n), percentile) for _ in range(20_000)]
        # three deviations of a share among 20,000
        spread = 3 * np.sqrt(wanted * (1 - wanted) / 20_000)
        assert np.mean(beyond) == pytest.approx(wanted, abs=spread)
