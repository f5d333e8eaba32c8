"""Resampling keeps what lies below 1.5 kHz, removes what would fold, and moves nothing."""

import math

import numpy as np
import pytest

from sts.base.errors import CellFailed
from sts.base.types import Floats
from sts.signals.resample import (
    BEFORE_S,
    RATE_HZ,
    SAMPLES,
    WINDOW_S,
    cut_pair,
    cut_window,
    sample_at,
)
from sts.signals.select import SweepPair
from sts.signals.steps import Step
from tests.signals.worlds import sweep_of

RATES_HZ = [5_000, 10_000, 16_666.67, 20_000, 24_414.0625, 25_000, 44_100, 50_000, 200_000]


def tone(freq_hz: float, rate_hz: float, *, seconds: float = 1.0) -> Floats:
    return np.cos(2 * np.pi * freq_hz * np.arange(round(seconds * rate_hz)) / rate_hz + 0.3)


def resample(trace: Floats, rate_hz: float) -> Floats:
    """Return a whole trace at 4 kHz."""
    count = math.ceil(len(trace) * RATE_HZ / rate_hz - 1e-9)
    return sample_at(trace, rate_hz, first=0.0, count=count, level=float(trace[0]))


def decibel(share: float) -> float:
    return 20 * np.log10(max(share, 1e-12))


def test_the_window_is_1_2_s_at_4_khz() -> None:
    assert SAMPLES == WINDOW_S * RATE_HZ == 4800
    assert BEFORE_S == 0.1


@pytest.mark.parametrize("rate_hz", [4_000, *RATES_HZ])
@pytest.mark.parametrize("freq_hz", [20, 100, 200, 1000])
def test_a_tone_is_kept_in_height_and_time(freq_hz: float, rate_hz: float) -> None:
    sampled = resample(tone(freq_hz, rate_hz), rate_hz)
    truth = np.cos(2 * np.pi * freq_hz * np.arange(len(sampled)) / RATE_HZ + 0.3)
    inner = slice(200, -200)
    # 16,666.67 Hz is taken for 16,666.666...: 0.2 us over a second, 0.13 % of a 1 kHz tone
    allowed = 2e-3 if rate_hz == 16_666.67 else 1e-4
    assert np.abs(sampled - truth)[inner].max() < allowed
    share = np.ptp(sampled[inner]) / np.ptp(truth[inner])
    assert abs(decibel(share)) < 0.1


@pytest.mark.parametrize("rate_hz", [10_000, 16_666.67, 25_000, 44_100, 50_000, 200_000])
@pytest.mark.parametrize("freq_hz", [2_050, 2_500, 3_800, 3_980, 4_020, 4_200])
def test_what_would_fold_is_removed(freq_hz: float, rate_hz: float) -> None:
    sampled = resample(tone(freq_hz, rate_hz), rate_hz)
    assert decibel(np.abs(sampled[200:-200]).max()) < -80


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_constant_offset_leaves_no_transient(rate_hz: float) -> None:
    sampled = resample(np.full(round(0.3 * rate_hz), -70.0), rate_hz)
    np.testing.assert_allclose(sampled, -70, rtol=0, atol=1e-9)


def test_a_trace_that_ends_far_from_where_it_began_does_not_ring() -> None:
    trace = np.linspace(-80, -60, 50_000)
    sampled = resample(trace, 50_000)
    # Of 20 mV/s a filter of 12 ms can at most make 0.1 mV at the kink where the edge is continued.
    np.testing.assert_allclose(
        sampled, np.interp(np.arange(len(sampled)) * 12.5, np.arange(len(trace)), trace), atol=0.1
    )


def test_4_khz_is_left_alone() -> None:
    trace = np.random.default_rng(0).normal(-70, 5, 1000)
    np.testing.assert_array_equal(resample(trace, 4000), trace)


