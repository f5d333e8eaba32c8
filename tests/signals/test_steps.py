"""Steps and ramps are found in the current alone."""

from dataclasses import replace

import numpy as np
import pytest

from sts.base.types import Floats
from sts.signals.steps import stimulus_of
from tests.signals.worlds import current_of, long_square, ramp, short_square, sweep_of

RATE_HZ = 50_000
TEST_PULSE = (0.1, 0.01, -10.0)
# in the middle of a block, however long the blocks are
ONSET_S = 0.0817


def quiet(current_pa: Floats, rate_hz: float = RATE_HZ):
    return sweep_of(np.full(len(current_pa), -70.0), current_pa, rate_hz)


@pytest.mark.parametrize("holding_pa", [0.0, -73.66, 12.7])
@pytest.mark.parametrize("amplitude_pa", [-110.0, 10.0, 249.99998])
@pytest.mark.parametrize("rate_hz", [10_000, 50_000, 200_000])
def test_a_long_square_is_found_to_the_sample(
    holding_pa: float, amplitude_pa: float, rate_hz: int
) -> None:
    pulses = [TEST_PULSE, (0.6, 1.0, amplitude_pa)]
    current_pa = current_of(pulses, rate_hz=rate_hz, holding_pa=holding_pa)
    step = long_square(quiet(current_pa, rate_hz))
    assert step is not None
    assert (step.onset, step.end) == (round(0.6 * rate_hz), round(1.6 * rate_hz))
    # float32 rounds 250 pA to 2e-5 pA
    assert step.amplitude_pa == pytest.approx(amplitude_pa, abs=1e-4)
    assert step.holding_pa == pytest.approx(holding_pa, abs=1e-4)


def test_the_properties_of_a_step_are_in_seconds() -> None:
    (step,) = stimulus_of(quiet(current_of([(0.6, 1.0, 50)]))).steps
    assert (step.onset_s, step.end_s, step.duration_s) == pytest.approx((0.6, 1.6, 1.0))


def test_a_command_in_whole_bits_keeps_its_edges() -> None:
    least_bit_pa = 0.061
    current_pa = current_of([TEST_PULSE, (0.6, 1.0, 70)], holding_pa=-33.3)
    step = long_square(quiet(np.round(current_pa / least_bit_pa) * least_bit_pa))
    assert step is not None
    assert (step.onset, step.end) == (30_000, 80_000)
    assert step.amplitude_pa == pytest.approx(70, abs=least_bit_pa)


def test_a_command_that_flickers_by_a_rounding_is_clean() -> None:
    current_pa = current_of([(0.6, 1.0, 249.99998)]).astype(np.float32)
    flicker = np.random.default_rng(0).choice([0, 2e-5], size=len(current_pa))
    step = long_square(quiet(current_pa + flicker * (current_pa > 0)))
    assert step is not None
    assert (step.onset, step.end) == (30_000, 80_000)


def test_a_slow_edge_counts_from_its_middle() -> None:
    current_pa = current_of([(0.6, 1.0, 100)])
    current_pa[30_000:30_004] = (20, 40, 60, 80)
    step = long_square(quiet(current_pa))
    assert step is not None
    assert step.onset == 30_002


@pytest.mark.parametrize(
    ("length_s", "is_long"), [(0.35, False), (0.4, True), (2.0, True), (2.1, False)]
)
def test_a_long_square_lasts_between_a_bit_less_than_half_a_second_and_two(
    length_s: float, is_long: bool
) -> None:
    current_pa = current_of([(0.6, length_s, 50)], duration_s=3)
    assert (long_square(quiet(current_pa)) is not None) == is_long


def test_of_two_steps_the_one_that_stands_alone_counts() -> None:
    # As in current-clamp series of 500 ms steps whose second follows a hyperpolarisation at once.
    pulses = [(0.2, 0.5, 100), (1.2, 0.3, -100), (1.5, 0.5, 100)]
    step = long_square(quiet(current_of(pulses, duration_s=2.5)))
    assert step is not None
    assert (step.onset_s, step.end_s) == pytest.approx((0.2, 0.7))


