"""Which two sweeps are taken, and why a cell has none, in words."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sts.base.errors import CellExcluded, CellFailed, StsError
from sts.recordings.recording import Recording, Sweep
from sts.signals.analysis import analyse
from sts.signals.select import SelectSettings, SweepPair, select_pair
from tests.signals.worlds import long_square_sweep, recording_of, sweep_of

RATE_HZ = 20_000


def cell(*sweeps: tuple[float, Sequence[float]], length_s: float = 1.0) -> Recording:
    """Return a cell of (amplitude, spike times) in the order of its sweep numbers."""
    return recording_of(
        [
            long_square_sweep(
                amplitude_pa, spikes_s, number=number, rate_hz=RATE_HZ, length_s=length_s
            )
            for number, (amplitude_pa, spikes_s) in enumerate(sweeps)
        ]
    )


SILENT: tuple[float, ...] = ()
ONE, TWO = (0.3,), (0.2, 0.6)


def numbers(pair: SweepPair) -> tuple[int, int]:
    return pair.sweeps[0].number, pair.sweeps[1].number


def test_rheobase_is_the_lowest_amplitude_that_fires_and_the_second_lies_40_pa_above() -> None:
    pair = select_pair(analyse(cell((-50, SILENT), (70, TWO), (30, ONE), (10, SILENT), (110, TWO))))
    assert numbers(pair) == (2, 1)
    assert [step.amplitude_pa for step in pair.steps] == [30, 70]
    assert pair.flags == ()


def test_of_repeats_the_lowest_sweep_number_that_fires_is_taken() -> None:
    pair = select_pair(analyse(cell((30, SILENT), (30, ONE), (30, ONE), (70, TWO), (70, SILENT))))
    assert numbers(pair) == (1, 3)


def test_amplitudes_that_differ_by_a_rounding_are_repeats() -> None:
    # In float32 290.00003 and 289.99997 are neighbours.
    pair = select_pair(
        analyse(cell((250.00002, ONE), (249.99998, ONE), (289.9999, ONE), (290.00003, TWO)))
    )
    assert numbers(pair) == (0, 2)


@pytest.mark.parametrize("settings", [SelectSettings(), SelectSettings(hero=True)])
def test_a_cell_without_a_second_sweep_is_taken_where_one_is_enough(
    settings: SelectSettings,
) -> None:
    alone = analyse(cell((10, SILENT), (30, ONE)))
    with pytest.raises(CellExcluded, match=r"no sweep at rheobase|no hero sweep"):
        select_pair(alone, settings)
    pair = select_pair(alone, settings, one_sweep=True)
    assert numbers(pair) == (1, 1)
    assert len(pair.flags) == 1
    assert pair.flags[0].startswith("one sweep used: no ")
    # A second sweep that is there is taken, and rheobase is always needed.
    both = select_pair(analyse(cell((30, ONE), (70, TWO))), settings, one_sweep=True)
    assert (numbers(both), both.flags) == ((0, 1), ())
    with pytest.raises(CellExcluded, match="no spike"):
        select_pair(analyse(cell((30, SILENT))), settings, one_sweep=True)


def test_the_second_sweep_need_not_fire() -> None:
    assert numbers(select_pair(analyse(cell((30, ONE), (70, SILENT))))) == (0, 1)


def test_the_second_sweep_is_the_nearest_within_5_pa() -> None:
    assert numbers(select_pair(analyse(cell((30, ONE), (66, TWO), (72, TWO), (75, TWO))))) == (0, 2)
    # 5 pA away on either side: the first one
    assert numbers(select_pair(analyse(cell((30, ONE), (75, TWO), (65, TWO))))) == (0, 1)


@pytest.mark.parametrize("tolerance_pa", [9.9, 10, 20])
def test_a_wider_tolerance_takes_what_lies_further(tolerance_pa: float) -> None:
    recording = cell((30, ONE), (80, TWO))
    settings = SelectSettings(step_tolerance_pa=tolerance_pa)
    if tolerance_pa < 10:
        with pytest.raises(CellExcluded):
            select_pair(analyse(recording), settings)
    else:
        assert numbers(select_pair(analyse(recording), settings)) == (0, 1)


def test_however_wide_the_tolerance_the_second_sweep_is_a_stronger_one() -> None:
    wide = SelectSettings(step_tolerance_pa=100)
    assert numbers(select_pair(analyse(cell((10, SILENT), (30, ONE), (130, TWO))), wide)) == (1, 2)
    # No tolerance helps.
    with pytest.raises(CellExcluded, match=r"amplitudes are 10, 30 pA; none is above rheobase$"):
        select_pair(analyse(cell((-30, SILENT), (10, SILENT), (30, ONE))), wide)


def test_without_the_second_sweep_the_amplitudes_are_named() -> None:
    with pytest.raises(CellExcluded) as excluded:
        select_pair(analyse(cell((30, SILENT), (50, ONE), (110, TWO), (70, TWO))))
    assert str(excluded.value) == (
        "no sweep at rheobase + 40 pA: amplitudes are 30, 50, 70, 110 pA; "
        "widen with --step-tolerance"
    )


def test_a_spike_after_the_step_does_not_make_a_rheobase() -> None:
    # 5 ms after the end, as after a release from hyperpolarisation
    assert numbers(select_pair(analyse(cell((30, (1.005,)), (50, ONE), (90, TWO))))) == (1, 2)


def test_a_spike_still_rising_at_the_end_has_no_peak_inside() -> None:
    # The peak comes 0.4 ms after the threshold.
    assert numbers(select_pair(analyse(cell((30, (0.9998,)), (50, ONE), (90, TWO))))) == (1, 2)
    assert numbers(select_pair(analyse(cell((30, (0.9990,)), (50, ONE), (70, TWO))))) == (0, 2)


def test_a_hyperpolarising_step_is_no_rheobase() -> None:
    assert numbers(select_pair(analyse(cell((-50, ONE), (50, ONE), (90, TWO))))) == (1, 2)


def test_the_hero_sweep_fires_39_to_61_pa_above_or_closest_to_it() -> None:
    hero = SelectSettings(hero=True)
    spread = cell((30, ONE), (60, TWO), (70, SILENT), (80, TWO), (90, TWO))
    assert numbers(select_pair(analyse(spread), hero)) == (0, 3)
    # 39 and 61 pA themselves lie outside.
    assert numbers(select_pair(analyse(cell((30, ONE), (50, TWO), (91, TWO))), hero)) == (0, 1)
    assert numbers(select_pair(analyse(cell((30, ONE), (69, TWO), (80, TWO))), hero)) == (0, 2)
    assert numbers(select_pair(analyse(cell((30, ONE), (50, TWO), (90, TWO))), hero)) == (0, 2)
    with pytest.raises(CellExcluded, match=r"no hero sweep.*30, 70 pA"):
        select_pair(analyse(cell((30, ONE), (30, TWO), (70, SILENT))), hero)


@pytest.mark.parametrize(
    ("recording", "reason"),
    [
        (recording_of([]), "no current-clamp sweep: nothing to measure"),
        (
            recording_of([sweep_of(np.full(40_000, -70.0), np.zeros(40_000), RATE_HZ)]),
            "no long square: no sweep contains a single step of constant current of 0.4 to 2 s",
        ),
        (
            cell((-50, SILENT), (-30, SILENT)),
            "no spike: no long square depolarises, amplitudes are -50, -30 pA",
        ),
        (
            cell((-50, SILENT), (30, SILENT), (50, SILENT)),
            "no spike: no long square evokes one, amplitudes are 30, 50 pA",
        ),
        (
            cell((30, ONE), (70, TWO), length_s=0.5),
            "step lasts 0.5 s: wanted 0.9 to 1.1 s; open with --min-step",
        ),
        (
            cell((30, ONE), (70, TWO), length_s=1.4),
            "step lasts 1.4 s: wanted 0.9 to 1.1 s; open with --max-step",
        ),
    ],
    ids=["empty", "no step", "hyperpolarising", "silent", "short", "long"],
)
def test_every_exclusion_says_why(recording: Recording, reason: str) -> None:
    with pytest.raises(CellExcluded) as excluded:
        select_pair(analyse(recording))
    assert str(excluded.value) == reason


def test_short_steps_are_taken_on_demand_and_flagged() -> None:
    pair = select_pair(
        analyse(cell((30, ONE), (70, TWO), length_s=0.5)), SelectSettings(min_step_s=0.4)
    )
    assert numbers(pair) == (0, 1)
    assert pair.flags == ("step lasts 0.5 s",)


@pytest.mark.parametrize("length_s", [0.9, 1.0, 1.1])
def test_steps_of_about_a_second_are_usual(length_s: float) -> None:
    assert select_pair(analyse(cell((30, ONE), (70, TWO), length_s=length_s))).flags == ()


def in_other_units(recording: Recording, *, current: float = 1, voltage: float = 1) -> Recording:
    def scaled(sweep: Sweep) -> Sweep:
        return replace(
            sweep,
            current_pa=sweep.current_pa * np.float32(current),
            voltage_mv=sweep.voltage_mv * np.float32(voltage),
        )

    return replace(recording, sweeps=tuple(scaled(sweep) for sweep in recording.sweeps))


@pytest.mark.parametrize(
    ("factors", "reason"),
    [
        ({"current": 1e-12}, "their unit is wrong"),
        ({"current": 1e-3}, "their unit is wrong"),
        ({"current": 1e3}, "their unit is wrong"),
        ({"voltage": 1e3}, "outside -200 to 150 mV"),
        ({"voltage": 1e-3}, "stays within 1 mV of 0"),
    ],
    ids=["A as pA", "nA as pA", "fA as pA", "uV as mV", "V as mV"],
)
def test_a_wrong_unit_is_refused(factors: dict[str, float], reason: str) -> None:
    recording = cell((-50, SILENT), (30, ONE), (70, TWO))
    with pytest.raises(CellFailed, match=reason):
        select_pair(analyse(in_other_units(recording, **factors)))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(StsError, match="step tolerance -1 pA"):
        SelectSettings(step_tolerance_pa=-1)
    with pytest.raises(StsError, match=r"steps of 1\.2 to 1\.1 s"):
        SelectSettings(min_step_s=1.2)
