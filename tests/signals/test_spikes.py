"""Spikes are where the definitions say, on made-up voltages and against slow loops."""

import numpy as np
import pytest

from sts.base.types import Floats
from sts.signals.spikes import Spikes, derivative, find_spikes
from tests.signals.oracle import slow_spikes
from tests.signals.worlds import (
    DOWNSTROKE,
    PEAK_MS,
    PEAK_MV,
    THRESHOLD_MV,
    TROUGH_MS,
    TROUGH_MV,
    UPSTROKE,
    spike_train,
)

# At 20 kHz nothing is filtered: corners of the made-up spikes stay where they are.
PLAIN_HZ = 20_000
START_S, END_S = 0.1, 1.1


def spikes_of(voltage_mv: Floats, rate_hz: float, *, end_s: float = END_S) -> Spikes:
    return find_spikes(
        voltage_mv, rate_hz, start=round(START_S * rate_hz), end=round(end_s * rate_hz)
    )


def lines(knots: list[tuple[float, float]], rate_hz: float = PLAIN_HZ) -> Floats:
    """Return straight lines between (ms, mV) over 1.2 s."""
    times_ms, levels_mv = zip(*knots, strict=True)
    return np.interp(np.arange(round(1.2 * rate_hz)) * 1000 / rate_hz, times_ms, levels_mv)


@pytest.mark.parametrize("rate_hz", [PLAIN_HZ, 50_000, 200_000])
def test_every_point_of_a_constructed_spike_is_found_at_its_place(rate_hz: int) -> None:
    spikes = spikes_of(spike_train([0.3], rate_hz=rate_hz, duration_s=1.2), rate_hz)
    assert len(spikes) == 1
    # One sample, and 0.06 ms by which the 10 kHz filter rounds a corner.
    tolerance_ms = 1000 / rate_hz + 0.06
    for index, truth_ms in (
        (spikes.threshold_index, 300),
        (spikes.peak_index, 300 + PEAK_MS),
        (spikes.fast_trough_index, 300 + TROUGH_MS),
        (spikes.trough_index, 300 + TROUGH_MS),
    ):
        assert index[0] * 1000 / rate_hz == pytest.approx(truth_ms, abs=tolerance_ms)
    # A sample before the corner the slow rise of 1 mV/ms is 0.05 mV lower; the filter adds 0.1.
    assert spikes.threshold_v[0] == pytest.approx(THRESHOLD_MV, abs=0.2)
    # The voltage itself is not filtered.
    assert spikes.peak_v[0] == pytest.approx(PEAK_MV, abs=UPSTROKE * 1000 / rate_hz / 2000)
    assert spikes.fast_trough_v[0] == pytest.approx(TROUGH_MV, abs=5)
    assert spikes.trough_v[0] == pytest.approx(TROUGH_MV, abs=abs(DOWNSTROKE) / rate_hz * 1000)
    # The Bessel filter, run both ways, overshoots a change of slope by up to 1.5 % of it.
    overshoot = 0.015 * (UPSTROKE - DOWNSTROKE)
    assert spikes.upstroke[0] == pytest.approx(UPSTROKE, abs=overshoot)
    assert spikes.downstroke[0] == pytest.approx(DOWNSTROKE, abs=overshoot)
    assert spikes.upstroke_downstroke_ratio[0] == pytest.approx(2, rel=0.03)
    assert not spikes.clipped[0]


def test_a_width_is_taken_halfway_between_fast_trough_and_peak() -> None:
    spikes = spikes_of(spike_train([0.3], rate_hz=200_000, duration_s=1.2), 200_000)
    halfway_mv = (PEAK_MV - TROUGH_MV) / 2
    truth_ms = halfway_mv / UPSTROKE + halfway_mv / -DOWNSTROKE
    # two samples, and a fast trough that the filter's rounding puts 3 mV higher or lower
    assert spikes.width_ms[0] == pytest.approx(truth_ms, abs=0.03)


def test_spikes_are_counted_and_kept_in_order() -> None:
    times_s = np.arange(0.15, 1.05, 0.03)
    spikes = spikes_of(spike_train(times_s, rate_hz=50_000, duration_s=1.2), 50_000)
    assert len(spikes) == len(times_s)
    # As above: a sample and the filter's rounding.
    np.testing.assert_allclose(spikes.threshold_index / 50_000, times_s, atol=8e-5)


