"""Igor waves: their values, units and rates, and what is said of those that cannot be used."""

import importlib.util
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.files import sha256_of
from sts.base.sandbox import Limits
from sts.datasets.cell_results import process_in_sandbox
from sts.datasets.series_files import find_series
from sts.recordings.gather import Unusable
from sts.recordings.igor import check_igor, read_wave, read_waves
from sts.recordings.recording import FileIdentity, Recording, want_every_sweep
from tests.datasets.builds import BOTH
from tests.recordings.mutator import (
    ON_BYTES,
    RATE_HZ,
    TRUTH,
    current_pa,
    field_changed,
    voltage_mv,
)
from tests.recordings.wave_files import PATTERN, write_cell_of_waves, write_wave

pytest.importorskip("igor2", reason="Igor waves are read by igor2, which is an extra")

LIMITS = Limits(memory_mb=1024, processor_s=10, wall_s=30)
# Each of the nine ways three times.
MUTANTS = 27


def read(folder: Path, numbers: tuple[int, ...]) -> Recording:
    sweeps = {
        number: [folder / f"steps_ch{channel}_{number}.ibw" for channel in (0, 1)]
        for number in numbers
    }
    identity = FileIdentity(specimen_id="a")
    return read_waves(sweeps, want_every_sweep, name="steps", identity=identity)


@pytest.mark.parametrize(("version", "order"), [(2, ">"), (2, "<"), (5, ">"), (5, "<")])
def test_both_versions_and_byte_orders_give_the_values_that_were_written(
    tmp_path: Path, version: int, order: str
) -> None:
    write_cell_of_waves(tmp_path, version=version, order=order)
    recording = read(tmp_path, (7, 10))
    assert recording.recorded_at == "2006-01-09T14:06:10"
    first, second = recording.sweeps
    assert (first.number, second.number, second.rate_hz) == (7, 10, RATE_HZ)
    # float32 in volts and amperes
    np.testing.assert_allclose(second.voltage_mv, voltage_mv(70.0), rtol=1e-6)
    np.testing.assert_allclose(second.current_pa, current_pa(70.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "axis", "step", "expected"),
    [
        ("V", "s", 1e-4, (1000.0, True)),
        ("mV", "ms", 0.1, (1.0, True)),
        ("pA", "s", 1e-4, (1.0, False)),
        ("nA", "s", 1e-4, (1000.0, False)),
    ],
)
def test_units_of_values_and_axis_are_converted(
    tmp_path: Path, unit: str, axis: str, step: float, expected: tuple[float, bool]
) -> None:
    path = write_wave(tmp_path / "a.ibw", np.ones(9), unit=unit, axis=axis, step=step)
    wave = read_wave(path)
    assert (wave.values[0], wave.is_voltage, wave.rate_hz) == (*expected, RATE_HZ)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unit": ""}, "its values are in '': volts or amperes are wanted"),
        ({"unit": "N"}, "its values are in 'N'"),
        ({"unit": "V", "axis": "m"}, "its axis is in 'm': s, sec, seconds, ms are wanted"),
        ({"unit": "V", "step": 0.0}, "its sampling interval is 0 s"),
        ({"unit": "V", "step": np.nan}, "its sampling interval is nan s"),
        ({"unit": "V", "step": 1.0}, "its sampling rate of 1 Hz is not usable"),
        ({"unit": "V", "kind": 3}, "is no Igor wave, or damaged"),
    ],
)
def test_a_wave_that_is_no_channel_is_refused_with_its_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = write_wave(tmp_path / "a.ibw", np.ones(9), **changes)
    with pytest.raises(Unusable, match=reason):
        read_wave(path)


def test_a_claim_of_more_samples_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "a.ibw", np.ones(9), unit="V")
    content = bytearray(path.read_bytes())
    count = 2**28
    struct.pack_into(">i", content, 58, count)
    struct.pack_into(">i", content, 2, 126 + 4 * count)
    path.write_bytes(content)
    with pytest.raises(Unusable, match="is no Igor wave, or damaged"):
        read_wave(path)


def test_a_sweep_needs_one_voltage_and_one_current(tmp_path: Path) -> None:
    write_cell_of_waves(tmp_path)
    write_wave(tmp_path / "steps_ch0_8.ibw", voltage_mv(0.0) * 1e-3, unit="V")
    recording = read(tmp_path, (7, 8))
    assert [sweep.number for sweep in recording.sweeps] == [7]
    assert recording.skipped == (
        "sweep 8: 2 of its channels are voltages and 0 are currents: one of each is wanted",
    )


