from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.recordings.recording import Sweep
from sts.recordings.simulated.cells import (
    DATASETS,
    LEAST,
    PUBLISHED,
    SimulatedCell,
    roster,
    simulate_cell,
    simulate_cells,
)
from sts.recordings.simulated.neuron import BENCHES
from sts.recordings.simulated.populations import load_populations
from sts.signals.analysis import analyse
from sts.signals.features import measure_features
from sts.signals.select import select_pair
from sts.signals.steps import stimulus_of
from tests.signals.worlds import ramp, short_square


@pytest.fixture(scope="module")
def cells() -> list[SimulatedCell]:
    return list(simulate_cells(8, seed=5))


def assert_equal(one: SimulatedCell, other: SimulatedCell, *, sweeps: int | None = None) -> None:
    assert one.recording.specimen_id == other.recording.specimen_id
    pairs = list(zip(one.recording.sweeps, other.recording.sweeps, strict=sweeps is None))
    assert len(pairs) == (sweeps or len(one.recording.sweeps))
    for a, b in pairs:
        np.testing.assert_array_equal(a.voltage_mv, b.voltage_mv)
        np.testing.assert_array_equal(a.current_pa, b.current_pa)


def test_a_cell_is_the_same_in_any_order_and_company(cells: list[SimulatedCell]) -> None:
    for entry in reversed(roster(8, seed=5)[5:]):
        assert_equal(simulate_cell(entry, seed=5), cells[entry.index])


def test_another_seed_gives_other_cells(cells: list[SimulatedCell]) -> None:
    other = next(simulate_cells(1, seed=6))
    voltages = [cell.recording.sweeps[0].voltage_mv for cell in (cells[0], other)]
    assert not np.array_equal(*voltages)


def test_more_cells_leave_the_earlier_ones_as_they_are(cells: list[SimulatedCell]) -> None:
    assert_equal(next(simulate_cells(1, seed=5)), cells[0])


def test_long_squares_alone_are_those_of_the_whole_protocol(cells: list[SimulatedCell]) -> None:
    long = next(simulate_cells(1, seed=5, protocol="long"))
    assert_equal(long, cells[0], sweeps=len(long.recording.sweeps))
    assert len(cells[0].recording.sweeps) == len(long.recording.sweeps) + 4


def test_the_pair_of_sweeps_is_that_of_the_whole_protocol(cells: list[SimulatedCell]) -> None:
    for cell, pair in zip(cells, simulate_cells(8, seed=5, protocol="pair"), strict=True):
        both = select_pair(analyse(pair.recording))
        assert len(pair.recording.sweeps) < len(cell.recording.sweeps)
        whole = select_pair(analyse(cell.recording))
        for one, other in zip(both.sweeps, whole.sweeps, strict=True):
            np.testing.assert_array_equal(one.voltage_mv, other.voltage_mv)


