"""Counts of a Lorenz system have its rate, depend on the seed, and share its trajectory."""

import numpy as np

from sts.calcium.lorenz import simulate_lorenz, simulate_lorenz_spikes


def test_a_trajectory_is_standardised_and_changes_lobes() -> None:
    places = simulate_lorenz(4000, np.random.default_rng(0))
    assert np.allclose(places.mean(axis=1), 0)
    assert np.allclose(places.std(axis=1), 1)
    # x and y are nearly the same; both lobes are visited many times
    assert np.corrcoef(places)[0, 1] > 0.8
    assert np.count_nonzero(np.diff(np.sign(places[0]))) > 10


def test_counts_follow_one_trajectory() -> None:
    first, again, other = (
        simulate_lorenz_spikes(6, 2000, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first.shape == (6, 2000)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # 12,000 counts: standard errors of about 0.01
    assert 0.27 < first.mean() < 0.33
    smooth = np.array([np.convolve(row, np.ones(10), mode="valid") for row in first])
    assert np.abs(np.corrcoef(smooth)[np.triu_indices(6, k=1)]).max() > 0.5