def test_the_threshold_is_a_share_of_the_mean_upstroke() -> None:
    # Upstrokes of 200 and 40 mV/ms: 5 % of their mean is 6 mV/ms, between the slopes below.
    def onto(ms: float, upstroke: float) -> list[tuple[float, float]]:
        rise_ms = 80 / upstroke
        return [
            (ms - 21, -74), (ms - 1, -55), (ms, -50), (ms + rise_ms, 30),
            (ms + rise_ms + 1, -74),
        ]  # fmt: skip

    knots = [(0, -74), *onto(300, 200), *onto(600, 40), (1200, -74)]
    spikes = spikes_of(lines(knots), PLAIN_HZ)
    # The last ms rises by 5 mV/ms, under 6: both thresholds are at the corner.
    np.testing.assert_allclose(spikes.threshold_v, -50, atol=0.3)
    steeper = [(ms, mv - 2 if ms in (299, 599) else mv) for ms, mv in knots]
    # Now it rises by 7 mV/ms: both thresholds move down to where that begins.
    np.testing.assert_allclose(spikes_of(lines(steeper), PLAIN_HZ).threshold_v, -57, atol=0.1)


@pytest.mark.parametrize(
    ("knots", "count"),
    [
        ([(300, -50), (300.4, 30), (301.4, -70)], 1),
        ([(300, -60), (300.4, -31), (301.4, -70)], 0),
        ([(300, -60), (300.4, -29), (301.4, -70)], 1),
        ([(300, -50), (304.3, 30), (305.4, -70)], 0),
        ([(300, -50), (303.6, 30), (305.4, -70)], 1),
        ([(300, -29.5), (300.05, -27.8), (301.4, -70)], 0),
        ([(300, -29.5), (300.05, -27.2), (301.4, -70)], 1),
    ],
    ids=[
        "a spike", "peak below -30", "peak above -30", "rises too slowly", "rises fast enough",
        "too low", "high enough",
    ],
)  # fmt: skip
def test_what_misses_a_criterion_is_no_spike(knots: list[tuple[float, float]], count: int) -> None:
    first_ms, first_mv = knots[0]
    lead = [(0, -70), (first_ms - 50, -70), (first_ms, first_mv)]
    assert len(spikes_of(lines([*lead, *knots[1:], (1200, -70)]), PLAIN_HZ)) == count


def test_a_peak_that_comes_late_after_the_threshold_is_dropped() -> None:
    # 25 mV/ms at first, then 8 mV/ms: above 5 % of the upstroke, so the threshold is not moved.
    late = [(0, -70), (250, -70), (300, -60), (301, -35), (306, 5), (307, -70), (1200, -70)]
    assert len(spikes_of(lines(late), PLAIN_HZ)) == 0
    soon = [(0, -70), (250, -70), (300, -60), (301, -35), (304, -11), (305, -70), (1200, -70)]
    assert len(spikes_of(lines(soon), PLAIN_HZ)) == 1


def after_spike(*knots: tuple[float, float]) -> Floats:
    """Return two spikes, the course after the first one's peak given in (ms after it, mV)."""
    first = [(0, -70), (250, -70), (300, -50), (300.4, 30)]
    first += [(300.4 + ms, mv) for ms, mv in knots]
    second = [(400, -50), (400.4, 30), (401.4, -70), (1200, -70)]
    return lines([*first, *second])


def test_a_direct_reset_has_no_slow_trough() -> None:
    spikes = spikes_of(after_spike((0.9, -60)), PLAIN_HZ)
    assert list(spikes.slow_trough_index) == [-1, -1]
    assert np.isnan(spikes.slow_trough_v).all()
    assert spikes.fast_trough_v[0] == spikes.trough_v[0] == pytest.approx(-60, abs=0.1)


def test_a_further_fall_makes_a_slow_trough_and_the_last_spike_has_none() -> None:
    spikes = spikes_of(after_spike((0.9, -60), (30.4, -63)), PLAIN_HZ)
    assert spikes.fast_trough_v[0] == pytest.approx(-60, abs=0.1)
    assert spikes.slow_trough_v[0] == pytest.approx(-63, abs=0.1)
    assert spikes.slow_trough_index[0] / PLAIN_HZ == pytest.approx(0.3308, abs=1e-4)
    assert spikes.trough_index[0] == spikes.slow_trough_index[0]
    assert spikes.slow_trough_index[1] == -1


@pytest.mark.parametrize(("deeper_mv", "has_slow"), [(0.4, False), (0.6, True)])
def test_a_slow_trough_lies_half_a_millivolt_deeper(deeper_mv: float, has_slow: bool) -> None:
    spikes = spikes_of(after_spike((0.9, -60), (30, -60 - deeper_mv)), PLAIN_HZ)
    assert (spikes.slow_trough_index[0] >= 0) == has_slow


def test_the_fall_after_an_after_depolarisation_ends_in_a_slow_trough() -> None:
    # Up by 4 mV within 3 ms and down to above the fast trough: a detour all the same.
    spikes = spikes_of(after_spike((0.9, -60), (1.5, -60), (3.5, -56), (30, -59)), PLAIN_HZ)
    assert spikes.slow_trough_v[0] == pytest.approx(-59, abs=0.1)
    assert spikes.trough_v[0] == pytest.approx(-60, abs=0.1)


