"""Real recordings are read as their stimuli and published features say."""

import csv
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import CellExcluded
from sts.recordings.recording import Recording
from sts.signals.analysis import analyse
from sts.signals.feature_names import FEATURES
from sts.signals.features import measure_features
from sts.signals.resample import cut_pair
from sts.signals.select import SelectSettings, select_pair
from sts.signals.spikes import find_spikes
from tests.signals.test_spikes import assert_equal_to_loops
from tests.signals.worlds import (
    allen_sweeps,
    long_square,
    nwb_sweeps,
    ramp,
    recording_of,
    sweep_of,
)

pytestmark = pytest.mark.data

PYR2 = "recordings/osb_FergusonEtAl2015_PYR2.nwb"
ME_9 = "recordings/osb_LantyerEtAl2018_180817_ME_9_CC.nwb"


@pytest.fixture(scope="module")
def pyr2(data_dir: Path) -> Recording:
    return recording_of(nwb_sweeps(data_dir / PYR2))


@pytest.fixture(scope="module")
def me_9(data_dir: Path) -> Recording:
    return recording_of(nwb_sweeps(data_dir / ME_9))


def test_allen_steps_begin_at_205_ms_and_last_a_second(data_dir: Path) -> None:
    amplitudes_pa = {}
    for name, sweep in allen_sweeps(data_dir).items():
        step = long_square(sweep)
        assert step is not None
        assert (step.onset_s, step.end_s) == pytest.approx((0.205, 1.205))
        amplitudes_pa[name.split("_")[1]] = round(step.amplitude_pa)
    assert amplitudes_pa == {
        "509881736": 130,
        "526950199": 110,
        "532571720": 250,
        "555060623": 90,
        "567399060": 170,
    }


def test_allen_steps_are_read_as_slow_loops_read_them(data_dir: Path) -> None:
    for sweep in allen_sweeps(data_dir).values():
        step = long_square(sweep)
        assert step is not None
        found = assert_equal_to_loops(
            sweep.voltage_mv, sweep.rate_hz, start=step.onset, end=step.end
        )
        # Spikes of these cells, and nothing else, pass 0 mV.
        above = sweep.voltage_mv[step.onset : step.end] > 0
        assert found == np.sum(above[1:] & ~above[:-1])


def test_published_cells_fit_their_step(data_dir: Path) -> None:
    path = data_dir / "sts/data/Split/PatchClamp_EP_features.csv"
    with path.open(encoding="utf-8", newline="") as file:
        published = {row["specimen_id"]: row for row in csv.DictReader(file)}
    compared = 0
    for name, sweep in allen_sweeps(data_dir).items():
        row = published.get(name.split("_")[1])
        if row is None:
            continue
        compared += 1
        step = long_square(sweep)
        assert step is not None
        spikes = find_spikes(sweep.voltage_mv, sweep.rate_hz, start=step.onset, end=step.end)
        above_pa = step.amplitude_pa - float(row["threshold_i_long_square"])
        # The sweep lies 70 or 80 pA above rheobase, so the shape of its first spike is near, not
        # equal; a straight f-I curve is good to a few spikes.
        assert len(spikes) == pytest.approx(1 + float(row["f_i_curve_slope"]) * above_pa, abs=6)
        assert spikes.threshold_v[0] == pytest.approx(float(row["threshold_v_long_square"]), abs=4)
        assert spikes.peak_v[0] == pytest.approx(float(row["peak_v_long_square"]), abs=8)
        assert spikes.fast_trough_v[0] == pytest.approx(
            float(row["fast_trough_v_long_square"]), abs=4
        )
        assert spikes.upstroke_downstroke_ratio[0] == pytest.approx(
            float(row["upstroke_downstroke_ratio_long_square"]), rel=0.15
        )
        before = sweep.voltage_mv[step.onset - 5000 : step.onset].mean()
        assert before == pytest.approx(float(row["vrest"]), abs=1.5)
    assert compared == 2


@pytest.mark.parametrize("dataset", ["PatchClamp", "PatchSeq"])
def test_the_published_tables_have_our_features(data_dir: Path, dataset: str) -> None:
    path = data_dir / f"sts/data/Split/{dataset}_EP_features.csv"
    with path.open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    assert set(FEATURES) <= set(columns)
    if dataset == "PatchSeq":
        assert [name for name in columns if name in FEATURES] == list(FEATURES)


