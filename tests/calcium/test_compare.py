"""Statistics of trains by their definitions, divergences by their laws, controls by design."""

from dataclasses import replace

import numpy as np
import pytest

from sts.base.types import Floats
from sts.calcium.compare import (
    COMPARED_QUANTITIES,
    Likeness,
    autocorrelate,
    choose_edges,
    compare_windows,
    correlate_counts,
    count_values,
    find_highest_hz,
    measure_copying,
    measure_divergence,
    measure_intervals,
    measure_rates,
    measure_spectrum,
    measure_van_rossum,
    measure_windows,
    score_likeness,
)
from sts.calcium.controls import shuffle_neurons, shuffle_phases
from sts.calcium.dichotomised import dichotomised_gaussian, draw_statistics
from sts.calcium.fluorescence import CalciumModel, OasisSettings, simulate_fluorescence

RATE_HZ = 24.0
EDGES = np.linspace(0, 1, 31)


def trains_at(*frames: int, length: int = 480) -> Floats:
    train = np.zeros(length)
    train[list(frames)] = 1
    return train


def population(seed: int = 0, *, windows: int = 60, length: int = 128) -> Floats:
    rng = np.random.default_rng(seed)
    statistics = draw_statistics(6, np.random.default_rng(9), rate_hz=RATE_HZ, correlation=0.7)
    spikes = dichotomised_gaussian(statistics).sample(windows * length, rng)
    traces = simulate_fluorescence(spikes, CalciumModel(), rng)
    return traces.reshape(6, windows, length).transpose(1, 0, 2)


def by_integral(first: Floats, second: Floats, tau_s: float = 1.0) -> float:
    """Return van Rossum's distance from its defining integral, on a fine grid."""
    step = 1e-3
    times = np.arange(0, 20 + 12 * tau_s, step)

    def filtered(train: Floats) -> Floats:
        total = np.zeros(len(times))
        for at in np.flatnonzero(train) / RATE_HZ:
            late = times >= at
            total[late] += train[round(at * RATE_HZ)] * np.exp(-(times[late] - at) / tau_s)
        return total

    squared = (filtered(first) - filtered(second)) ** 2
    return float(np.sqrt(2 / tau_s * squared.sum() * step))


def test_van_rossum_is_its_defining_integral() -> None:
    rng = np.random.default_rng(0)
    trains = (rng.random((3, 480)) < 0.05).astype(float)
    found = measure_van_rossum(trains, RATE_HZ)
    for i in range(3):
        for j in range(3):
            # the grid of the integral: half a step at each of about 50 jumps
            assert found[i, j] == pytest.approx(by_integral(trains[i], trains[j]), abs=0.02)


def test_van_rossum_has_the_known_values() -> None:
    nothing, one, same = trains_at(), trains_at(24), trains_at(24)
    later = trains_at(48)  # a second, which is tau
    found = measure_van_rossum(np.stack([nothing, one, same, later]), RATE_HZ)
    exact = 1e-7  # a root of a difference of equal numbers keeps half of the digits
    assert found[0, 1] == pytest.approx(1.0, abs=exact)
    assert found[1, 2] == pytest.approx(0.0, abs=exact)
    assert found[1, 3] == pytest.approx(np.sqrt(2 * (1 - np.exp(-1))), abs=exact)


def test_van_rossum_is_a_metric() -> None:
    rng = np.random.default_rng(1)
    found = measure_van_rossum((rng.random((6, 200)) < 0.1).astype(float), RATE_HZ)
    assert np.allclose(found, found.T)
    assert np.allclose(np.diag(found), 0, atol=1e-6)
    for middle in range(6):
        assert (found <= found[:, middle][:, None] + found[middle] + 1e-9).all()


def test_distances_to_others_are_those_of_all_together() -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.random((2, 4, 100)) < 0.1).astype(float)
    whole = measure_van_rossum(np.concatenate([first, second]), RATE_HZ)
    assert np.allclose(measure_van_rossum(first, RATE_HZ, second), whole[:4, 4:])


def test_rates_count_spikes_a_second() -> None:
    windows = np.stack([[trains_at(1, 2), trains_at()], [trains_at(5), trains_at(3)]])
    # 3 and 1 spikes in 40 s
    assert measure_rates(windows, RATE_HZ) == pytest.approx([3 / 40, 1 / 40])


