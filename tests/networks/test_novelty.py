"""Cells unlike the training cells."""

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.evaluation.neighbours import nearest
from sts.networks.novelty import Novelty, measure_novelty


def cloud(n: int, *, seed: int, features: int = 50) -> Floats:
    """Return cells whose 50 features hang on 6 causes, and a little on noise."""
    causes = np.random.default_rng(1).normal(size=(6, features))
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6)) @ causes + 0.1 * rng.normal(size=(n, features)) + 3


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    return measure_novelty(cloud(600, seed=0))


def test_few_cells_of_the_same_kind_are_novel(novelty: Novelty) -> None:
    share = novelty.is_novel(cloud(2000, seed=5)).mean()
    # 1 % by construction; a threshold from 600 cells is good to about half of that.
    assert 0.003 < share < 0.03


def test_a_cell_far_along_a_known_direction_is_novel(novelty: Novelty) -> None:
    far = 3 + 6 * (cloud(50, seed=6) - 3)
    assert novelty.is_novel(far).mean() > 0.9


def test_a_cell_off_all_known_directions_is_novel() -> None:
    novelty = measure_novelty(cloud(600, seed=0, features=200))
    rng = np.random.default_rng(7)
    off = cloud(50, seed=6, features=200) + 2 * rng.normal(size=(50, 200))
    assert novelty.is_novel(off).mean() > 0.9


def test_the_threshold_is_the_percentile_of_leave_one_out_distances() -> None:
    cells = cloud(100, seed=2)
    novelty = measure_novelty(cells, neighbours=3, percentile=90)
    left_out = []
    for row in range(100):
        others = np.delete(novelty.cells, row, axis=0)
        gaps = np.sqrt(((others - novelty.cells[row]) ** 2).sum(axis=1))
        left_out.append(np.sort(gaps)[:3].mean())
    assert novelty.rule.threshold == pytest.approx(np.percentile(left_out, 90), rel=1e-9)
    # A training cell finds itself first.
    assert (novelty.distances(cells) < left_out).all()


def test_units_of_features_do_not_matter(novelty: Novelty) -> None:
    units = np.geomspace(0.01, 100, 50)
    other = measure_novelty(cloud(600, seed=0) * units)
    shown = cloud(20, seed=3)
    # Features are kept in float32.
    np.testing.assert_allclose(other.distances(shown * units), novelty.distances(shown), rtol=1e-3)


def test_a_feature_that_never_moves_does_no_harm() -> None:
    cells = cloud(100, seed=0)
    dead = np.column_stack([cells, np.full(100, 7.0)])
    novelty = measure_novelty(dead)
    np.testing.assert_allclose(novelty.distances(dead), measure_novelty(cells).distances(cells))
    # Brought to life, it counts, but not beyond all measure.
    alive = np.column_stack([cells, np.full(100, 7.0 + cells.std())])
    assert novelty.distances(alive).max() < 2 * novelty.distances(dead).max()


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(StsError, match="more than 5 training cells, 5 came"):
        measure_novelty(cloud(5, seed=0))


def test_a_stored_rule_without_its_arrays_is_refused(novelty: Novelty) -> None:
    with pytest.raises(StsError, match="lacks novelty's mean, deviation, components, cells"):
        Novelty.of(novelty.rule, {})


def test_nearest_distances_rise() -> None:
    found = nearest(np.array([[0.0], [1.0], [5.0]]), np.array([[0.0]]), 3)
    assert found.tolist() == [[0, 1, 5]]
