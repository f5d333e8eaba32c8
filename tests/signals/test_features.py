"""Features have the values that cells were built to have."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit

from sts.base.errors import CellExcluded, StsError
from sts.base.types import Floats
from sts.recordings.recording import Recording, Sweep
from sts.signals.analysis import analyse
from sts.signals.feature_names import FEATURES
from sts.signals.features import absolute_times, measure_features
from sts.signals.sweep_results import NO_STIMULUS, measure_sweeps
from tests.signals.worlds import (
    PEAK_MS,
    PEAK_MV,
    REST_MV,
    THRESHOLD_MV,
    TROUGH_MS,
    TROUGH_MV,
    charging,
    current_of,
    long_square_sweep,
    recording_of,
    spike_train,
    sweep_of,
)

RATE_HZ = 50_000
RESISTANCE_MOHM, TAU_MS = 180.0, 22.0
# A sample, and what the filter rounds off a corner.
TIME_S = 1e-4


def passive_sweep(
    amplitude_pa: float, *, number: int, rate_hz: int = RATE_HZ, noise_mv: float = 0
) -> Sweep:
    current_pa = current_of([(0.6, 1.0, amplitude_pa)], rate_hz=rate_hz)
    voltage_mv = charging(
        current_pa, rate_hz=rate_hz, resistance_mohm=RESISTANCE_MOHM, tau_ms=TAU_MS
    )
    voltage_mv += np.random.default_rng(number).normal(0, noise_mv, len(voltage_mv))
    return sweep_of(voltage_mv, current_pa, rate_hz, number=number)


def even(count: int) -> Floats:
    """Return spike times after the onset: the first at 80 ms, 25 ms apart."""
    return 0.08 + 0.025 * np.arange(count)


def firing_sweep(amplitude_pa: float, spikes_s: Sequence[float], *, number: int) -> Sweep:
    return long_square_sweep(amplitude_pa, spikes_s, number=number)


def short_square_sweep(amplitude_pa: float, *, number: int, delay_s: float | None) -> Sweep:
    current_pa = current_of([(0.1, 0.01, -10), (0.6, 0.003, amplitude_pa)], duration_s=1.2)
    times_s = [] if delay_s is None else [0.6 + delay_s]
    voltage_mv = spike_train(times_s, rate_hz=RATE_HZ, duration_s=1.2)
    return sweep_of(voltage_mv, current_pa, RATE_HZ, number=number)


def ramp_sweep(spikes_s: Sequence[float], *, number: int) -> Sweep:
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    current_pa = 25 * np.clip(time_s - 0.6, 0, None)
    voltage_mv = spike_train(0.6 + np.asarray(spikes_s), rate_hz=RATE_HZ, duration_s=3)
    return sweep_of(voltage_mv, current_pa, RATE_HZ, number=number)


def whole_cell() -> Recording:
    """Return a cell with every stimulus: rheobase 30 pA, 4 spikes more for every 20 pA."""
    sweeps = [
        passive_sweep(amplitude_pa, number=number)
        for number, amplitude_pa in enumerate((-110, -90, -70, -50, -30, -10, 10))
    ]
    sweeps += [firing_sweep(30 + 20 * k, even(1 + 4 * k), number=10 + k) for k in range(5)]
    sweeps += [short_square_sweep(500, number=20 + k, delay_s=0.0022) for k in range(3)]
    sweeps.append(ramp_sweep([1.2, 1.4], number=30))
    return recording_of(sweeps)


@pytest.fixture(scope="module")
def values() -> dict[str, float]:
    measured = measure_features(analyse(whole_cell()))
    assert measured.notes == ()
    return measured.values


def test_every_feature_has_its_place(values: dict[str, float]) -> None:
    assert tuple(values) == FEATURES
    assert len(set(FEATURES)) == 45
    missing = {name for name, value in values.items() if np.isnan(value)}
    # One spike is the last one: it has no slow trough.
    assert missing == {
        f"slow_trough_{kind}_{stimulus}"
        for kind in "vt"
        for stimulus in ("long_square", "short_square", "ramp")
    }


def test_the_membrane_is_as_built(values: dict[str, float]) -> None:
    assert values["vrest"] == pytest.approx(REST_MV, abs=1e-4)
    # After 1 s all but e^-45 of the deflection is there.
    assert values["ri"] == pytest.approx(RESISTANCE_MOHM, rel=1e-4)
    # Samples are float32: 8e-6 of -70 mV.
    assert values["tau"] == pytest.approx(TAU_MS, rel=1e-3)
    assert values["sag"] == pytest.approx(0, abs=1e-4)
    # -110 pA reaches -89.8 mV, nearest to -100.
    assert values["vm_for_sag"] == pytest.approx(REST_MV - 0.110 * RESISTANCE_MOHM, abs=1e-3)


@pytest.mark.parametrize("rate_hz", [10_000, 50_000, 200_000])
def test_the_time_constant_stands_noise(rate_hz: int) -> None:
    sweeps = [
        passive_sweep(amplitude_pa, number=k, rate_hz=rate_hz, noise_mv=0.1)
        for k, amplitude_pa in enumerate((-90, -70, -50))
    ]
    firing = replace(long_square_sweep(50, even(3), rate_hz=rate_hz), number=9)
    found = measure_features(analyse(recording_of([*sweeps, firing]))).values
    # 0.1 mV on 9 to 16 mV over 1,000 or more samples of 10 kHz: under 1 %
    assert found["tau"] == pytest.approx(TAU_MS, rel=0.01)
    # The deepest of 10,000 noisy samples lies 0.4 mV too deep at every amplitude alike.
    assert found["ri"] == pytest.approx(RESISTANCE_MOHM, rel=0.02)


def slow_time_constant_ms(sweep: Sweep, *, first: int, last: int) -> float:
    """Fit one exponential to every sample from a tenth of the deflection at `last` onwards."""
    base_mv = sweep.voltage_mv[first - 5000 : first].mean()
    tenth_mv = base_mv + (sweep.voltage_mv[last] - base_mv) / 10
    begin = first + int(np.argmax(sweep.voltage_mv[first:] <= tenth_mv))
    course_mv = sweep.voltage_mv[begin:last].astype(np.float64)
    time_s = np.arange(len(course_mv)) / sweep.rate_hz
    fitted, _ = curve_fit(
        lambda t, a, k, c: c + a * np.exp(-k * t), time_s, course_mv, (9, 50, -80)
    )
    return float(1000 / fitted[1])


def test_the_time_constant_of_a_course_that_is_no_exponential_is_that_of_the_fit() -> None:
    sweeps = []
    for number, (amplitude_pa, back_ms) in enumerate([(-90, 60), (-70, 90), (-50, 200)]):
        current_pa = current_of([(0.6, 1.0, amplitude_pa)])
        time_ms = np.arange(50_000) / 50
        # a fast part, a slow one, and a sag of another speed on every sweep
        share = 0.4 * (1 - np.exp(-time_ms / 5)) + 0.6 * (1 - np.exp(-time_ms / 25))
        share -= 0.2 * (1 - np.exp(-time_ms / back_ms))
        voltage_mv = np.full(len(current_pa), REST_MV)
        voltage_mv[30_000:80_000] += 0.15 * amplitude_pa * share
        sweeps.append(sweep_of(voltage_mv, current_pa, RATE_HZ, number=number))
    found = measure_features(
        analyse(recording_of([*sweeps, firing_sweep(50, even(3), number=9)]))
    ).values["tau"]
    peaks = [30_000 + int(np.argmin(s.voltage_mv[30_000:80_000])) for s in sweeps]
    truths = [
        slow_time_constant_ms(s, first=30_000, last=min(peak, int(np.median(peaks))))
        for s, peak in zip(sweeps, peaks, strict=True)
    ]
    # Means over 2 to 4 samples in place of the samples, against tens of ms of course
    assert found == pytest.approx(np.mean(truths), rel=1e-3)


def test_a_deflection_that_drowns_in_noise_gives_no_time_constant() -> None:
    drowned = passive_sweep(-30, number=0, noise_mv=0.5)
    found = measure_features(
        analyse(recording_of([drowned, firing_sweep(50, even(3), number=1)]))
    ).values
    assert np.isnan(found["tau"])
    assert np.isfinite(found["ri"])


def test_passive_properties_come_from_steps_above_minus_100_pa() -> None:
    strong = passive_sweep(-150, number=5)
    rectified = replace(strong, voltage_mv=REST_MV + 0.5 * (strong.voltage_mv - REST_MV))
    gentle = [passive_sweep(amplitude_pa, number=k) for k, amplitude_pa in enumerate((-90, -50))]
    firing = firing_sweep(50, even(3), number=9)
    found = measure_features(analyse(recording_of([*gentle, rectified, firing]))).values
    assert found["ri"] == pytest.approx(RESISTANCE_MOHM, rel=1e-4)


def test_one_sweep_takes_its_baseline_for_the_resistance() -> None:
    firing = firing_sweep(50, even(3), number=9)
    found = measure_features(analyse(recording_of([passive_sweep(-70, number=0), firing]))).values
    assert found["ri"] == pytest.approx(RESISTANCE_MOHM, rel=1e-4)


def test_a_sag_is_the_share_of_the_deflection_that_is_taken_back() -> None:
    current_pa = current_of([(0.6, 1.0, -90)])
    voltage_mv = np.full(len(current_pa), REST_MV)
    # 20 mV down at 100 ms, then in 100 ms up to 15 mV below rest
    voltage_mv[30_000:80_000] += np.interp(
        np.arange(50_000) / 50_000, [0, 0.1, 0.105, 0.2, 1], [0, -20, -20, -15, -15]
    )
    # Before, only the last 30 ms count.
    voltage_mv[:28_400] += 4
    sagging = sweep_of(voltage_mv, current_pa, RATE_HZ, number=0)
    found = measure_features(
        analyse(recording_of([sagging, firing_sweep(50, even(3), number=1)]))
    ).values
    assert found["vm_for_sag"] == pytest.approx(REST_MV - 20)
    # The peak is a mean over 5 ms of which a half still falls, by 0.25 mV in the mean.
    assert found["sag"] == pytest.approx(0.25, abs=0.02)


def test_the_first_spike_of_the_rheobase_sweep_gives_the_long_square_features(
    values: dict[str, float],
) -> None:
    assert values["threshold_i_long_square"] == 30
    assert values["threshold_t_long_square"] == pytest.approx(0.08, abs=TIME_S)
    assert values["peak_t_long_square"] == pytest.approx(0.08 + PEAK_MS / 1000, abs=TIME_S)
    assert values["fast_trough_t_long_square"] == pytest.approx(0.08 + TROUGH_MS / 1000, abs=TIME_S)
    assert values["trough_t_long_square"] == pytest.approx(0.08 + TROUGH_MS / 1000, abs=TIME_S)
    # Half a sample of the upstroke is 2 mV; the slow rise before the threshold is 1 mV/ms.
    assert values["threshold_v_long_square"] == pytest.approx(THRESHOLD_MV, abs=0.2)
    assert values["peak_v_long_square"] == pytest.approx(PEAK_MV, abs=2)
    assert values["trough_v_long_square"] == pytest.approx(TROUGH_MV, abs=2)
    assert values["upstroke_downstroke_ratio_long_square"] == pytest.approx(2, rel=0.03)


def test_the_f_i_slope_is_the_one_built_in(values: dict[str, float]) -> None:
    assert values["f_i_curve_slope"] == pytest.approx(4 / 20)


def test_a_rate_is_per_second_of_the_step() -> None:
    sweeps = [
        long_square_sweep(30 + 20 * k, even(1 + 4 * k), number=k, length_s=0.5) for k in range(3)
    ]
    found = measure_features(analyse(recording_of(sweeps))).values
    assert found["f_i_curve_slope"] == pytest.approx(2 * 4 / 20)


def test_the_rhythm_is_that_of_the_hero_sweep() -> None:
    # Rheobase 30, hero 70: intervals of 20, 30, 45 ms grow by half each time.
    hero = np.cumsum([0.05, 0.020, 0.030, 0.045])
    other = even(9)
    sweeps = [(30, even(1)), (50, other), (70, hero), (90, other)]
    found = measure_features(
        analyse(recording_of([firing_sweep(a, s, number=k) for k, (a, s) in enumerate(sweeps)]))
    ).values
    assert found["adaptation"] == pytest.approx(0.5 / 2.5, rel=0.01)
    assert found["avg_isi"] == pytest.approx((20 + 30 + 45) / 3, rel=0.01)
    assert found["latency"] == pytest.approx(0.05, abs=TIME_S)


@pytest.mark.parametrize(
    ("spikes", "adaptation_missing", "interval_missing"),
    [(1, True, True), (2, True, False), (3, False, False)],
)
def test_too_few_spikes_leave_the_rhythm_missing(
    spikes: int, adaptation_missing: bool, interval_missing: bool
) -> None:
    sweeps = [firing_sweep(30, even(1), number=0), firing_sweep(70, even(spikes), number=1)]
    found = measure_features(analyse(recording_of(sweeps))).values
    assert np.isnan(found["adaptation"]) == adaptation_missing
    assert np.isnan(found["avg_isi"]) == interval_missing


def test_short_squares_give_the_mean_of_first_spikes(values: dict[str, float]) -> None:
    assert values["threshold_i_short_square"] == pytest.approx(500, abs=1e-3)
    assert values["threshold_t_short_square"] == pytest.approx(0.0022, abs=TIME_S)
    assert values["peak_v_short_square"] == pytest.approx(PEAK_MV, abs=2)


def test_the_current_of_short_squares_is_the_one_that_fires_most_often() -> None:
    recording = whole_cell()
    shorts = [(450, 0.003), (500, 0.002), (500, 0.002), (450, 0.003), (550, 0.001), (400, None)]
    sweeps = [s for s in recording.sweeps if not 20 <= s.number < 30]
    sweeps += [short_square_sweep(a, number=20 + k, delay_s=d) for k, (a, d) in enumerate(shorts)]
    found = measure_features(analyse(recording_of(sweeps))).values
    assert found["threshold_i_short_square"] == pytest.approx(450, abs=1e-3)
    # The mean is over all that fire.
    mean_s = np.mean([d for _, d in shorts if d is not None])
    assert found["threshold_t_short_square"] == pytest.approx(mean_s, abs=TIME_S)


def test_a_ramp_gives_the_current_at_its_first_threshold(values: dict[str, float]) -> None:
    assert values["threshold_t_ramp"] == pytest.approx(1.2, abs=1e-3)
    assert values["threshold_i_ramp"] == pytest.approx(25 * 1.2, abs=0.05)


def test_what_fires_before_a_stimulus_is_not_evoked_by_it() -> None:
    ramp, short = (
        ramp_sweep([-0.2, 1.2], number=30),
        short_square_sweep(500, number=20, delay_s=0.002),
    )
    early = spike_train([0.55, 0.602], rate_hz=RATE_HZ, duration_s=1.2)
    short = sweep_of(early, short.current_pa, RATE_HZ, number=20)
    found = measure_features(
        analyse(recording_of([firing_sweep(30, even(3), number=0), short, ramp]))
    ).values
    assert found["threshold_t_ramp"] == pytest.approx(1.2, abs=1e-3)
    assert found["threshold_t_short_square"] == pytest.approx(0.002, abs=TIME_S)


def test_the_threshold_on_a_short_square_lies_at_a_tenth_of_the_upstroke_or_more() -> None:
    # 15 mV/ms for 1 ms before an upstroke of 200 mV/ms: between 5 and 10 % of it
    current_pa = current_of([(0.6, 0.003, 500)], duration_s=1.2)
    knots = [
        (0, -70),
        (601.5, -70),
        (602.5, -55),
        (602.9, 25),
        (603.9, -75),
        (640, -70),
        (1200, -70),
    ]
    times_ms, levels_mv = zip(*knots, strict=True)
    voltage_mv = np.interp(np.arange(len(current_pa)) / 50, times_ms, levels_mv)
    short = sweep_of(voltage_mv, current_pa, RATE_HZ, number=1)
    found = measure_features(
        analyse(recording_of([firing_sweep(30, even(3), number=0), short]))
    ).values
    assert found["threshold_t_short_square"] == pytest.approx(0.0025, abs=TIME_S)


def test_a_charging_that_outruns_20_mv_per_ms_is_no_spike() -> None:
    # 2 nA on 60 pF: 33 mV/ms, up to -25 mV at the end of the pulse.
    current_pa = current_of([(0.6, 0.003, 2000)], duration_s=1.2)
    passive = charging(current_pa, rate_hz=RATE_HZ, resistance_mohm=25, tau_ms=1.5)
    sweeps = [*whole_cell().sweeps, sweep_of(passive, current_pa, RATE_HZ, number=40)]
    sweeps = [s for s in sweeps if not 20 <= s.number < 30]
    found = measure_features(analyse(recording_of(sweeps)))
    assert np.isnan(found.values["threshold_v_short_square"])
    assert "no short square with a spike" in found.notes


def test_what_cannot_be_measured_is_missing_with_a_note() -> None:
    silent = passive_sweep(10, number=1)
    found = measure_features(analyse(recording_of([firing_sweep(30, even(3), number=0), silent])))
    assert found.notes == (
        "no ri and tau: no silent long square between -100 and 0 pA",
        "no sag: no silent hyperpolarising long square",
        "no f_i_curve_slope: only one amplitude fires",
        "no short square with a spike",
        "no ramp with a spike",
    )
    for name in ("ri", "tau", "sag", "vm_for_sag", "f_i_curve_slope", "peak_v_ramp"):
        assert np.isnan(found.values[name])


def test_notes_tell_of_a_skipped_filter_a_short_baseline_and_other_lengths() -> None:
    sweep = long_square_sweep(30, even(3), rate_hz=10_000, length_s=0.5)
    cut = replace(sweep, voltage_mv=sweep.voltage_mv[5200:], current_pa=sweep.current_pa[5200:])
    notes = measure_features(analyse(recording_of([cut]))).notes
    assert notes[:3] == (
        "10 kHz filter skipped: the rate is 10 kHz",
        "baseline of 80 ms instead of 100 ms",
        "long squares last 0.5 s",
    )


@pytest.mark.parametrize(
    ("silent_pa", "noted"),
    [
        ((), "the rheobase is uncertain: no long square between 0 and 110 pA"),
        ((-50, 30), "the rheobase is uncertain: no long square between 30 and 110 pA"),
        ((60,), None),
    ],
)
def test_a_rheobase_far_above_the_silent_steps_is_noted(
    silent_pa: tuple[int, ...], noted: str | None
) -> None:
    silent = [passive_sweep(pa, number=at) for at, pa in enumerate(silent_pa, start=1)]
    cell = recording_of([firing_sweep(110, even(3), number=0), *silent])
    notes = measure_features(analyse(cell)).notes
    assert [note for note in notes if "rheobase" in note] == ([noted] if noted else [])


@pytest.mark.parametrize(
    ("sweeps", "reason"),
    [
        ([passive_sweep(-50, number=0), passive_sweep(50, number=1)], "no spike"),
        ([short_square_sweep(500, number=0, delay_s=0.002)], "no long square"),
        ([], "no current-clamp sweep"),
    ],
)
def test_a_cell_without_spikes_on_a_long_square_is_excluded(
    sweeps: list[Sweep], reason: str
) -> None:
    with pytest.raises(CellExcluded, match=reason):
        measure_features(analyse(recording_of(sweeps)))


def test_measuring_changes_nothing() -> None:
    recording = whole_cell()
    for sweep in recording.sweeps:
        sweep.voltage_mv.setflags(write=False)
        sweep.current_pa.setflags(write=False)
    measure_features(analyse(recording))


@pytest.mark.parametrize(("dataset", "onset_s"), [("PatchSeq", 0.5), ("PatchClamp", 1.02)])
def test_absolute_times_move_times_and_nothing_else(
    values: dict[str, float], dataset: str, onset_s: float
) -> None:
    moved = absolute_times(values, dataset)
    assert tuple(moved) == tuple(values)
    for name, value in values.items():
        is_time = "_t_" in name and name.split("_t_")[1] in ("long_square", "ramp", "short_square")
        np.testing.assert_equal(moved[name], value + onset_s if is_time else value)
    assert sum("_t_" in name for name in moved) == 15


def test_an_unknown_data_set_is_answered_with_the_nearest() -> None:
    with pytest.raises(StsError, match="did you mean 'PatchSeq'"):
        absolute_times({}, "Patchseq")


def test_values_of_single_sweeps_agree_with_those_of_the_cell() -> None:
    long, short = (
        firing_sweep(30, even(3), number=0),
        short_square_sweep(500, number=1, delay_s=0.002),
    )
    ramp, silent = ramp_sweep([0.3, 0.5], number=2), passive_sweep(10, number=3)
    quiet = replace(silent, current_pa=np.zeros_like(silent.current_pa), number=4)
    analysis = analyse(recording_of([long, short, ramp, silent, quiet]))
    found = measure_sweeps(analysis)
    kinds = ["long square", "short square", "ramp", "long square", NO_STIMULUS]
    assert [each.stimulus for each in found] == kinds
    assert [len(each.spike_times_s) for each in found] == [3, 1, 2, 0, 0]
    values = measure_features(analysis).values
    assert found[0].latency_s == pytest.approx(values["latency"])
    assert found[0].mean_interval_ms == pytest.approx(values["avg_isi"])
    assert found[0].rate_per_s == pytest.approx(3)
    for each, stimulus in zip(found, ("long_square", "short_square", "ramp"), strict=False):
        peak_mv = each.first(lambda spikes: spikes.peak_v)
        assert peak_mv == pytest.approx(values[f"peak_v_{stimulus}"])
    assert np.isnan(found[4].first(lambda spikes: spikes.peak_v))
    assert np.isnan([found[2].rate_per_s, found[3].latency_s, found[1].mean_interval_ms]).all()
