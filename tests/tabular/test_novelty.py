"""Cells unlike the training cells, some of their features missing."""

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.tabular.novelty import Novelty, measure_novelty


def cloud(n: int, *, seed: int) -> Floats:
    """Return cells whose 30 features hang on 4 causes and a little on noise, some missing."""
    causes = np.random.default_rng(1).normal(size=(4, 30))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)) @ causes + 0.1 * rng.normal(size=(n, 30)) + 3
    X[rng.random(X.shape) < 0.05] = np.nan
    return X


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    return measure_novelty(cloud(600, seed=0), cloud(600, seed=9))


def test_few_cells_of_the_same_kind_are_unlike() -> None:
    shares = []
    for seed in range(9, 14):
        novelty = measure_novelty(cloud(600, seed=0), cloud(600, seed=seed))
        shares.append((novelty.distances(cloud(2000, seed=5)) > novelty.rule.threshold).mean())
    # 5 % by construction; a threshold from 600 cells is good to 0.9 %, five of them to 0.4 %.
    assert 0.037 < np.mean(shares) < 0.063


def test_cells_that_were_kept_aside_say_how_far_is_too_far() -> None:
    # Of 15 cells not one lies beyond 95 %: the farthest stands for it.
    kept = cloud(15, seed=3)
    found = measure_novelty(cloud(100, seed=2), kept)
    assert found.rule.threshold == found.distances(kept).max()
    assert found.rule.most_lacking == found.lacking(kept).max()


def test_cells_of_another_kind_are_unlike(novelty: Novelty) -> None:
    off = cloud(50, seed=6) + 2 * np.random.default_rng(7).normal(size=(50, 30))
    assert (novelty.distances(off) > novelty.rule.threshold).mean() > 0.9


def test_units_of_features_do_not_matter(novelty: Novelty) -> None:
    units = np.geomspace(1e-3, 1e3, 30)
    other = measure_novelty(cloud(600, seed=0) * units, cloud(600, seed=9) * units)
    shown = cloud(20, seed=3)
    # Scaled and scaled back.
    np.testing.assert_allclose(other.distances(shown * units), novelty.distances(shown), rtol=1e-9)


def test_a_missing_value_counts_as_the_median(novelty: Novelty) -> None:
    cell = cloud(600, seed=0)[:1]
    filled, missing = cell.copy(), cell.copy()
    filled[0, 3] = novelty.centre[3]
    missing[0, 3] = np.nan
    assert novelty.distances(missing) == pytest.approx(novelty.distances(filled))


def test_a_cell_without_a_stimulus_of_the_others_lacks_more_than_they_do() -> None:
    X = cloud(600, seed=0)
    # What half of the training cells lack is not expected of others.
    X[::2, 20:] = np.nan
    full = np.nan_to_num(X[:, :20], nan=3.0)
    assert measure_novelty(full, full).rule.most_lacking == 0
    whole = measure_novelty(X, cloud(600, seed=9))
    cell = np.nan_to_num(cloud(1, seed=3), nan=3.0)
    assert whole.lacking(cell).tolist() == [0]
    cell[0, 20:] = np.nan
    assert whole.lacking(cell)[0] <= whole.rule.most_lacking
    cell[0, :10] = np.nan
    assert whole.lacking(cell)[0] > whole.rule.most_lacking


def test_features_that_tell_nothing_do_no_harm() -> None:
    X = np.column_stack([cloud(100, seed=0), np.full(100, np.nan), np.ones(100)])
    rare = np.zeros(100)
    rare[0] = 1.0
    found = measure_novelty(np.column_stack([X, rare]), np.column_stack([X, rare]))
    assert np.isfinite(found.distances(np.column_stack([X, rare]))).all()


def test_it_is_restored_from_its_arrays(novelty: Novelty) -> None:
    again = Novelty.of(novelty.rule, novelty.arrays())
    shown = cloud(20, seed=3)
    np.testing.assert_array_equal(again.distances(shown), novelty.distances(shown))
    with pytest.raises(StsError, match="lacks novelty's centre"):
        Novelty.of(novelty.rule, {})


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(StsError, match="more than 5 training cells, not 4"):
        measure_novelty(np.zeros((4, 3)), np.zeros((4, 3)))