def test_where_the_library_is_missing_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StsError, match=r"igor2, which is not installed: pip install '.*\[igor\]'"):
        check_igor()


def test_a_cell_of_waves_gives_the_truth_and_no_damage_hurts_its_reader(tmp_path: Path) -> None:
    folder = write_cell_of_waves(tmp_path / "cell1")
    (cell,) = find_series(tmp_path, PATTERN).values()
    whole = process_in_sandbox(cell, BOTH, LIMITS)
    assert whole.store is not None
    for quantity, value in TRUTH.items():
        # the sum of two float32
        assert whole.store.values[quantity] == pytest.approx(value, abs=0.01)
    ways = ON_BYTES | {"a field changed": field_changed}
    statuses = Counter[str]()
    paths = sorted(folder.iterdir())
    for number in range(MUTANTS):
        rng = np.random.default_rng([11, number])
        path = paths[rng.integers(len(paths))]
        sound = path.read_bytes()
        way = sorted(ways)[number % len(ways)]
        path.write_bytes(ways[way](bytearray(sound), rng))
        result = process_in_sandbox(cell, BOTH, LIMITS)
        for each in result.results:
            statuses[each.status] += 1
            assert (each.status == "ok") == (not each.reason), way
            assert "\n" not in each.reason, way
            assert "unexpected" not in each.reason, f"{way}: {each.reason}"
        if result.store != whole.store or result.features != whole.features:
            assert path.read_bytes() != sound, way
        digests = {stamp.file: stamp.sha256 for stamp in result.files}
        assert digests[f"cell1/{path.name}"] == sha256_of(path), way
        path.write_bytes(sound)
    assert set(statuses) >= {"ok", "excluded"}, "some damage is harmless, some is not"


@pytest.mark.data
def test_real_igor_files_give_what_a_reading_by_hand_gives(data_dir: Path) -> None:
    """Against the head and the samples at their places in the technical note, by struct alone."""
    folder = data_dir / "rat" / "ibw" / "C060109A1-SR-C1"
    numbers = {int(path.stem.rpartition("_")[2]) for path in folder.glob("X_IDthresh_ch0_*.ibw")}
    sweeps = {
        number: [folder / f"X_IDthresh_ch{channel}_{number}.ibw" for channel in (0, 1)]
        for number in sorted(numbers)
    }
    identity = FileIdentity(specimen_id="a")
    recording = read_waves(sweeps, want_every_sweep, name="steps", identity=identity)
    assert len(recording.sweeps) == len(numbers)
    for sweep in recording.sweeps:
        assert sweep.rate_hz == 4000
        for path, values, factor in zip(
            sweeps[sweep.number], (sweep.current_pa, sweep.voltage_mv), (1e12, 1e3), strict=True
        ):
            content = path.read_bytes()
            (count,) = struct.unpack_from(">i", content, 58)
            stored = np.frombuffer(content, ">f4", count, 126)
            np.testing.assert_allclose(values, stored.astype(float) * factor, rtol=1e-6)


@pytest.mark.data
def test_real_igor_files_hold_the_sweeps_of_the_packed_set(data_dir: Path) -> None:
    packed = np.load(data_dir / "rat" / "sscx_rat_L5TTPC.npz")
    for name in ("C060109A1-SR-C1", "C060109A2-SR-C1"):
        found = find_series(data_dir / "rat" / "ibw" / name, "X_*_ch{0,1}_*.ibw")
        (cell,) = found.values()
        sweeps = {number: [cell.paths[file] for file in files] for number, files in cell.waves}
        identity = FileIdentity(specimen_id=name)
        recording = read_waves(sweeps, want_every_sweep, name="steps", identity=identity)
        at = packed["cell"].tolist().index(name)
        for voltage, current in zip(packed["v_mv"][at], packed["i_pa"][at], strict=True):
            # float32 of a product in another order
            assert any(
                np.allclose(sweep.voltage_mv, voltage, rtol=1e-5)
                and np.allclose(sweep.current_pa, current, rtol=1e-5, atol=1e-3)
                for sweep in recording.sweeps
            )
