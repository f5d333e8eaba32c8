"""Steps, pairs and features are the same in a measured current as in the ideal command."""

from dataclasses import replace

import numpy as np
import pytest

from sts.recordings.recording import Recording, Sweep
from sts.recordings.simulated.cells import roster, simulate_cell
from sts.signals.analysis import analyse
from sts.signals.features import measure_features
from sts.signals.select import select_pair
from sts.signals.steps import stimulus_of
from tests.signals.disturbed import (
    ARTEFACT_PA,
    DISTURBANCES,
    DRIFT_PA,
    disturbed_recording,
    disturbed_sweep,
    sweep_at_rate,
)
from tests.signals.worlds import (
    charging,
    current_of,
    long_square,
    ramp,
    short_square,
    spike_train,
    sweep_of,
)

AMPLITUDES_PA = (-300, -100, -40, -20, -10, 10, 20, 40, 100, 300)
CASES = [
    *(
        ("all", rate_hz, pa)
        for rate_hz in (10_000, 20_000, 50_000, 200_000)
        for pa in AMPLITUDES_PA
    ),
    *(
        (kind, rate_hz, pa)
        for kind in DISTURBANCES
        for rate_hz in (10_000, 50_000)
        for pa in (-40, 10, 300)
        if kind != "all"
    ),
]


@pytest.fixture(scope="module")
def cells() -> list[Recording]:
    """Simulated cells, one of every class."""
    return [simulate_cell(entry, seed=3).recording for entry in roster(4, seed=3)]


def spiking(cells: list[Recording]) -> Sweep:
    """Return the sweep that spikes most: the first cell of the roster fires fast."""
    return max(
        (sweep for cell in cells for sweep in cell.sweeps if long_square(sweep)),
        key=lambda sweep: np.sum(np.diff(np.signbit(sweep.voltage_mv))),
    )


@pytest.mark.parametrize(("kind", "rate_hz", "amplitude_pa"), CASES)
def test_a_step_is_found_in_a_measured_current(
    cells: list[Recording], kind: str, rate_hz: float, amplitude_pa: float
) -> None:
    sweep = spiking(cells)
    ideal = long_square(sweep)
    assert ideal is not None
    current_pa = np.zeros_like(sweep.current_pa)
    current_pa[ideal.onset : ideal.end] = amplitude_pa
    sweep = sweep_at_rate(replace(sweep, current_pa=current_pa), rate_hz)
    measured = disturbed_sweep(sweep, kind, seed=round(rate_hz) + 1000 + amplitude_pa)
    step = long_square(measured)
    assert step is not None
    assert (step.onset_s, step.end_s) == pytest.approx((ideal.onset_s, ideal.end_s), abs=1e-3)
    # 5 pA of noise in 10,000 samples on either side: a level is known to 0.1 pA, four deviations
    # of which are more than 2 % of the least steps. At 20 kHz and more it is less.
    least_pa = 0.4 * (10_000 / rate_hz) ** 0.5 if kind in ("noise", "all") else 0.0
    assert step.amplitude_pa == pytest.approx(amplitude_pa, rel=0.02, abs=least_pa)
    assert stimulus_of(measured).steps == (step,)


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_simulated_cells_give_the_same_stimuli(cells: list[Recording], kind: str) -> None:
    for cell in cells:
        for ideal, measured in zip(
            cell.sweeps, disturbed_recording(cell, kind).sweeps, strict=True
        ):
            for find in (long_square, short_square, ramp):
                assert (find(measured) is None) == (find(ideal) is None)


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_simulated_cells_give_the_same_pair_and_features(cells: list[Recording], kind: str) -> None:
    for seed, cell in enumerate(cells):
        measured = disturbed_recording(cell, kind, seed=seed)
        numbers = [
            [sweep.number for sweep in select_pair(analyse(each)).sweeps]
            for each in (cell, measured)
        ]
        assert numbers[0] == numbers[1]
        ideal, found = (
            measure_features(analyse(cell)).values,
            measure_features(analyse(measured)).values,
        )
        for name, value in ideal.items():
            expected = pytest.approx(value, rel=0.02, abs=least_of(name), nan_ok=True)
            assert found[name] == expected, name


