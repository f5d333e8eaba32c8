from dataclasses import replace

import numpy as np
import pytest

from sts.base.types import Floats
from sts.recordings.recording import Recording, Sweep
from sts.recordings.simulated.cells import SimulatedCell, roster, simulate_cell
from sts.recordings.simulated.membrane import membrane_of
from sts.recordings.simulated.neuron import BENCHES, Rig, Unfit, make_neuron, record_long_squares
from sts.recordings.simulated.populations import load_populations
from sts.recordings.simulated.rigs import Amplifier, draw_rig, pass_amplifier
from sts.signals.analysis import analyse
from sts.signals.select import find_long_squares

RIG = Rig(onset_s=0.5, noise_mv=0.0, holding_pa=-20.0)
QUIET = Amplifier(
    rate_hz=10e3,
    filter_hz=4e3,
    noise_mv=1e-6,
    colour=0.0,
    hum_mv=0.0,
    mains_hz=50.0,
    offset_mv=0.0,
    bridge_mohm=0.0,
    delay_s=0.0,
)


@pytest.fixture(scope="module")
def cells() -> list[SimulatedCell]:
    return [
        simulate_cell(entry, seed=8, protocol="pair", rigs="varied") for entry in roster(6, seed=8)
    ]


def pass_constant(amplifier: Amplifier, *, current_pa: float = 0.0) -> Floats:
    """Return what an amplifier stores of 2 s at -70 mV, with a current in the second half."""
    step_pa = np.zeros(100_000, np.float32)
    step_pa[50_000:] = current_pa
    sweep = Sweep(
        voltage_mv=np.full(100_000, -70, np.float32),
        current_pa=step_pa,
        rate_hz=50e3,
        name="",
        number=0,
    )
    recording = Recording(specimen_id="one", sweeps=(sweep,))
    (stored,) = pass_amplifier(recording, RIG, amplifier, seed=(0,)).sweeps
    assert stored.rate_hz == amplifier.rate_hz
    return stored.voltage_mv


def power(voltage_mv: Floats, low_hz: float, high_hz: float) -> float:
    """Return the mean power of a voltage at 10 kHz between two frequencies."""
    spectrum = np.abs(np.fft.rfft(voltage_mv - voltage_mv.mean())) ** 2
    hz = np.fft.rfftfreq(len(voltage_mv), 1e-4)
    return float(spectrum[(low_hz <= hz) & (hz < high_hz)].mean())


def test_a_cell_of_a_random_rig_is_the_same_in_any_company(cells: list[SimulatedCell]) -> None:
    again = simulate_cell(roster(6, seed=8)[5], seed=8, protocol="pair", rigs="varied")
    for one, other in zip(again.recording.sweeps, cells[5].recording.sweeps, strict=True):
        np.testing.assert_array_equal(one.voltage_mv, other.voltage_mv)


def test_cells_of_random_rigs_differ_in_rate_step_and_holding(
    cells: list[SimulatedCell],
) -> None:
    squares = [find_long_squares(analyse(cell.recording)) for cell in cells]
    steps = [each[0].step for each in squares]
    assert len({round(step.duration_s, 2) for step in steps}) > 2
    assert len({step.rate_hz for step in steps}) > 1
    assert len({round(step.holding_pa) for step in steps}) == len(steps)
    for cell, found in zip(cells, squares, strict=True):
        assert len(found) == len(cell.recording.sweeps)
        assert sum(each.fires for each in found) >= 2


def test_no_voltage_stays_up_after_its_step(cells: list[SimulatedCell]) -> None:
    ends_mv = [
        np.median(sweep.voltage_mv[-200:]) for cell in cells for sweep in cell.recording.sweeps
    ]
    # Offsets reach 15 mV.
    assert max(ends_mv) < -25


def test_the_search_of_a_silent_neuron_ends_on_every_grid() -> None:
    # 800 pA is no multiple of 30 pA.
    parameters = {**load_populations().draw("PatchSeq", "Sst", seed=1, member=0), "sodium": 0.0}
    neuron = make_neuron(parameters, seed=(1,), bench=replace(RIG, grid_pa=30))
    with pytest.raises(Unfit, match="silent at 780 pA"):
        record_long_squares(neuron)


def test_rigs_lie_in_the_ranges_of_laboratories() -> None:
    drawn = [draw_rig((seed,)) for seed in range(200)]
    lengths_s = np.array([rig.step_s for rig, _ in drawn])
    assert lengths_s.min() >= 0.5
    assert lengths_s.max() <= 2.0
    # A third of 200, at more than three deviations from it either way.
    assert 45 < (lengths_s == 1.0).sum() < 90
    assert all(amplifier.filter_hz <= 0.4 * amplifier.rate_hz for _, amplifier in drawn)


def test_a_negative_holding_current_lowers_the_rest() -> None:
    parameters = load_populations().draw("PatchSeq", "Sst", seed=1, member=0)
    plain, held = (membrane_of(parameters, holding_pa=pa).rest[0] for pa in (0.0, -40.0))
    assert held < plain - 1


def test_an_amplifier_adds_its_offset_and_the_resistance_of_its_electrode() -> None:
    amplifier = replace(QUIET, offset_mv=7.0, bridge_mohm=10.0)
    stored = pass_constant(amplifier, current_pa=100.0)
    # 10 MOhm and -20 pA are -0.2 mV, 100 pA more are 1 mV more.
    np.testing.assert_allclose(stored[[5000, 15_000]], [-63.2, -62.2], atol=1e-3)


def test_the_delay_moves_the_voltage_after_the_current() -> None:
    late, early = (
        pass_constant(replace(QUIET, bridge_mohm=10.0, delay_s=delay_s), current_pa=100.0)
        for delay_s in (1e-3, 0.0)
    )
    edges = [int(np.argmax(each > -69.7)) for each in (late, early)]
    assert edges[0] - edges[1] == 10


def test_noise_has_its_size_and_its_colour() -> None:
    white, pink = (
        pass_constant(replace(QUIET, noise_mv=0.2, colour=colour)) for colour in (0.0, 1.0)
    )
    # The filter passes 4 kHz of 25 kHz of white noise: 0.4 of its deviation.
    assert 0.06 < white.std() < 0.1
    assert 0.5 < power(white, 100, 200) / power(white, 1000, 2000) < 2
    # Ten times the frequency, a tenth of the power.
    assert 5 < power(pink, 100, 200) / power(pink, 1000, 2000) < 20


def test_hum_stands_at_the_frequency_of_the_mains() -> None:
    stored = pass_constant(replace(QUIET, hum_mv=0.1, mains_hz=60.0))
    spectrum = np.abs(np.fft.rfft(stored - stored.mean()))
    assert np.fft.rfftfreq(len(stored), 1e-4)[spectrum.argmax()] == 60.0
    assert np.ptp(stored) == pytest.approx(0.2, rel=0.02)


def test_plain_rigs_are_those_of_the_data_sets() -> None:
    entry = roster(1, seed=3)[0]
    cell = simulate_cell(entry, seed=3, protocol="pair")
    (first, *_) = find_long_squares(analyse(cell.recording))
    assert first.step.onset_s == BENCHES[entry.dataset].onset_s
    assert first.step.duration_s == 1.0