@pytest.mark.parametrize(
    "neighbour", [(0.2, 0.25, -50), (1.7, 0.3, 30)], ids=["150 ms before", "100 ms after"]
)
def test_a_step_near_another_is_none(neighbour: tuple[float, float, float]) -> None:
    assert long_square(quiet(current_of([(0.6, 1.0, 50)]))) is not None
    assert long_square(quiet(current_of(sorted([neighbour, (0.6, 1.0, 50)])))) is None


@pytest.mark.parametrize(("gap_s", "is_alone"), [(0.12, True), (0.05, False)])
def test_a_test_pulse_leaves_the_baseline_free(gap_s: float, is_alone: bool) -> None:
    current_pa = current_of([(0.6 - gap_s - 0.05, 0.05, -10), (0.6, 1.0, 50)])
    assert (long_square(quiet(current_pa)) is not None) == is_alone


def noisy_step(amplitude_pa: float, noise_pa: float, rate_hz: int, *, spikes: bool) -> Floats:
    """Return a measured stimulus: noise, and capacitive currents where the cell spikes."""
    rng = np.random.default_rng(round(abs(amplitude_pa)))
    current_pa = current_of([(ONSET_S, 1.0, amplitude_pa)], rate_hz=rate_hz, holding_pa=-74)
    current_pa += rng.normal(0, noise_pa, len(current_pa))
    if spikes:
        charge = round((ONSET_S + 0.5e-3) * rate_hz)
        current_pa[charge : charge + round(0.3e-3 * rate_hz)] -= np.sign(amplitude_pa) * 600
        for time_s in np.arange(ONSET_S + 5e-3, 0.5, 0.02):
            begin, brief = round(time_s * rate_hz), round(0.7e-3 * rate_hz)
            current_pa[begin : begin + brief] += 400
            current_pa[begin + brief : begin + 3 * brief] -= 300
    return current_pa


@pytest.mark.parametrize("spikes", [False, True])
@pytest.mark.parametrize("amplitude_pa", [25, -60, 100, 325])
@pytest.mark.parametrize("rate_hz", [10_000, 50_000])
def test_a_step_is_found_in_a_measured_stimulus(
    amplitude_pa: float, rate_hz: int, spikes: bool
) -> None:
    step = long_square(quiet(noisy_step(amplitude_pa, 8, rate_hz, spikes=spikes), rate_hz))
    assert step is not None
    # A jump of 3 deviations is located within a few samples; artefacts sit 5 ms away.
    assert step.onset_s == pytest.approx(ONSET_S, abs=0.6e-3)
    assert step.end_s == pytest.approx(ONSET_S + 1, abs=0.6e-3)
    # The median of 10,000 samples of 8 pA noise is known to 0.1 pA, that of the 80 ms to 0.4 pA.
    assert step.amplitude_pa == pytest.approx(amplitude_pa, abs=1.5)


@pytest.mark.parametrize("length_s", [0.001, 0.0012, 0.002, 0.003, 0.005])
@pytest.mark.parametrize("onset_s", [0.6, 0.6003])
def test_a_short_square_is_found_in_a_measured_stimulus(onset_s: float, length_s: float) -> None:
    current_pa = current_of([(onset_s, length_s, 600)], duration_s=1.5)
    current_pa += np.random.default_rng(0).normal(0, 3, len(current_pa))
    step = short_square(quiet(current_pa))
    assert step is not None
    # 200 deviations: to the sample
    assert (step.onset_s, step.duration_s) == pytest.approx((onset_s, length_s), abs=1e-5)


@pytest.mark.parametrize("noise_pa", [0, 5])
def test_a_sweep_without_stimulus_has_no_step(noise_pa: float) -> None:
    noise = np.random.default_rng(0).normal(0, noise_pa, 100_000)
    sweep = quiet(20 + noise)
    assert stimulus_of(sweep).steps == ()
    assert (long_square(sweep), short_square(sweep), ramp(sweep)) == (None, None, None)