def test_correlations_are_numpys_in_bins_of_half_a_second() -> None:
    rng = np.random.default_rng(3)
    windows = (rng.random((5, 3, 125)) < 0.2).astype(float)
    # 125 frames hold 10 bins of 12 frames; 5 are left over
    counts = windows[..., :120].reshape(5, 3, 10, 12).sum(-1).transpose(1, 0, 2).reshape(3, 50)
    assert np.allclose(correlate_counts(windows, RATE_HZ), np.corrcoef(counts))


def test_a_silent_neuron_has_no_correlation() -> None:
    windows = np.stack([[trains_at(1, 100), trains_at()]])
    assert np.isnan(correlate_counts(windows, RATE_HZ)[0, 1])


def test_intervals_do_not_reach_from_one_train_to_the_next() -> None:
    windows = np.stack([[trains_at(0, 24, 72), trains_at(10)], [trains_at(479), trains_at(0)]])
    assert measure_intervals(windows, RATE_HZ) == pytest.approx([1.0, 2.0])


def test_a_periodic_trace_is_like_itself_a_period_later() -> None:
    wave = np.sin(2 * np.pi * np.arange(960) / 24)[None, None]
    found = autocorrelate(wave, 48)
    # an estimate that does not correct for what is cut off loses lag / frames
    assert found[23] == pytest.approx(1 - 24 / 960, abs=1e-3)
    assert found[11] == pytest.approx(-(1 - 12 / 960), abs=1e-3)
    assert np.argmax(measure_spectrum(wave)) + 1 == pytest.approx(256 / 24, abs=1)  # a bin


def test_divergence_has_its_laws() -> None:
    rng = np.random.default_rng(4)
    real, other = rng.beta(2, 5, 2000), rng.beta(5, 2, 2000)
    assert measure_divergence(real, real, EDGES) == 0
    assert measure_divergence(real, other, EDGES) > 1
    assert measure_divergence(real, other, EDGES) != measure_divergence(other, real, EDGES)
    alike = rng.beta(2, 5, 2000)
    # two samples of one law: about bins / samples
    assert 0 < measure_divergence(real, alike, EDGES) < 0.05


def test_divergence_is_the_sum_of_its_definition() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    # counts (3, 0) and (1, 1); with one more each: (4, 1) / 5 and (2, 2) / 4
    found = measure_divergence(np.array([0.5, 0.5, 0.5]), np.array([0.5, 1.5]), edges)
    assert found == pytest.approx(0.8 * np.log(0.8 / 0.5) + 0.2 * np.log(0.2 / 0.5))


def test_what_lies_outside_the_edges_counts() -> None:
    counts = count_values(np.array([-5.0, 0.5, 7.0, np.nan]), np.array([0.0, 1.0, 2.0]))
    assert counts.tolist() == [2.0, 1.0]


@pytest.fixture(scope="module")
def likeness() -> dict[str, Likeness]:
    rng = np.random.default_rng(5)
    training, real, again = (population(seed, windows=300) for seed in range(3))
    settings = OasisSettings()
    edges = choose_edges(measure_windows(training, RATE_HZ, settings))
    truth = measure_windows(real, RATE_HZ, settings)
    others = {
        "again": again,
        "phases": shuffle_phases(again, rng),
        "independent": shuffle_neurons(again, rng),
        "faster": np.concatenate([again[:, :1] + again[:, 1:2], again[:, 1:]], axis=1),
    }
    return {
        name: compare_windows(truth, measure_windows(each, RATE_HZ, settings), edges)
        for name, each in others.items()
    }


def test_real_data_of_another_time_are_the_floor(likeness: dict[str, Likeness]) -> None:
    for name in ("correlations", "van_rossum"):
        floor = likeness["again"].divergences[name]
        assert floor < likeness["independent"].divergences[name], name
    assert set(likeness["again"].divergences) == set(COMPARED_QUANTITIES)
    assert likeness["again"].covariance_error < 0.25


def test_independent_neurons_lose_correlations_alone(likeness: dict[str, Likeness]) -> None:
    found, floor = likeness["independent"], likeness["again"]
    # all of the covariance is lost, up to chance
    assert found.covariance_error == pytest.approx(1.0, abs=0.15)
    assert found.rate_error == pytest.approx(floor.rate_error, abs=1e-9)
    assert found.spectrum_error_db == pytest.approx(floor.spectrum_error_db, abs=1e-4)


