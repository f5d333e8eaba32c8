import numpy as np
import pytest

from sts.base.types import Floats
from sts.recordings.simulated.membrane import (
    GATES,
    STEP_MS,
    Membrane,
    gate_kinetics,
    integrate,
    membrane_of,
    normal,
)
from sts.recordings.simulated.neuron import BENCHES, Unfit, make_neuron, record_long_squares
from sts.recordings.simulated.populations import load_populations

POPULATIONS = load_populations()
NAMES = sorted(POPULATIONS.by_name)
CURRENTS = ("sodium", "potassium", "m_type", "calcium", "h", "after", "d_type")
SILENT = dict.fromkeys((*CURRENTS, "persistent", "inward"), 0.0)
COUNTS_PER_MV = 160.0


def median_neuron(dataset: str, label: str) -> dict[str, float]:
    mean = POPULATIONS.by_name[dataset, label].mean
    return dict(POPULATIONS.natural(mean[None])[0])


def response(membrane: Membrane, current_pa: float, *, onset_ms: float, end_ms: float) -> Floats:
    """Return the noiseless voltage of one step, 20 ms longer than the step, in mV."""
    begin, end, length = (
        round(each / membrane.step_ms) for each in (onset_ms, end_ms, end_ms + 20)
    )
    counts = np.empty((1, length), dtype=np.int16)
    integrate(
        membrane,
        np.array([[0.0, 0.0, 0.0, begin, end, current_pa, 0.0]]),
        np.zeros(1, dtype=np.uint64),
        0.0,
        0.0,
        COUNTS_PER_MV,
        counts,
    )
    return counts[0] / COUNTS_PER_MV


def spike_count(voltage_mv: Floats) -> int:
    return int(np.sum((voltage_mv[1:] > -10) & (voltage_mv[:-1] <= -10)))


def test_a_passive_cell_obeys_ohm_and_charges_with_its_time_constant() -> None:
    passive = median_neuron("PatchSeq", "Sst") | SILENT
    voltage_mv = response(membrane_of(passive), -50.0, onset_ms=10, end_ms=510)
    tau_ms = passive["leak_tau_ms"]
    resistance_gohm = tau_ms / passive["capacitance_pf"]
    deflection_mv = voltage_mv - passive["leak_mv"]
    end = round(510 / STEP_MS)
    # 0.02 mV: three counts of 0.00625 mV; tau is at most 30 ms, so 500 ms are its end.
    assert deflection_mv[end - 1] == pytest.approx(-50.0 * resistance_gohm, abs=0.02)
    charged = np.flatnonzero(deflection_mv <= (1 - np.exp(-1)) * deflection_mv[end - 1])[0]
    # 0.1 ms: the count of 0.00625 mV is passed within that time even late in the charging.
    assert charged * STEP_MS - 10 == pytest.approx(tau_ms, abs=0.1)


@pytest.mark.parametrize(("dataset", "label"), NAMES)
def test_a_typical_neuron_rests_where_its_currents_cancel(dataset: str, label: str) -> None:
    membrane = membrane_of(median_neuron(dataset, label))
    voltage_mv = response(membrane, 0.0, onset_ms=0, end_ms=500)
    # 0.1 mV: the table has a row every 0.05 mV.
    assert np.abs(voltage_mv - membrane.rest[0]).max() < 0.1


@pytest.mark.parametrize(("dataset", "label"), NAMES)
def test_half_the_integration_step_keeps_the_spike_count(dataset: str, label: str) -> None:
    parameters = median_neuron(dataset, label)
    counts = [
        spike_count(
            response(membrane_of(parameters, step_ms=step_ms), 300.0, onset_ms=50, end_ms=550)
        )
        for step_ms in (STEP_MS, STEP_MS / 2)
    ]
    assert counts[0] > 1
    # Spikes drift by less than their interval: one may pass the end of the step.
    assert abs(counts[0] - counts[1]) <= 1


def test_gates_stay_between_closed_and_open_and_take_their_time() -> None:
    voltage_mv = np.linspace(-150, 100, 2501)
    for dataset, label in NAMES:
        kinetics = gate_kinetics(median_neuron(dataset, label), voltage_mv)
        assert tuple(kinetics) == GATES
        for steady, tau_ms in kinetics.values():
            assert (steady >= 0).all()
            assert (steady <= 1).all()
            assert (tau_ms > 0).all()


def test_speeding_up_a_gate_changes_its_pace_and_not_its_end() -> None:
    slow = median_neuron("PatchClamp", "Pvalb")
    fast = slow | {"potassium_speed": 2 * slow["potassium_speed"]}
    voltage_mv = np.linspace(-100, 50, 301)
    steady, tau_ms = gate_kinetics(slow, voltage_mv)["n"]
    fast_steady, fast_tau_ms = gate_kinetics(fast, voltage_mv)["n"]
    np.testing.assert_array_equal(steady, fast_steady)
    # Relative rounding of a division.
    np.testing.assert_allclose(tau_ms, 2 * fast_tau_ms, rtol=1e-12)


def test_a_neuron_that_fires_by_itself_is_unfit() -> None:
    restless = median_neuron("PatchClamp", "Pvalb") | {"leak_mv": -40.0}
    neuron = make_neuron(restless, seed=(1,), bench=BENCHES["PatchClamp"])
    with pytest.raises(Unfit, match="fires"):
        record_long_squares(neuron)


def test_a_neuron_without_sodium_is_unfit() -> None:
    mute = median_neuron("PatchClamp", "Sst") | {"sodium": 0.0, "persistent": 0.0}
    neuron = make_neuron(mute, seed=(1,), bench=BENCHES["PatchClamp"])
    with pytest.raises(Unfit, match="silent at 800 pA"):
        record_long_squares(neuron)


def test_noise_is_normal_and_forgets_at_once() -> None:
    size = 20_000
    drawn = np.array([normal(np.uint64(12345), counter) for counter in range(size)])
    # Four standard errors of a mean, a deviation and a correlation.
    assert abs(drawn.mean()) < 4 / np.sqrt(size)
    assert abs(drawn.std() - 1) < 4 / np.sqrt(2 * size)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 4 / np.sqrt(size)
    # 95.3 % of a sum of four uniform numbers lie within two deviations; 4 standard errors.
    assert abs(np.mean(np.abs(drawn) < 2) - 0.953) < 4 * np.sqrt(0.045 / size)


def test_streams_of_two_keys_are_unrelated() -> None:
    size = 20_000
    streams = [[normal(np.uint64(key), counter) for counter in range(size)] for key in (1, 2)]
    # Four standard errors of a correlation.
    assert abs(np.corrcoef(streams)[0, 1]) < 4 / np.sqrt(size)