@pytest.mark.parametrize("kind", ["hum", "drift"])
def test_hum_and_drift_do_not_break_a_step(kind: str) -> None:
    current_pa = current_of([(0.6, 1.0, 30)])
    time_s = np.arange(len(current_pa)) / RATE_HZ
    noise = np.random.default_rng(0).normal(0, 0.5, len(current_pa))
    slow = 2 * np.sin(2 * np.pi * 50 * time_s) if kind == "hum" else 0.7 * np.sin(3 * time_s)
    step = long_square(quiet(current_pa + noise + slow))
    assert step is not None
    # 2 pA of hum are a fifteenth of the step: they move its edge by a few samples.
    assert (step.onset_s, step.end_s) == pytest.approx((0.6, 1.6), abs=2e-4)
    assert step.amplitude_pa == pytest.approx(30, abs=3)


@pytest.mark.parametrize("kind", ["noise", "tone", "chirp", "triangle"])
def test_other_stimuli_are_none_of_ours(kind: str) -> None:
    time_s = np.arange(150_000) / RATE_HZ
    inside = (time_s >= 1) & (time_s < 2)
    rng = np.random.default_rng(0)
    course = {
        "noise": 100 + 20 * np.repeat(rng.normal(size=1500), 100),
        "tone": 50 * np.sin(2 * np.pi * 5 * time_s),
        "chirp": 50 * np.sin(2 * np.pi * 5 * (time_s - 1) ** 2),
        "triangle": 100 * (0.5 - np.abs(time_s - 1.5)),
    }[kind]
    sweep = quiet(np.where(inside, course, 0))
    assert (long_square(sweep), short_square(sweep), ramp(sweep)) == (None, None, None)


@pytest.mark.parametrize("shift", range(0, 25, 4))
def test_a_step_is_found_beside_a_test_pulse_many_times_as_high(shift: int) -> None:
    # wherever its edges fall among the blocks: in the middle of one, each half is small
    onset_s = 0.6 + shift / RATE_HZ
    current_pa = current_of([(0.1, 0.05, 300), (onset_s, 1.0, 25)])
    current_pa += np.random.default_rng(0).normal(0, 18, len(current_pa))
    step = long_square(quiet(current_pa))
    assert step is not None
    # Of 18 pA noise on 25 pA a few samples remain.
    assert step.onset_s == pytest.approx(onset_s, abs=2e-4)


def test_a_sweep_too_brief_to_judge_has_no_step() -> None:
    for samples in (0, 1, 100):
        assert long_square(quiet(np.ones(samples))) is None


def test_the_name_of_a_sweep_does_not_matter() -> None:
    sweep = quiet(current_of([(0.6, 1.0, 50)]))
    assert long_square(replace(sweep, name="X7Ramp")) == long_square(sweep)


@pytest.mark.parametrize(
    ("pulses", "is_short"),
    [
        ([(0.6, 0.003, 600)], True),
        ([TEST_PULSE, (0.6, 0.003, 600)], True),
        ([(0.6, 0.003, -600)], False),
        ([(0.6, 0.0005, 600)], False),
        ([(0.6, 0.015, 600)], False),
        ([TEST_PULSE, (0.6, 0.003, 600), (0.62, 0.003, 600), (0.64, 0.003, 600)], False),
        ([(0.1, 0.5, 80), (1.1, 0.01, 60)], False),
    ],
    ids=["alone", "test pulse", "negative", "too brief", "too long", "train", "after a long one"],
)
def test_a_short_square_is_one_brief_positive_pulse(
    pulses: list[tuple[float, float, float]], is_short: bool
) -> None:
    assert (short_square(quiet(current_of(pulses, duration_s=1.5))) is not None) == is_short