def least_of(name: str) -> float:
    """Return by how much a feature may differ, however small it is."""
    if name.endswith("_ramp"):
        # On a ramp of 25 pA/s a drift is nothing but a time.
        return 2 * DRIFT_PA / 25 if "_t_" in name else 2 * DRIFT_PA
    if name == "latency" or "_t_" in name:
        return 1e-3
    # The trough after a short square is the lowest of samples that differ by the noise.
    trough = 0.02 if name == "trough_t_short_square" else 0.0
    # A fit to a charging curve begins at a share of it: it moves by samples.
    return {"tau": 1.0, "sag": 0.005}.get(name, trough)


def rebound(amplitude_pa: float, kind: str) -> Sweep:
    """Return a negative step after which a cell fires five times within 200 ms."""
    current_pa = current_of([(0.6, 1.0, amplitude_pa)])
    passive_mv = charging(current_pa, rate_hz=50_000, resistance_mohm=150, tau_ms=20)
    times_s = [1.605 + 0.03 * number for number in range(5)]
    fired_mv = spike_train(times_s, rate_hz=50_000, duration_s=2.2)
    voltage_mv = np.where(fired_mv > fired_mv[0] + 1e-6, fired_mv, passive_mv)
    return disturbed_sweep(sweep_of(voltage_mv, current_pa, 50_000), kind, seed=5)


@pytest.mark.parametrize("kind", ["artefacts", "all"])
@pytest.mark.parametrize("amplitude_pa", [-300, -60, -10])
def test_rebound_spikes_are_no_other_step(amplitude_pa: float, kind: str) -> None:
    sweep = rebound(amplitude_pa, kind)
    after = sweep.current_pa[80_100:90_000]
    # They do show in the current.
    assert np.ptp(after) > ARTEFACT_PA
    step = long_square(sweep)
    assert step is not None
    assert stimulus_of(sweep).steps == (step,)
    assert (step.onset_s, step.end_s) == pytest.approx((0.6, 1.6), abs=1e-3)


TRAINS = {
    "one pause of 5 ms": [(0.6, 0.5, 100), (1.105, 0.495, 100)],
    "one pause of 20 ms": [(0.6, 0.5, 100), (1.12, 0.48, 100)],
    "two steps 100 ms apart": [(0.4, 0.6, 100), (1.1, 0.6, 100)],
    "pulses of 15 ms, 50 a second": [(0.6 + 0.02 * n, 0.015, 100) for n in range(50)],
    "pulses of 7 ms, 100 a second": [(0.6 + 0.01 * n, 0.007, 100) for n in range(100)],
    "pulses of 2 ms, 20 a second": [(0.6 + 0.05 * n, 0.002, 400) for n in range(20)],
    "a staircase": [(0.3 + 0.2 * n, 0.2, 20 * (n + 1)) for n in range(7)],
}


@pytest.mark.parametrize("kind", ["noise", "transients", "all"])
@pytest.mark.parametrize("train", TRAINS)
def test_steps_with_pauses_are_no_long_square(train: str, kind: str) -> None:
    current_pa = current_of(TRAINS[train])
    voltage_mv = charging(current_pa, rate_hz=50_000, resistance_mohm=150, tau_ms=20)
    sweep = disturbed_sweep(sweep_of(voltage_mv, current_pa, 50_000), kind)
    assert (long_square(sweep), short_square(sweep), ramp(sweep)) == (None, None, None)


@pytest.mark.parametrize("kind", DISTURBANCES)
@pytest.mark.parametrize("other", ["ramp", "tone", "slow tone", "chirp", "noise", "triangle"])
def test_other_measured_stimuli_are_no_long_square(other: str, kind: str) -> None:
    time_s = np.arange(150_000) / 50_000
    rng = np.random.default_rng(0)
    course = {
        "ramp": 100 * (time_s - 1),
        "tone": 50 * np.sin(2 * np.pi * 5 * time_s),
        "slow tone": 50 * np.sin(2 * np.pi * (time_s - 1)),
        "chirp": 50 * np.sin(2 * np.pi * 5 * (time_s - 1) ** 2),
        "noise": 100 + 40 * np.repeat(rng.normal(size=1500), 100),
        "triangle": 100 * (0.5 - np.abs(time_s - 1.5)),
    }[other]
    current_pa = np.where((time_s >= 1) & (time_s < 2), course, 0)
    sweep = sweep_of(np.full(len(time_s), -70.0), current_pa, 50_000)
    assert long_square(disturbed_sweep(sweep, kind)) is None
