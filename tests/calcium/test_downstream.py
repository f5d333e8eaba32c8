"""A decoder learns what neurons share, and generated windows are used only where they help."""

import numpy as np
import pytest

from sts.base.types import Floats
from sts.calcium.downstream import (
    REACH,
    DecoderWindows,
    compare_decoders,
    fit_decoder,
    measure_explained,
    measure_residuals,
    stack_lags,
    sum_products,
)


def shared(seed: int, *, windows: int = 20, noise: float = 0.5) -> Floats:
    """Return windows of four neurons that follow one source, the last one two frames late."""
    rng = np.random.default_rng(seed)
    source = rng.standard_normal((windows, 1, 66))
    parts = [source[..., 2:]] * 3 + [source[..., :-2]]
    return np.concatenate(parts, axis=1) + noise * rng.standard_normal((windows, 4, 64))


def test_a_decoder_predicts_as_scikit_learn_does() -> None:
    from sklearn.linear_model import Ridge

    windows = shared(0)
    products, size = sum_products(windows)
    weights = fit_decoder(products, 4, 0.1)
    rows = np.concatenate([stack_lags(window).T for window in windows])
    others = np.flatnonzero(np.arange(rows.shape[1]) % 4 != 1)
    target = windows[:, 1, REACH:-REACH].reshape(-1)
    ridge = Ridge(alpha=0.1 * size, fit_intercept=False).fit(rows[:, others], target)
    assert np.allclose(weights[1, others], ridge.coef_, atol=1e-8)  # rounding of two solvers
    assert not weights[1, np.arange(rows.shape[1]) % 4 == 1].any()


def test_a_late_neuron_is_read_from_what_came_before() -> None:
    weights = fit_decoder(sum_products(shared(0, windows=100))[0], 4, 0.0)
    lags = np.abs(weights[3].reshape(2 * REACH + 1, 4)).sum(axis=1)
    assert np.argmax(lags) == REACH - 2


def test_real_structure_is_explained_and_noise_is_not() -> None:
    weights = fit_decoder(sum_products(shared(0, windows=100))[0], 4, 1e-3)
    # source 1, noise 0.25: three noisy copies tell 1 / (1 + 0.25 / 3) of the source at best
    assert 0.6 < measure_explained(weights, sum_products(shared(1))[0]) < 0.8
    noise = np.random.default_rng(2).standard_normal((20, 4, 64))
    assert measure_explained(weights, sum_products(noise)[0]) < 0


def test_products_tell_what_the_residuals_of_all_windows_tell() -> None:
    weights, windows = fit_decoder(sum_products(shared(0))[0], 4, 0.1), shared(1)
    errors, squares = measure_residuals(weights, windows)
    # rounding of two ways to the same sum
    assert measure_explained(weights, sum_products(windows)[0]) == pytest.approx(
        1 - errors.sum() / squares.sum(), abs=1e-10
    )


@pytest.mark.parametrize(("kind", "better"), [("good", True), ("nonsense", False)])
def test_generated_windows_help_where_they_are_like_the_real_ones(kind: str, better: bool) -> None:
    generated = shared(3, windows=200)
    if kind == "nonsense":
        # each neuron against its neighbours: the contrary of the truth
        generated = generated * np.array([1.0, -1.0, 1.0, -1.0])[:, None]
    stretches = DecoderWindows(
        training=shared(0, windows=40),
        validation=shared(4, windows=40),
        test=shared(5, windows=40),
        generated=generated,
    )
    few, many = compare_decoders(stretches, [1, 40], np.random.default_rng(0))
    assert few.real.value < many.real.value
    if better:
        assert few.difference.low > 0
        assert few.weight > 0
    else:
        # the validation windows find out: nothing is lost beyond chance
        assert abs(few.difference.value) < 0.02
    assert few.difference.value == pytest.approx(few.both.value - few.real.value, abs=1e-9)