@pytest.mark.parametrize("rate_hz", [1_000, 3_999])
def test_a_lower_rate_is_refused_in_words(rate_hz: float) -> None:
    with pytest.raises(CellFailed, match="at least 4 kHz is needed"):
        resample(np.zeros(1000), rate_hz)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_positions_may_lie_between_samples(rate_hz: float) -> None:
    trace = tone(150, rate_hz)
    first = 0.3 * rate_hz + 0.37
    sampled = sample_at(trace, rate_hz, first=first, count=800)
    truth = np.cos(2 * np.pi * 150 * (first / rate_hz + np.arange(800) / RATE_HZ) + 0.3)
    np.testing.assert_allclose(sampled, truth, atol=2e-4)


def window_of(voltage_mv: Floats, rate_hz: float, onset_s: float) -> tuple[Floats, tuple[str, ...]]:
    onset = round(onset_s * rate_hz)
    step = Step(
        onset=onset, end=onset + round(rate_hz), amplitude_pa=50, holding_pa=0, rate_hz=rate_hz
    )
    return cut_window(sweep_of(voltage_mv, np.zeros(len(voltage_mv)), rate_hz), step)


@pytest.mark.parametrize("rate_hz", [4_000, *RATES_HZ])
def test_sample_k_lies_at_onset_minus_100_ms_plus_k_samples(rate_hz: float) -> None:
    onset = round(0.6 * rate_hz)
    moved = np.arange(round(2.2 * rate_hz)) - onset
    window, flags = window_of(-70 + 10 * np.cos(2 * np.pi * 40 * moved / rate_hz), rate_hz, 0.6)
    truth = -70 + 10 * np.cos(2 * np.pi * 40 * (np.arange(SAMPLES) / RATE_HZ - 0.1))
    assert flags == ()
    assert window.shape == (SAMPLES,)
    assert window.dtype == np.float32
    # 10 mV at -90 dB, and the rounding of float32 at 80 mV
    np.testing.assert_allclose(window, truth, atol=1e-3)


def test_real_samples_beyond_the_window_feed_the_filter() -> None:
    time_s = np.arange(110_000) / 50_000
    smooth = -70 + np.sin(2 * np.pi * 200 * time_s)
    window, _ = window_of(smooth, 50_000, 0.6)
    np.testing.assert_allclose(
        window[:20], -70 + np.sin(2 * np.pi * 200 * (0.5 + np.arange(20) / 4000)), atol=1e-3
    )


def test_a_short_baseline_is_continued_and_flagged() -> None:
    voltage_mv = np.full(20_000, -60.0)
    voltage_mv[800:] = -40
    window, flags = window_of(voltage_mv, 10_000, 0.08)
    assert flags == ("baseline of 80 ms continued to 100 ms",)
    # The step of 20 mV rings 6 ms around the onset, nowhere else.
    np.testing.assert_allclose(window[:370], -60, atol=0.01)


def test_a_sweep_that_ends_early_is_continued_and_flagged() -> None:
    voltage_mv = np.full(31_000, -60.0)
    window, flags = window_of(voltage_mv, 20_000, 0.5)
    assert flags == ("sweep ends 1.05 s after the onset, continued to 1.1 s",)
    np.testing.assert_allclose(window, -60, atol=1e-4)


def test_a_pair_is_stacked_and_its_flags_are_given_once() -> None:
    step = Step(onset=800, end=10_800, amplitude_pa=50, holding_pa=0, rate_hz=10_000)
    sweeps = tuple(sweep_of(np.full(20_000, mv), np.zeros(20_000), 10_000) for mv in (-70.0, -60.0))
    windows, flags = cut_pair(SweepPair(sweeps=(sweeps[0], sweeps[1]), steps=(step, step)))
    assert windows.shape == (2, SAMPLES)
    assert windows.dtype == np.float32
    np.testing.assert_allclose(windows[0], -70, atol=1e-4)
    np.testing.assert_allclose(windows[1], -60, atol=1e-4)
    assert flags == ("baseline of 80 ms continued to 100 ms",)