def test_a_spike_cut_off_by_the_end_is_clipped() -> None:
    voltage_mv = spike_train([0.3, 0.6], rate_hz=PLAIN_HZ, duration_s=1.2)
    spikes = spikes_of(voltage_mv, PLAIN_HZ, end_s=0.6006)
    assert list(spikes.clipped) == [False, True]
    for missing in (spikes.trough_v, spikes.fast_trough_v, spikes.downstroke, spikes.width_ms):
        assert np.isfinite(missing[0])
        assert np.isnan(missing[1])
    assert np.isfinite(spikes.peak_v).all()


@pytest.mark.parametrize(("end_mv", "clipped"), [(-49.3, False), (-48.7, True)])
def test_a_spike_is_whole_once_it_is_back_within_1_mv_of_its_threshold(
    end_mv: float, clipped: bool
) -> None:
    # Threshold at -50.05 mV; the voltage stays up after the spike.
    stays = lines([(0, -70), (280, -70), (300, -50), (300.4, 30), (301.2, end_mv), (1200, end_mv)])
    assert list(spikes_of(stays, PLAIN_HZ).clipped) == [clipped]


def test_a_second_rise_before_the_first_has_reset_is_the_same_spike() -> None:
    # A notch of 2 mV in the upstroke: the threshold of the first part, the peak of the second.
    notch = [(300, -50), (300.3, 10), (300.4, 8), (300.6, 40), (301.6, -70)]
    spikes = spikes_of(lines([(0, -70), (280, -70), *notch, (1200, -70)]), PLAIN_HZ)
    assert spikes.threshold_v == pytest.approx([-50.05], abs=0.01)
    assert spikes.peak_v == pytest.approx([40], abs=0.01)
    assert spikes.upstroke == pytest.approx([200], abs=0.1)


def test_a_spike_outside_the_interval_is_not_counted() -> None:
    voltage_mv = spike_train([0.05, 0.3, 1.15], rate_hz=50_000, duration_s=1.2)
    spikes = spikes_of(voltage_mv, 50_000)
    assert spikes.threshold_index / 50_000 == pytest.approx([0.3], abs=8e-5)


def test_a_silent_sweep_has_no_spikes_of_every_kind() -> None:
    spikes = spikes_of(np.full(24_000, -70.0), PLAIN_HZ)
    assert len(spikes) == 0
    assert len(spikes.upstroke_downstroke_ratio) == len(spikes.clipped) == 0


def test_the_filter_keeps_1_khz_and_removes_24_khz() -> None:
    time_s = np.arange(5000) / 50_000
    inner = slice(500, -500)
    for tone_hz, least, most in ((1000, 0.98, 1.0), (24_000, 0.0, 0.01)):
        tone = np.sin(2 * np.pi * tone_hz * time_s)
        raw = np.diff(tone)[inner] * 50
        # A fourth-order Bessel filter, twice: -0.06 dB at a tenth of its cutoff.
        share = np.ptp(derivative(tone, 50_000)[inner]) / np.ptp(raw)
        assert least <= share <= most


def test_without_room_below_half_the_rate_nothing_is_filtered() -> None:
    noise = np.random.default_rng(0).normal(size=1000)
    np.testing.assert_array_equal(derivative(noise, 20_000), np.diff(noise) * 20)
    assert not np.allclose(derivative(noise, 20_001), np.diff(noise) * 20.001)


def assert_equal_to_loops(voltage_mv: Floats, rate_hz: float, *, start: int, end: int) -> int:
    """Compare with the slow loops, index by index; return how many spikes there were."""
    spikes = find_spikes(voltage_mv, rate_hz, start=start, end=end)
    slow = slow_spikes(voltage_mv, rate_hz, start=start, end=end)
    for name, truth in (
        ("threshold_index", [s.threshold for s in slow]),
        ("peak_index", [s.peak for s in slow]),
        ("trough_index", [s.trough for s in slow]),
        ("fast_trough_index", [s.fast_trough for s in slow]),
        ("slow_trough_index", [s.slow_trough for s in slow]),
        ("clipped", [s.clipped for s in slow]),
    ):
        assert getattr(spikes, name).tolist() == truth, name
    return len(slow)


@pytest.mark.parametrize("noise_mv", [0.05, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("rate_hz", [10_000, 50_000])
def test_noisy_trains_are_read_as_slow_loops_read_them(noise_mv: float, rate_hz: int) -> None:
    rng = np.random.default_rng(round(100 * noise_mv))
    times_s = np.cumsum(rng.uniform(0.004, 0.08, size=12)) + 0.05
    voltage_mv = spike_train(times_s, rate_hz=rate_hz, duration_s=0.8)
    voltage_mv += rng.normal(0, noise_mv, len(voltage_mv))
    found = assert_equal_to_loops(
        voltage_mv, rate_hz, start=round(0.05 * rate_hz), end=round(0.5 * rate_hz)
    )
    assert found > 3