def test_a_noisy_measured_stimulus_gives_steps_of_one_second(pyr2: Recording) -> None:
    steps = [long_square(sweep) for sweep in pyr2.sweeps]
    amplitudes_pa = []
    for step in steps:
        assert step is not None
        # Noise of 9 pA blurs an edge of 25 pA and more by a few samples of 0.1 ms.
        assert step.onset_s == pytest.approx(0.0815, abs=5e-4)
        assert step.duration_s == pytest.approx(1, abs=5e-4)
        amplitudes_pa.append(step.amplitude_pa)
    # The amplifier was set to steps of 25 pA from a holding current of about -74 pA.
    np.testing.assert_allclose(amplitudes_pa, 25 * np.arange(1, 14), atol=3)
    assert all(ramp(sweep) is None for sweep in pyr2.sweeps)


def test_pyr2_is_measured_with_notes_on_its_peculiarities(pyr2: Recording) -> None:
    measured = measure_features(analyse(pyr2))
    assert "10 kHz filter skipped: the rate is 10 kHz" in measured.notes
    assert "baseline of 81.5 ms instead of 100 ms" in measured.notes
    assert measured.values["threshold_i_long_square"] == pytest.approx(75, abs=1)
    assert measured.values["vrest"] == pytest.approx(-60.7, abs=0.5)
    with pytest.raises(CellExcluded, match=r"amplitudes are 25, 50, 75, 100, .*, 323 pA; widen"):
        select_pair(analyse(pyr2))


def test_pyr2_enters_with_a_wider_tolerance(pyr2: Recording) -> None:
    pair = select_pair(analyse(pyr2), SelectSettings(step_tolerance_pa=16))
    windows, flags = cut_pair(pair)
    assert flags == ("baseline of 81.5 ms continued to 100 ms",)
    # Spikes survive: the voltage still rises above -10 mV at 4 kHz.
    assert (windows.max(axis=1) > -10).all()
    assert np.isfinite(windows).all()


def test_a_step_of_half_a_second_is_measured_but_not_stored(me_9: Recording) -> None:
    measured = measure_features(analyse(me_9))
    assert measured.notes[:2] == (
        "10 kHz filter skipped: the rate is 20 kHz",
        "long squares last 0.5 s",
    )
    assert measured.values["threshold_i_long_square"] == pytest.approx(161, abs=0.1)
    with pytest.raises(CellExcluded, match=r"step lasts 0\.5 s"):
        select_pair(analyse(me_9))


@pytest.mark.parametrize("name", [PYR2, ME_9])
def test_other_laboratories_spikes_are_read_as_slow_loops_read_them(
    data_dir: Path, name: str
) -> None:
    for sweep in nwb_sweeps(data_dir / name)[::3]:
        step = long_square(sweep)
        assert step is not None
        assert_equal_to_loops(sweep.voltage_mv, sweep.rate_hz, start=step.onset, end=step.end)


def test_every_step_of_the_rat_cells_is_found(data_dir: Path) -> None:
    with np.load(data_dir / "rat/sscx_rat_L5TTPC.npz") as arrays:
        rate_hz = float(arrays["rate_hz"])
        begin_s, end_s = float(arrays["step_on_s"]), float(arrays["step_off_s"])
        sweeps = [
            sweep_of(voltage_mv, current_pa, rate_hz)
            for voltage_mv, current_pa in zip(
                arrays["v_mv"].reshape(44, -1), arrays["i_pa"].reshape(44, -1), strict=True
            )
        ]
    for sweep in sweeps:
        step = long_square(sweep)
        assert step is not None
        # The amplifier needs two to four samples of 0.25 ms.
        assert (step.onset_s, step.end_s) == pytest.approx((begin_s, end_s), abs=1.1e-3)
        # The current alternates by 100 pA from sample to sample: its median is no measure of it.
        inside = sweep.current_pa[step.onset + 40 : step.end - 40].mean()
        amplitude_pa = inside - sweep.current_pa[: step.onset - 40].mean()
        # A hundred spikes leak a few pA each into so plain a mean.
        assert step.amplitude_pa == pytest.approx(amplitude_pa, rel=0.02)
