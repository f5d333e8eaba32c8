"""The Mexican hat is the one of the papers."""

import numpy as np
import pytest
import pywt

from sts.scalograms.wavelet import (
    FREQS_HZ,
    compute_scales,
    hat_kernels,
    psi,
    pywt_kernels,
    sum_directly,
    transform_by_pywt,
)
from sts.signals.resample import RATE_HZ, SAMPLES


def test_there_are_180_frequencies_from_20_to_199_hz() -> None:
    assert FREQS_HZ.tolist() == list(range(20, 200))


def test_20_hz_is_50_samples_wide_and_a_scale_times_its_frequency_is_constant() -> None:
    assert compute_scales()[0] == 50
    np.testing.assert_allclose(compute_scales() * FREQS_HZ, 0.25 * RATE_HZ)


def test_the_hat_has_no_mean_and_unit_energy() -> None:
    t = np.linspace(-12, 12, 24001)
    # The trapezoid rule is exact here to rounding: the hat and all its derivatives vanish.
    assert np.trapezoid(psi(t), t) == pytest.approx(0, abs=1e-12)
    assert np.trapezoid(psi(t) ** 2, t) == pytest.approx(1, abs=1e-12)


def test_the_hat_is_the_one_that_pywt_calls_mexh() -> None:
    values, t = pywt.ContinuousWavelet("mexh").wavefun(length=201)
    np.testing.assert_allclose(psi(t), values, atol=1e-12)


def test_what_a_kernel_leaves_out_weighs_next_to_nothing() -> None:
    # A constant shows as the sum of a kernel: 1e-6 of a hat's own weight stays below float32.
    weights = hat_kernels().weights
    assert np.all(np.abs(weights.sum(axis=1)) < 1e-6 * np.abs(weights).sum(axis=1))


def test_the_direct_sum_is_the_formula() -> None:
    trace = np.random.default_rng(1).normal(size=SAMPLES)
    trace[:500] = trace[-500:] = 0
    t, row, b = np.arange(SAMPLES), 40, 2345
    scale = compute_scales()[row]
    wanted = np.sum(trace * psi((t - b) / scale)) / np.sqrt(scale)
    assert sum_directly(trace)[row, b] == pytest.approx(wanted, rel=1e-6)


def test_the_kernels_of_pywt_convolve_to_what_pywt_gives() -> None:
    trace = np.random.default_rng(2).normal(size=SAMPLES) - 70
    kernels = pywt_kernels()
    padded = np.pad(trace, kernels.middle)
    ours = [np.correlate(padded, weights, mode="valid") for weights in kernels.weights]
    # Both sum float64 over at most 801 samples of 70 mV.
    np.testing.assert_allclose(ours, transform_by_pywt(trace), atol=1e-8)


def test_pywt_is_further_from_the_definition_than_anything_of_ours_may_be() -> None:
    # The reason why parity is a mode of its own: 5 to 15 % on spikes one sample wide.
    trace = np.zeros(SAMPLES)
    trace[1000::333] = 90
    truth = sum_directly(trace)
    inside = slice(400, -400)
    away = np.abs(transform_by_pywt(trace) - truth)[:, inside].max() / np.abs(truth).max()
    assert 0.02 < away < 0.3