def test_shuffled_phases_keep_spectra_and_lose_transients(likeness: dict[str, Likeness]) -> None:
    # windows of Welch's method are not the whole trace
    assert likeness["phases"].spectrum_error_db < 1.0
    assert likeness["phases"].covariance_error > 2 * likeness["again"].covariance_error


def test_a_neuron_that_fires_too_much_is_seen_in_its_rate(likeness: dict[str, Likeness]) -> None:
    assert likeness["faster"].rate_error >= likeness["again"].rate_error
    assert likeness["faster"].divergences["rates_hz"] > likeness["again"].divergences["rates_hz"]


def test_the_score_tells_real_data_from_every_control(likeness: dict[str, Likeness]) -> None:
    scores = {name: score_likeness(each) for name, each in likeness.items()}
    assert min(scores, key=lambda name: scores[name]) == "again"


def test_no_error_decides_the_score_alone(likeness: dict[str, Likeness]) -> None:
    good = likeness["again"]
    worse = replace(good, rate_error=good.rate_error + 0.1)
    absurd = replace(good, rate_error=1e6)
    assert (
        score_likeness(good)
        < score_likeness(worse)
        < score_likeness(absurd)
        < score_likeness(good) + 1
    )


def test_the_highest_frequency_of_smoothed_windows_is_where_they_were_cut() -> None:
    windows = population().astype(np.float64)
    assert find_highest_hz(windows, RATE_HZ) == RATE_HZ / 2
    spectra = np.fft.rfft(windows, axis=-1)
    spectra[..., 30:] = 0
    smooth = np.fft.irfft(spectra, n=windows.shape[-1], axis=-1)
    # 30 of 64 bins, and what leaks through a window of Hann into the next
    assert find_highest_hz(smooth, RATE_HZ) == pytest.approx(30 / 64 * RATE_HZ / 2, abs=0.5)


def test_bands_without_power_do_not_count() -> None:
    """Real recordings that were resampled have some; rounding is not compared with rounding."""
    windows = population().astype(np.float64)
    spectra = np.fft.rfft(windows, axis=-1)
    spectra[..., 30:] = 0
    smooth = np.fft.irfft(spectra, n=windows.shape[-1], axis=-1)
    first, second = (
        measure_windows(each, RATE_HZ, OasisSettings()) for each in (smooth, smooth * 1.01)
    )
    noisy = replace(second, spectrum=second.spectrum + 1e-9)
    assert compare_windows(first, noisy, choose_edges(first)).spectrum_error_db < 0.1


@pytest.mark.parametrize("frames", [64, 65])
def test_shuffled_phases_keep_power_and_linear_correlation(frames: int) -> None:
    windows = population(length=frames)
    shuffled = shuffle_phases(windows, np.random.default_rng(0))
    power = [np.abs(np.fft.rfft(each, axis=-1)) for each in (windows, shuffled)]
    assert np.abs(power[0] - power[1]).max() < 1e-3  # float32
    products = [each[0] @ each[0].T for each in (windows.astype(float), shuffled.astype(float))]
    assert np.allclose(*products, atol=1e-2)  # float32, sums of 64
    assert not np.allclose(windows, shuffled, atol=0.1)


def test_independent_windows_hold_every_trace_once() -> None:
    windows = population(windows=7)
    found = shuffle_neurons(windows, np.random.default_rng(0))
    for neuron in range(6):
        sums = [np.sort(each[:, neuron].sum(axis=-1)) for each in (windows, found)]
        assert np.allclose(*sums)
    assert not np.array_equal(windows, found)


def test_copies_are_told_from_fresh_windows() -> None:
    training, unseen, fresh = (population(seed, windows=100) for seed in range(3))
    noise = 0.01 * np.random.default_rng(0).standard_normal(training.shape)
    assert measure_copying(training + noise, unseen, training).copies == 1.0
    # chance: 1 of 100
    assert measure_copying(fresh, unseen, training).copies < 0.1


def test_a_window_without_a_spike_is_no_copy_of_others() -> None:
    silent = np.zeros((9, 2, 4))
    training = np.concatenate([silent, np.eye(8).reshape(8, 2, 4)])
    found = measure_copying(silent[:5], np.concatenate([silent[:2], training[-3:] + 1]), training)
    assert (found.generated, found.copies) == (1.0, 0.0)
