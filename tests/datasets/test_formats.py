"""Recordings of every format, simulated and real, become rows with a status and a reason."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.datasets.build import BuildJob, build
from sts.datasets.store import load_store
from sts.signals.select import SelectSettings
from tests.datasets.builds import BOTH, cell_rows, feature_rows, process_file
from tests.recordings.mutator import write_bases
from tests.studies.cells import RHEOBASE_PA, write_cell


def test_every_format_becomes_a_row(folder: Path, job: BuildJob) -> None:
    """One made-up cell; three of its files claim its id, and differ."""
    write_bases(folder)
    build(job)
    rows = cell_rows(job)
    assert {name: row.status for name, row in rows.items()} == {
        "abf1.abf": "ok",
        "abf2.abf": "ok",
        "axgd.axgd": "ok",
        "axgx.axgx": "ok",
        "nwb1.nwb": "ok",
        "nwb2.nwb": "ok",
        "packed_nwb2.nwb": "ok",
        "wcp.wcp": "ok",
    }
    assert [row.specimen_id for row in rows.values()] == [Path(file).stem for file in rows]
    assert len({rows[name].donor_id for name in rows if "nwb" in name}) == 1
    store = load_store(job.out / "sweeps.h5")
    # the coarsest converter has steps of 0.02 mV; filtered, two of them differ by less
    np.testing.assert_allclose(store.traces, store.traces[[0] * len(rows)], atol=0.05)


REAL = {
    "171116sh_0018.abf": "step lasts 0.5 s",
    "17o05028_ic_steps.abf": "step lasts 0.5 s",
    "osb_LantyerEtAl2018_180817_ME_9_CC.nwb": "step lasts 0.5 s",
    "osb_FergusonEtAl2015_PYR2.nwb": "no sweep at rheobase + 40 pA: amplitudes are ",
    "osb_LantyerEtAl2018_170315_AL_216_VC.nwb": "contains only voltage clamp sweeps",
}


PYR2_PA = (25.1, 49.2, 74.7, 99.6, 124.6, 150.0, 174.3, 199.0, 224.0, 248.9, 273.8, 298.5, 323.3)


@pytest.mark.data
def test_real_recordings_end_as_their_protocols_demand(data_dir: Path, job: BuildJob) -> None:
    real = replace(job, folder=data_dir / "recordings")
    with pytest.raises(StsError, match="none of 5 recordings can enter the store"):
        build(real)
    rows, measured = cell_rows(job), feature_rows(job)
    assert set(rows) == set(REAL)
    for file, reason in REAL.items():
        assert rows[file].reason.startswith(reason)
        is_voltage_clamp = "voltage clamp" in reason
        assert rows[file].status == ("failed" if is_voltage_clamp else "excluded")
        assert measured[file].status == ("failed" if is_voltage_clamp else "ok")
    said = rows["osb_FergusonEtAl2015_PYR2.nwb"].reason.partition("amplitudes are ")[2]
    amplitudes = [float(each) for each in said.partition(" pA")[0].split(", ")]
    # Rounded to the pA; where levels begin and end changes a mean by twice its error of 0.3 pA.
    assert amplitudes == pytest.approx(PYR2_PA, abs=0.5 + 0.6)
    assert not any("left out" in flag for row in rows.values() for flag in row.flags)
    assert {
        "10 kHz filter skipped: the rate is 10 kHz",
        "baseline of 81.5 ms instead of 100 ms",
    } <= {*measured["osb_FergusonEtAl2015_PYR2.nwb"].notes}
    # Counted in the traces: the first step that fires is that of 50 pA and of 10 pA.
    for file, rheobase_pa in (("171116sh_0018.abf", 50), ("17o05028_ic_steps.abf", 10)):
        assert measured[file].values["threshold_i_long_square"] == rheobase_pa
        # features from the first step: it begins at 0.147 s and lasts half a second
        assert 0 < measured[file].values["latency"] < 0.5


@pytest.mark.data
def test_pyr2_enters_with_a_wider_tolerance_and_its_flags(
    data_dir: Path, folder: Path, job: BuildJob
) -> None:
    folder.mkdir()
    name = "osb_FergusonEtAl2015_PYR2.nwb"
    (folder / name).write_bytes((data_dir / "recordings" / name).read_bytes())
    wide = replace(BOTH, select=replace(BOTH.select, step_tolerance_pa=16))
    build(replace(job, settings=wide))
    row = cell_rows(job)[name]
    assert row.status == "ok"
    assert "baseline of 81.5 ms continued to 100 ms" in row.flags
    assert row.onset_s == pytest.approx(0.0815, abs=5e-4)


@pytest.mark.parametrize("holding_pa", [-120.0, 35.0])
def test_amplitudes_of_steps_of_two_seconds_count_from_the_holding_current(
    tmp_path: Path, holding_pa: float
) -> None:
    settings = replace(BOTH, select=SelectSettings(max_step_s=2.0))
    plain, held = (
        process_file(
            write_cell(tmp_path / name, "501", step_s=2.0, holding_pa=current),
            file="501",
            settings=settings,
        )
        for name, current in (("plain", 0.0), ("held", holding_pa))
    )
    assert held.store is not None
    assert plain.store is not None
    assert (held.store.status, held.store.values["rheobase_pa"]) == (
        "ok",
        pytest.approx(RHEOBASE_PA, abs=0.05),
    )
    assert held.store.values == pytest.approx(plain.store.values, abs=0.05)
    assert held.features is not None
    assert plain.features is not None
    for name, value in plain.features.values.items():
        assert held.features.values[name] == pytest.approx(value, rel=1e-3, nan_ok=True), name
