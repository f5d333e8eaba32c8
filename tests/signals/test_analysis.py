"""All is found once; some sweeps only the others explain; some look like long squares only."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.base.errors import CellExcluded
from sts.datasets.cell_results import BuildSettings
from sts.recordings.recording import Recording, Sweep
from sts.recordings.simulated.cells import SimulatedCell, roster, simulate_cell
from sts.recordings.simulated.nwb import write_nwb
from sts.signals import analysis, steps
from sts.signals.analysis import analyse
from sts.signals.quality import keep_sound
from sts.signals.select import find_long_squares
from tests.datasets.builds import process_file
from tests.signals.worlds import charging, current_of, nwb_sweeps, recording_of, sweep_of

RATE_HZ = 20_000
SECOND = (1.3, 0.5, -50)


def two_steps(amplitude_pa: float, number: int, *, noise_pa: float = 0.0) -> Sweep:
    """Return a sweep of a protocol with a first step that varies and a second one that does not."""
    pulses = [(0.3, 0.5, amplitude_pa), SECOND]
    current_pa = current_of(pulses, rate_hz=RATE_HZ, duration_s=2.5, holding_pa=-20)
    voltage_mv = charging(current_pa, rate_hz=RATE_HZ, resistance_mohm=100, tau_ms=15)
    noise = np.random.default_rng(number).normal(0, noise_pa, len(current_pa))
    return sweep_of(voltage_mv, current_pa + noise, RATE_HZ, number=number)


@pytest.mark.parametrize("noise_pa", [0, 3])
def test_a_first_step_of_0_pa_is_known_by_the_other_sweeps(noise_pa: float) -> None:
    sweeps = [two_steps(20 * n - 40, n, noise_pa=noise_pa) for n in range(5)]
    squares = [each.stimulus.long_square for each in analyse(recording_of(sweeps)).sweeps]
    for number, square in enumerate(squares):
        assert square is not None
        # Noise of 3 pA on 20 pA moves an edge by a sample or two.
        assert (square.onset_s, square.end_s) == pytest.approx((0.3, 0.8), abs=2e-4)
        # A hundred times less in 10,000 samples, but for what the drift's fit costs.
        assert square.amplitude_pa == pytest.approx(20 * number - 40, abs=1e-3 + noise_pa / 10)
    zero = squares[2]
    assert zero is not None
    assert zero.amplitude_pa == 0


def test_a_first_step_of_0_pa_is_kept_where_the_file_states_the_second_one() -> None:
    sweeps = [replace(two_steps(20 * n - 40, n), stated_pa=20 * n - 40 or -50) for n in range(5)]
    kept = keep_sound(analyse(recording_of(sweeps)), BuildSettings().quality)
    assert [sweep.number for sweep in kept.recording.sweeps] == list(range(5))


def test_one_other_sweep_is_too_few_for_a_first_step_of_0_pa() -> None:
    sweeps = [two_steps(0, 0), two_steps(20, 1)]
    square = analyse(recording_of(sweeps)).sweeps[0].stimulus.long_square
    assert square is not None
    assert square.onset_s == pytest.approx(1.3)


def test_a_first_step_of_0_pa_is_removed_with_the_sweeps_that_show_it() -> None:
    sweeps = [two_steps(20 * n - 40, n) for n in range(5)]
    whole = analyse(recording_of(sweeps))
    left = whole.without([sweeps[0], sweeps[1], sweeps[3]])
    assert left.recording.sweeps == (sweeps[2], sweeps[4])
    added, alone = whole.sweeps[2].stimulus.long_square, left.sweeps[0].stimulus.long_square
    assert added is not None
    assert alone is not None
    assert (added.onset_s, alone.onset_s) == pytest.approx((0.3, 1.3))
    # What did not change is not found again.
    assert left.sweeps[1] is whole.sweeps[4]


def test_stimuli_and_spikes_of_a_cell_are_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()

    def counted(module: Any, name: str) -> Callable[..., Any]:
        find = getattr(module, name)

        def find_and_count(*args: Any, **more: Any) -> Any:
            counts[name] += 1
            return find(*args, **more)

        return find_and_count

    for module, name in ((steps, "find_levels"), (analysis, "find_spikes")):
        monkeypatch.setattr(module, name, counted(module, name))
    cell = simulate_cell(roster(1, seed=1)[0], seed=1, protocol="long")
    path = write_nwb(cell, tmp_path)
    outcome = process_file(path, file="x", settings=BuildSettings(features=True))
    assert outcome.store is not None
    assert outcome.features is not None
    assert (outcome.store.status, outcome.features.status) == ("ok", "ok")
    sweeps = len(cell.recording.sweeps)
    assert counts == {"find_levels": sweeps, "find_spikes": sweeps}


def crowded(number: int) -> Sweep:
    """Return a sweep whose second step begins 100 ms after the first."""
    current_pa = current_of([(0.3, 1.0, 50), (1.4, 0.3, 30)], rate_hz=RATE_HZ)
    voltage_mv = charging(current_pa, rate_hz=RATE_HZ, resistance_mohm=100, tau_ms=15)
    return sweep_of(voltage_mv, current_pa, RATE_HZ, number=number)


def test_sweeps_that_look_like_long_squares_are_counted_with_their_reason() -> None:
    words = "2 sweeps look like long squares, not used: another step within 200 ms (2 x)"
    recording = recording_of([two_steps(40, 0), crowded(1), crowded(2)])
    for settings in (None, BuildSettings().quality):
        assert words in keep_sound(analyse(recording), settings).flags
    with pytest.raises(CellExcluded, match=r"no long square: .*another step within 200 ms"):
        find_long_squares(analyse(recording_of([crowded(1), crowded(2)])))


def simulated_with_a_crowded_sweep() -> SimulatedCell:
    cell = simulate_cell(roster(1, seed=1)[0], seed=1)
    first, *others = cell.recording.sweeps
    current_pa = first.current_pa.copy()
    # 50 ms after the step, to the end but for 100 ms.
    end = int(np.flatnonzero(np.diff(current_pa))[-1]) + 1
    current_pa[end + 2500 : len(current_pa) - 5000] = 40
    spoilt = replace(first, current_pa=current_pa)
    recording: Recording = replace(cell.recording, sweeps=(spoilt, *others))
    return replace(cell, recording=recording)


def test_the_table_of_cells_counts_them_and_rounds_its_amplitudes(tmp_path: Path) -> None:
    path = write_nwb(simulated_with_a_crowded_sweep(), tmp_path)
    outcome = process_file(path, file="x", settings=BuildSettings(features=True))
    assert outcome.store is not None
    assert outcome.features is not None
    words = "1 sweeps look like long squares, not used: another step within 200 ms (1 x)"
    assert words in outcome.store.flags
    rheobase_pa = outcome.store.values["rheobase_pa"]
    # The file holds 79.99999 pA and the like.
    assert rheobase_pa == round(rheobase_pa)
    assert outcome.features.values["threshold_i_long_square"] == rheobase_pa


@pytest.mark.data
def test_every_sweep_of_a_real_protocol_of_two_steps_shows_its_first(data_dir: Path) -> None:
    from sts.recordings.readers import read_recording

    sweeps = read_recording(data_dir / "recordings/171116sh_0018.abf").sweeps
    squares = [each.stimulus.long_square for each in analyse(recording_of(sweeps)).sweeps]
    assert [square and round(square.amplitude_pa) for square in squares] == list(
        range(-100, 301, 25)
    )


@pytest.mark.data
def test_pyr2_keeps_all_its_sweeps(data_dir: Path) -> None:
    recording = recording_of(nwb_sweeps(data_dir / "recordings/osb_FergusonEtAl2015_PYR2.nwb"))
    assert len(find_long_squares(analyse(recording))) == len(recording.sweeps) == 13