def test_no_neuron_stays_depolarised() -> None:
    for cell in simulate_cells(40, seed=91, protocol="pair"):
        for sweep in cell.recording.sweeps:
            parts = sweep.voltage_mv[: len(sweep.voltage_mv) // 2500 * 2500].reshape(-1, 2500)
            assert np.median(parts, axis=1).max() < -30, (cell.label, sweep.name)


def test_no_two_sweeps_share_their_noise(cells: list[SimulatedCell]) -> None:
    quiet = np.array([sweep.voltage_mv[:4000] for sweep in cells[0].recording.sweeps])
    related = np.corrcoef(quiet - quiet.mean(axis=1, keepdims=True))
    # The drift of the membrane over 80 ms relates two sweeps by chance, never wholly.
    assert np.abs(related - np.eye(len(quiet))).max() < 0.9


def test_second_sweep_is_exactly_40_pa_above_rheobase(cells: list[SimulatedCell]) -> None:
    for cell in cells:
        pair = select_pair(analyse(cell.recording))
        rheobase_pa, second_pa = (step.amplitude_pa for step in pair.steps)
        # float32 rounding of a few hundred pA
        assert second_pa - rheobase_pa == pytest.approx(40, abs=1e-3)
        assert rheobase_pa / 10 == pytest.approx(round(rheobase_pa / 10), abs=1e-4)


def test_rheobase_is_the_lowest_step_that_fires(cells: list[SimulatedCell]) -> None:
    for cell in cells:
        rheobase_pa = select_pair(analyse(cell.recording)).steps[0].amplitude_pa
        for sweep in cell.recording.sweeps:
            step = stimulus_of(sweep).steps[-1]
            if step.duration_s == 1:
                fires = sweep.voltage_mv[step.onset : step.end].max() > -10
                # 1 pA: amplitudes are 10 pA apart
                assert fires == (step.amplitude_pa > rheobase_pa - 1)


def test_long_squares_step_from_110_pa_below_to_60_pa_above_rheobase(
    cells: list[SimulatedCell],
) -> None:
    for cell in cells:
        rheobase_pa = round(select_pair(analyse(cell.recording)).steps[0].amplitude_pa)
        amplitudes = [
            round(steps[-1].amplitude_pa)
            for sweep in cell.recording.sweeps
            if (steps := stimulus_of(sweep).steps)[-1].duration_s == 1
        ]
        assert amplitudes[:6] == [-110, -90, -70, -50, -30, -10]
        above = [rheobase_pa + extra for extra in (0, 20, 40, 60)]
        search = [rheobase_pa - 10] if rheobase_pa > 10 else []
        assert amplitudes[6:] == [*search, *above]


def test_stimuli_begin_where_the_data_set_has_them(cells: list[SimulatedCell]) -> None:
    assert {cell.dataset for cell in cells} == set(DATASETS)
    for cell in cells:
        for sweep in cell.recording.sweeps:
            pulse, *steps = stimulus_of(sweep).steps
            assert pulse.end_s < 0.4
            onset_s = steps[0].onset_s if steps else ramp_onset_s(sweep)
            # 2 ms: the onset of a ramp is where a fitted line begins.
            assert onset_s == pytest.approx(BENCHES[cell.dataset].onset_s, abs=2e-3)
            assert sweep.rate_hz == 50_000


def ramp_onset_s(sweep: Sweep) -> float:
    found = ramp(sweep)
    assert found is not None
    return found.onset / found.rate_hz


def test_a_cell_has_three_short_squares_that_fire_and_a_ramp_of_at_most_four_seconds(
    cells: list[SimulatedCell],
) -> None:
    for cell in cells:
        *_, one, two, three, rising = cell.recording.sweeps
        for sweep in (one, two, three):
            found = short_square(sweep)
            assert found is not None
            assert found.duration_s == pytest.approx(0.003)
        assert (one.name, rising.name) == ("X6SP_Rheo", "X7Ramp")
        found_ramp = ramp(rising)
        assert found_ramp is not None
        assert (found_ramp.end - found_ramp.onset) / found_ramp.rate_hz <= 4
        assert np.isfinite(
            measure_features(analyse(cell.recording)).values["threshold_v_short_square"]
        )


def test_amplitudes_read_like_those_of_the_archives() -> None:
    cell = simulate_cell(roster(1, seed=1)[0], seed=1, protocol="long")
    currents = {float(sweep.current_pa[-20_000]) for sweep in cell.recording.sweeps}
    odd = [each for each in currents if each != round(each)]
    assert odd
    # The last digit of float32 at a few hundred pA.
    assert all(abs(each - round(each)) < 1e-4 for each in currents)


def test_members_of_a_population_are_counted() -> None:
    counted = defaultdict(list)
    for entry in roster(200, seed=0):
        counted[entry.dataset, entry.label].append(entry.member)
    assert all(members == list(range(len(members))) for members in counted.values())


def test_a_longer_roster_begins_with_the_shorter_one() -> None:
    assert roster(100, seed=2)[:30] == roster(30, seed=2)


def test_classes_are_equal_and_data_sets_share_them_as_published() -> None:
    numbers = Counter((entry.dataset, entry.label) for entry in roster(400, seed=0))
    for label in CLASSES:
        clamp, seq = (numbers[dataset, label] for dataset in DATASETS)
        assert clamp + seq == 100
        share = PUBLISHED["PatchClamp", label]
        share /= share + PUBLISHED["PatchSeq", label]
        # One cell of a hundred: numbers of cells are whole.
        assert clamp / 100 == pytest.approx(share, abs=0.011)


def test_even_small_rosters_have_every_class_in_both_data_sets() -> None:
    numbers = Counter((entry.dataset, entry.label) for entry in roster(40, seed=0))
    assert min(numbers[name] for name in PUBLISHED) >= LEAST


def test_published_shares_follow_the_published_numbers() -> None:
    numbers = Counter(entry.label for entry in roster(1000, seed=0, shares="published"))
    total = sum(PUBLISHED.values())
    for label in CLASSES:
        published = sum(PUBLISHED[dataset, label] for dataset in DATASETS) / total
        # Numbers of cells are whole.
        assert numbers[label] / 1000 == pytest.approx(published, abs=0.002)


def test_a_few_cells_share_a_donor_of_one_data_set() -> None:
    donors = defaultdict(list)
    for entry in roster(120, seed=0):
        donors[entry.donor_id].append(entry.dataset)
    assert all(len(set(datasets)) == 1 for datasets in donors.values())
    assert {len(datasets) for datasets in donors.values()} <= {1, 2, 3}
    assert Counter(len(datasets) for datasets in donors.values()).most_common(1)[0][0] == 3


def test_specimens_are_named_once_and_by_their_seed() -> None:
    names = [entry.specimen_id for seed in (1, 11) for entry in roster(200, seed=seed)]
    assert len(set(names)) == len(names)


def test_the_table_holds_all_eight_populations_within_bounds() -> None:
    populations = load_populations()
    assert set(populations.by_name) == set(PUBLISHED)
    for population in populations.by_name.values():
        assert np.linalg.eigvalsh(population.covariance).min() > 0
        np.testing.assert_array_equal(populations.within(population.mean), population.mean)


def test_eight_members_hold_one_of_every_eighth_of_every_parameter() -> None:
    populations = load_populations()
    apart = replace(
        populations,
        by_name={
            name: replace(each, covariance=np.diag(np.diag(each.covariance)))
            for name, each in populations.by_name.items()
        },
    )
    population = apart.by_name["PatchSeq", "Sst"]
    drawn = [apart.draw("PatchSeq", "Sst", seed=4, member=member) for member in range(8, 16)]
    for place, parameter in enumerate(apart.parameters):
        values = np.array([each[parameter.name] for each in drawn])
        middle = population.mean[place]
        above = values > (np.exp(middle) if parameter.logarithmic else middle)
        assert above.sum() == 4


def test_a_member_drawn_again_is_another() -> None:
    populations = load_populations()
    drawn = [
        populations.draw("PatchSeq", "Sst", seed=4, member=0, redraw=redraw)["sodium"]
        for redraw in range(3)
    ]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"protocol": "lnog"}, "did you mean 'long'"),
        ({"shares": "eqaul"}, "did you mean 'equal'"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_impossible_arguments_are_refused_in_one_line(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(StsError, match=message):
        simulate_cells(1, **({"seed": 0} | wish))
