"""The space is the paper's for real values, complete, and learnt from training rows alone."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import RobustScaler, StandardScaler

from sts.augment.curation import FAMILIES, family_of
from sts.augment.preparation import REDUCERS, SCALERS, fit_reducer, fit_space, reduce_rows
from sts.base.errors import StsError
from tests.augment.tables import blobs, simulated_task


def test_every_family_has_its_scaler() -> None:
    assert set(SCALERS) == set(FAMILIES)


def test_it_scales_as_the_papers_column_transformer(tmp_path: Path) -> None:
    neurons = simulated_task(tmp_path, "me").neurons
    families = [family_of(name) for name in neurons.names]
    places = {
        family: [at for at, each in enumerate(families) if each == family]
        for family in set(families)
    }
    theirs = ColumnTransformer(
        [
            ("timing", RobustScaler(), places["timing"]),
            *(
                (family, StandardScaler(), places[family])
                for family in ("voltage", "continuous", "morphology")
            ),
            ("ratio", "passthrough", places["ratio"]),
        ]
    )
    wanted = theirs.fit_transform(neurons.X)
    order = [
        at
        for name in ("timing", "voltage", "continuous", "morphology", "ratio")
        for at in places[name]
    ]
    space = fit_space(neurons.X, neurons.names)
    found = space.scale(neurons.X)[:, order]
    inside = (wanted > space.low[order]) & (wanted < space.high[order])
    # Values far out are drawn in; they are few, and all others are equal to the last digit.
    assert inside[np.isfinite(wanted)].mean() > 0.98
    assert np.allclose(found[inside], wanted[inside], rtol=1e-12, atol=1e-12)
    assert np.array_equal(np.isnan(found), np.isnan(wanted))


def test_it_is_complete_and_flags_say_what_was_missing() -> None:
    neurons = blobs()
    space = fit_space(neurons.X, neurons.names)
    Z = space.transform(neurons.X)
    assert np.isfinite(Z).all()
    assert space.names == (*neurons.names, "missing_tau")
    assert np.array_equal(Z[:, -1] == 1, np.isnan(neurons.X[:, 1]))
    assert np.array_equal(np.isnan(space.restore_missing(Z)), np.isnan(neurons.X))


def test_back_in_units_it_is_what_it_was() -> None:
    neurons = blobs()
    space = fit_space(neurons.X, neurons.names)
    back = space.inverse_transform(space.transform(neurons.X))
    # Nothing lies far out here, so that scaling and back lose rounding only.
    assert np.allclose(back, neurons.X, rtol=1e-9, atol=1e-9, equal_nan=True)


def test_columns_that_lack_values_together_share_a_flag() -> None:
    X = np.random.default_rng(0).standard_normal((20, 3))
    X[:4, :2] = np.nan
    X[7, 2] = np.nan
    space = fit_space(X, ("vrest", "ri", "tau"))
    assert space.names[3:] == ("missing_vrest", "missing_tau")


def test_a_column_of_nothing_is_left_out_and_a_constant_one_becomes_zeros() -> None:
    X = np.random.default_rng(0).standard_normal((20, 3))
    X[:, 0], X[:, 1] = np.nan, 7.0
    space = fit_space(X, ("vrest", "ri", "tau"))
    assert space.names == ("ri", "tau")
    assert not space.transform(X)[:, 0].any()
    with pytest.raises(StsError, match="all values of the training rows are missing"):
        fit_space(np.full((5, 2), np.nan), ("vrest", "ri"))


def test_one_value_far_out_does_not_outweigh_the_others() -> None:
    X = np.random.default_rng(0).standard_normal((400, 2))
    X[0, 1] = 1e6
    Z = fit_space(X, ("latency", "upstroke_downstroke_ratio_ramp")).transform(X)
    # The middle of 99 % is about 5 wide; nothing is further out than as much again.
    assert np.abs(Z).max() < 12


def test_what_only_scored_rows_carry_changes_nothing() -> None:
    neurons = blobs()
    X = neurons.X.copy()
    X[:20, 3] = np.nan
    space = fit_space(X[:20], neurons.names)
    before = space.transform(X)
    X[20:, 3] = 1e9
    assert np.array_equal(space.transform(X), before)


@pytest.mark.parametrize("name", sorted(REDUCERS))
def test_a_reducer_learns_from_its_rows_and_draws_nothing_global(name: str) -> None:
    neurons = blobs((30, 30, 20))
    X = np.nan_to_num(neurons.X)
    reducers = [fit_reducer(name, X[:60], neurons.y[:60], components=3, seed=1) for _ in range(2)]
    small, again = (reduce_rows(each, X[60:]) for each in reducers)
    assert small.shape == (20, 5 if name == "none" else 3)
    assert np.isfinite(small).all()
    assert np.array_equal(small, again)
    # Each row goes its own way, whatever comes with it.
    assert np.allclose(reduce_rows(reducers[0], X[60:61]), small[:1], atol=1e-8)


def test_wrong_reducers_are_refused() -> None:
    X, y = np.zeros((10, 4)), np.repeat([0, 1], 5)
    with pytest.raises(StsError, match="did you mean 'pca'"):
        fit_reducer("pcaa", X, y, components=2, seed=0)
    with pytest.raises(StsError, match="--components must lie between 1 and 3"):
        fit_reducer("pca", X, y, components=4, seed=0)