def rising_current(*, rate_hz: int, holding_pa: float = 0.0) -> Floats:
    time_s = np.arange(round(6 * rate_hz)) / rate_hz
    current_pa = current_of([TEST_PULSE], rate_hz=rate_hz, duration_s=6, holding_pa=holding_pa)
    rises = (time_s >= 1.02) & (time_s < 5.02)
    return current_pa + np.where(rises, 25 * (time_s - 1.02), 0)


@pytest.mark.parametrize("least_bit_pa", [0, 0.03, 0.125])
@pytest.mark.parametrize("holding_pa", [0, -40])
def test_a_ramp_is_followed_down_to_its_onset(least_bit_pa: float, holding_pa: float) -> None:
    current_pa = rising_current(rate_hz=RATE_HZ, holding_pa=holding_pa)
    if least_bit_pa:
        current_pa = np.round(current_pa / least_bit_pa) * least_bit_pa
    found = ramp(quiet(current_pa))
    assert found is not None
    assert found.slope_pa_per_s == pytest.approx(25, rel=1e-3)
    # Half a bit of 0.125 pA is worth 2.5 ms of a 25 pA/s ramp.
    assert found.onset / RATE_HZ == pytest.approx(1.02, abs=1e-4 + least_bit_pa / 2 / 25)
    assert found.end / RATE_HZ == pytest.approx(5.02, abs=1e-4)
    assert found.current_at(3.02 * RATE_HZ) == pytest.approx(50, abs=0.1)


def test_a_ramp_is_found_in_noise() -> None:
    rng = np.random.default_rng(0)
    current_pa = rising_current(rate_hz=20_000)
    found = ramp(quiet(current_pa + rng.normal(0, 5, len(current_pa)), 20_000))
    assert found is not None
    # 1 pA of noise in a mean over many blocks is 40 ms; the fit is far better than that.
    assert found.onset / 20_000 == pytest.approx(1.02, abs=0.02)
    assert found.slope_pa_per_s == pytest.approx(25, rel=0.01)


@pytest.mark.parametrize("least_bit_pa", [0, 0.1])
@pytest.mark.parametrize("pulse", [(0.1, 0.02, -20.0), (0.1, 0.001, 20.0)])
def test_a_ramp_without_noise_keeps_the_least_pulse_before_it(
    pulse: tuple[float, float, float], least_bit_pa: float
) -> None:
    current_pa = current_of([pulse], duration_s=6)
    current_pa[51_000:201_000] += 300 * np.arange(150_000) / RATE_HZ
    if least_bit_pa:
        current_pa = np.round(current_pa / least_bit_pa) * least_bit_pa
    (step,) = stimulus_of(quiet(current_pa)).steps
    assert (step.onset, step.end) == (5000, 5000 + round(pulse[1] * RATE_HZ))
    # float32 rounds 900 pA to 6e-5 pA
    assert step.amplitude_pa == pytest.approx(pulse[2], abs=1e-4)
    found = ramp(quiet(current_pa))
    assert found is not None
    assert found.slope_pa_per_s == pytest.approx(300, rel=1e-3)
    # half a bit of 0.1 pA is worth 0.2 ms
    assert found.onset == pytest.approx(51_000, abs=20)
    assert found.end == 201_000


def test_a_ramp_is_no_step_and_a_step_no_ramp() -> None:
    assert long_square(quiet(rising_current(rate_hz=10_000), 10_000)) is None
    assert ramp(quiet(current_of([(0.6, 1.0, 50)]))) is None
    noisy = noisy_step(100, 8, 10_000, spikes=True)
    assert ramp(quiet(noisy, 10_000)) is None


def test_a_ramp_that_the_sweep_cuts_off_is_still_one() -> None:
    current_pa = rising_current(rate_hz=10_000)[:40_000]
    found = ramp(quiet(current_pa, 10_000))
    assert found is not None
    assert found.end == 40_000


def test_a_rise_that_bends_is_no_ramp() -> None:
    time_s = np.arange(40_000) / 10_000
    assert ramp(quiet(30 * np.maximum(0, time_s - 1) ** 2, 10_000)) is None
