"""ABF files of both versions give the traces that were recorded and the current of the protocol."""

import re
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyabf.abfWriter
import pyabf.stimulus
import pytest

from sts.base.errors import CellFailed
from sts.base.types import Floats
from sts.recordings.abf import read_abf
from sts.recordings.readers import content_of, read_recording
from tests.recordings.abf_files import (
    HELD,
    PER_BIT,
    RATE_HZ,
    SAMPLES,
    STEP,
    WRITERS,
    Abf,
    Epoch,
    command_pa,
    response_mv,
    responses,
    write_abf1,
    write_abf2,
)
from tests.signals.worlds import long_square

ONE = Abf(channels={"mV": responses()})
# Half a bit of the converter, and some for float32.
TOLERANCE = 0.51 * PER_BIT


@pytest.fixture(params=list(WRITERS))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def written(folder: Path, version: str, abf: Abf) -> Path:
    return WRITERS[version](folder / "cell.abf", abf)


def refused(folder: Path, version: str, abf: Abf) -> str:
    with pytest.raises(CellFailed) as failed:
        read_abf(written(folder, version, abf))
    assert "\n" not in str(failed.value)
    return str(failed.value)


def test_voltage_and_commanded_current_arrive(tmp_path: Path, version: str) -> None:
    path = written(tmp_path, version, ONE)
    assert content_of(path) == version
    recording = read_recording(path)
    assert (recording.specimen_id, recording.skipped) == ("cell", ())
    assert [sweep.number for sweep in recording.sweeps] == [0, 1, 2]
    for sweep in recording.sweeps:
        np.testing.assert_allclose(sweep.voltage_mv, response_mv(sweep.number), atol=TOLERANCE)
        np.testing.assert_array_equal(sweep.current_pa, command_pa(sweep.number))
        assert sweep.rate_hz == RATE_HZ
        assert sweep.voltage_mv.dtype == sweep.current_pa.dtype == np.float32


def test_a_cell_is_held_before_and_after_the_epochs(tmp_path: Path, version: str) -> None:
    """The level of the first epoch is not the holding level: pyabf takes one for the other."""
    path = written(tmp_path, version, replace(ONE, holding=-35.0))
    for sweep in read_abf(path).sweeps:
        expected = command_pa(sweep.number, holding=-35.0)
        np.testing.assert_array_equal(sweep.current_pa, expected)
        assert (sweep.current_pa[:HELD] == -35.0).all()


@pytest.mark.parametrize(
    ("unit", "per_unit"), [("mV", 1.0), ("V", 1e3), ("uV", 1e-3), ("\xb5V", 1e-3)]
)
def test_the_unit_of_the_voltage_is_heeded(tmp_path: Path, unit: str, per_unit: float) -> None:
    channels = {unit: np.full((2, SAMPLES), -50.0 / per_unit if per_unit == 1.0 else -1.0)}
    path = write_abf2(tmp_path / "cell.abf", replace(ONE, channels=channels))
    expected_mv = -50.0 if per_unit == 1.0 else -per_unit
    if expected_mv == -1e3:
        with pytest.raises(CellFailed, match="mean potential is -1000 mV: its sign, unit"):
            read_abf(path)
        return
    sweep = read_abf(path).sweeps[0]
    np.testing.assert_allclose(sweep.voltage_mv, expected_mv, rtol=1e-5)


@pytest.mark.parametrize(("unit", "per_unit"), [("pA", 1.0), ("nA", 1e3), ("A", 1e12)])
def test_the_unit_of_the_command_is_heeded(
    tmp_path: Path, version: str, unit: str, per_unit: float
) -> None:
    epochs = [
        replace(e, level=e.level / per_unit, level_step=e.level_step / per_unit) for e in STEP
    ]
    path = written(tmp_path, version, replace(ONE, output_unit=unit, epochs=epochs))
    # float32 holds 1e-11 to a ten-millionth
    np.testing.assert_allclose(read_abf(path).sweeps[0].current_pa, command_pa(0), rtol=1e-6)


@pytest.mark.parametrize("order", [("mV", "pA"), ("mV", "nA")])
def test_a_recorded_current_counts_more_than_the_protocol(
    tmp_path: Path, version: str, order: tuple[str, str]
) -> None:
    recorded = np.stack([command_pa(number) + 3.0 for number in range(3)])
    channels = dict(zip(order, (responses(), recorded), strict=True))
    path = written(tmp_path, version, replace(ONE, channels=channels))
    per_unit = 1e3 if order[1] == "nA" else 1.0
    for sweep in read_abf(path).sweeps:
        expected = (command_pa(sweep.number) + 3.0) * per_unit
        np.testing.assert_allclose(sweep.current_pa, expected, atol=TOLERANCE * per_unit)
        np.testing.assert_allclose(sweep.voltage_mv, response_mv(sweep.number), atol=TOLERANCE)


def test_the_commanded_amplitude_stands_beside_the_recorded_current(
    tmp_path: Path, version: str
) -> None:
    recorded = np.stack([command_pa(number) * 0.5 for number in range(3)])
    channels = {"mV": responses(), "pA": recorded}
    sweeps = read_abf(written(tmp_path, version, replace(ONE, channels=channels))).sweeps
    assert [sweep.stated_pa for sweep in sweeps] == [-20.0, None, 20.0]


def test_the_current_may_be_the_first_channel_if_it_was_commanded(
    tmp_path: Path, version: str
) -> None:
    channels = {"pA": np.stack([command_pa(n) for n in range(3)]), "mV": responses()}
    sweep = read_abf(written(tmp_path, version, replace(ONE, channels=channels))).sweeps[2]
    np.testing.assert_allclose(sweep.voltage_mv, response_mv(2), atol=TOLERANCE)


def test_a_gap_free_recording_is_one_sweep(tmp_path: Path, version: str) -> None:
    channels = {"mV": responses(1), "pA": command_pa(2)[np.newaxis]}
    abf = replace(ONE, channels=channels, mode=3, source=0)
    (sweep,) = read_abf(written(tmp_path, version, abf)).sweeps
    np.testing.assert_allclose(sweep.current_pa, command_pa(2), atol=TOLERANCE)


def test_a_ramp_is_rebuilt(tmp_path: Path, version: str) -> None:
    ramp = (Epoch(0.0, 1000), Epoch(80.0, 4000, kind=2))
    sweep = read_abf(written(tmp_path, version, replace(ONE, epochs=ramp))).sweeps[0]
    inside = sweep.current_pa[HELD + 1000 : HELD + 5000]
    np.testing.assert_allclose(inside, np.linspace(0, 80, 4000), atol=0.03)


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "voltage clamp": (
        {"channels": {"pA": responses()}, "output_unit": "mV"},
        r"only voltage clamp sweeps: current clamp is needed \(3 sweeps\)",
    ),
    "voltage clamp with its command recorded": (
        {"channels": {"pA": responses(), "mV": responses()}, "output_unit": "mV"},
        "only voltage clamp",
    ),
    "a current first and nothing commanded": (
        {"channels": {"pA": responses(), "mV": responses()}, "source": 0},
        "only voltage clamp",
    ),
    "no voltage at all": ({"channels": {"C": responses()}}, "'C': one in mV is needed"),
    "two cells": (
        {"channels": {"mV": responses(), "mV ": responses()}},
        "more than one cell: 2 channels",
    ),
    "no protocol": ({"source": 0}, "no stimulus trace belongs to it, and its protocol commands"),
    "a stimulus file": ({"source": 2}, "its stimulus is in another file, which is not opened"),
    "an unknown source": ({"source": 9}, "a source of unknown kind 9"),
    "a user list": ({"user_list": True}, "its protocol varies by a list"),
    "a pulse train": ({"epochs": (Epoch(50.0, 1000, kind=3),)}, "has a pulse train"),
    "a type nobody knows": ({"epochs": (Epoch(50.0, 1000, kind=77),)}, "an epoch of type 77"),
    "an endless epoch": ({"epochs": (Epoch(50.0, 2**31 - 1),)}, "an epoch of 2147483647 samples"),
    "a negative epoch": ({"epochs": (Epoch(5.0, 100, duration_step=-99),)}, "an epoch of"),
    "epochs longer than the sweep": ({"epochs": (Epoch(5.0, 6000),) * 2}, "longer than its sweep"),
    "no finite level": ({"epochs": (Epoch(np.nan, 1000),)}, "without a finite level"),
    "no finite holding": ({"holding": np.inf}, "no finite holding current"),
    "sweeps of any length": ({"mode": 1}, "sweeps of different lengths"),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_read_is_refused_in_words(tmp_path: Path, version: str, why: str) -> None:
    changes, reason = REFUSED[why]
    words = refused(tmp_path, version, replace(ONE, **changes))  # type: ignore[arg-type]
    assert re.search(reason, words), words


def currents_pa(sweeps: int = 3, *, noise_pa: float = 0.0) -> Floats:
    rng = np.random.default_rng(0)
    clean = np.stack([command_pa(number) for number in range(sweeps)])
    return clean + rng.normal(0, noise_pa or 1e-9, clean.shape)


CONTRADICTIONS: dict[str, tuple[dict[str, object], str]] = {
    "a command in mV": ({"output_unit": "mV"}, "its input and its command are both voltages"),
    "an input in pA": ({"channels": {"pA": responses()}}, "its input and its command are both cur"),
    "both, of an amplifier in current clamp": (
        {"channels": {"pA": responses()}, "output_unit": "mV", "telegraph": 1},
        "its amplifier was in current clamp, its input is a current",
    ),
    "a command in mV beside a current without steps": (
        {"channels": {"mV": responses(), "pA": responses() + 65.0}, "output_unit": "mV"},
        "its command is a voltage",
    ),
}


@pytest.mark.parametrize("why", CONTRADICTIONS)
def test_units_that_contradict_each_other_are_the_reason(
    tmp_path: Path, version: str, why: str
) -> None:
    changes, reason = CONTRADICTIONS[why]
    words = refused(tmp_path, version, replace(ONE, **changes))  # type: ignore[arg-type]
    assert words.startswith(f"contradicting units: {reason}"), words
    assert "voltage clamp" not in words


@pytest.mark.parametrize("noise_pa", [0.0, 1.0])
def test_plain_steps_in_pa_are_read_whatever_the_command_is_called(
    tmp_path: Path, version: str, noise_pa: float
) -> None:
    recorded = currents_pa(noise_pa=noise_pa)
    abf = replace(ONE, channels={"mV": responses(), "pA": recorded}, output_unit="mV")
    for sweep in read_abf(written(tmp_path, version, abf)).sweeps:
        np.testing.assert_allclose(sweep.current_pa, recorded[sweep.number], atol=TOLERANCE)
        np.testing.assert_allclose(sweep.voltage_mv, response_mv(sweep.number), atol=TOLERANCE)
        assert sweep.stated_pa is None, "what was commanded is not known"


def test_voltage_clamp_whose_command_was_recorded_first_stays_voltage_clamp(
    tmp_path: Path, version: str
) -> None:
    """The command has plain steps; the current answers with transients and a slow decay."""
    steps_mv = currents_pa() - 60.0
    since = np.clip(np.arange(SAMPLES) - HELD - 1000, 0, 4000)
    answers_pa = (steps_mv + 60.0) * (5.0 * np.exp(-since / 20.0) + np.exp(-since / 2000.0))
    abf = replace(ONE, channels={"mV": steps_mv, "pA": answers_pa}, output_unit="mV")
    assert refused(tmp_path, version, abf).startswith("contains only voltage clamp sweeps")


def test_an_amplifier_that_reports_voltage_clamp_changes_nothing(
    tmp_path: Path, version: str
) -> None:
    abf = replace(ONE, channels={"pA": responses()}, output_unit="mV", telegraph=0)
    assert refused(tmp_path, version, abf).startswith("contains only voltage clamp sweeps")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alternating": True}, "varies by a list or alternates"),
        ({"second_output": "pA"}, "2 outputs inject current at once"),
        ({"lengths": (100, 200, 300)}, "sweeps of different lengths"),
    ],
)
def test_what_only_version_2_can_do_is_refused_too(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    assert reason in refused(tmp_path, "ABF 2", replace(ONE, **changes))  # type: ignore[arg-type]


def test_a_second_output_in_volts_is_no_stimulus(tmp_path: Path) -> None:
    path = write_abf2(tmp_path / "cell.abf", replace(ONE, second_output="mV"))
    np.testing.assert_array_equal(read_abf(path).sweeps[1].current_pa, command_pa(1))


def test_the_path_of_a_stimulus_file_is_never_followed(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(*_: object) -> None:
        raise AssertionError("was looked for")

    monkeypatch.setattr(pyabf.stimulus, "findStimulusWaveformFile", follow)
    monkeypatch.setattr(pyabf.stimulus, "stimulusWaveformFromFile", follow)
    refused(tmp_path, version, replace(ONE, source=2))


def test_an_old_head_needs_a_recorded_current(tmp_path: Path) -> None:
    """What pyabf would take for its protocol are samples."""
    old = replace(ONE, version=1.3, short_head=True)
    assert "its old version kept no protocol" in refused(tmp_path, "ABF 1", old)
    channels = {"mV": responses(), "pA": np.stack([command_pa(n) for n in range(3)])}
    path = write_abf1(tmp_path / "cell.abf", replace(old, channels=channels))
    for sweep in read_abf(path).sweeps:
        np.testing.assert_allclose(sweep.current_pa, command_pa(sweep.number), atol=TOLERANCE)
        np.testing.assert_allclose(sweep.voltage_mv, response_mv(sweep.number), atol=TOLERANCE)


def test_samples_are_not_taken_for_a_gain(tmp_path: Path) -> None:
    old = replace(ONE, version=1.3, short_head=True)
    path = write_abf1(tmp_path / "cell.abf", old)
    data = bytearray(path.read_bytes())
    struct.pack_into("<h", data, 4512, 1)
    path.write_bytes(bytes(data))
    with pytest.raises(CellFailed, match="a short header without the gain"):
        read_abf(path)


def test_what_pyabf_writes_is_read(tmp_path: Path) -> None:
    """The oracle writes one channel of version 1.3, which holds no current."""
    path = tmp_path / "theirs.abf"
    pyabf.abfWriter.writeABF1(responses(), str(path), RATE_HZ, units="mV")
    assert content_of(path) == "ABF 1"
    with pytest.raises(CellFailed, match="its old version kept no protocol"):
        read_abf(path)


def test_pyabf_puts_no_folder_before_all_others(tmp_path: Path) -> None:
    before = list(sys.path)
    for name in [name for name in sys.modules if name.split(".")[0] == "pyabf"]:
        sys.modules.pop(name)
    read_abf(write_abf2(tmp_path / "cell.abf", ONE))
    assert sys.path == before


@pytest.mark.parametrize(
    ("place", "kind", "value", "reason"),
    [
        (92 + 8, "q", 2**40, "it claims 1099511627776 input entries"),
        (92 + 8, "q", -1, "it claims -1 input entries"),
        (92, "I", 10**6, "is truncated or damaged: its input entries end at byte 512000"),
        (92 + 4, "I", 3, "a input entry has 3 bytes"),
        (236 + 8, "q", 10**7, "its sample entries end at byte"),
        (12, "I", 10**9, "it claims 1000000000 sweeps"),
        (156 + 8, "q", 0, "."),
        (220 + 8, "q", 0, "it contains no text entry"),
    ],
)
def test_a_claim_the_file_cannot_keep_is_refused_before_pyabf_sees_it(
    tmp_path: Path, place: int, kind: str, value: int, reason: str
) -> None:
    path = write_abf2(tmp_path / "cell.abf", ONE)
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{kind}", data, place, value)
    path.write_bytes(bytes(data))
    if reason == ".":
        assert read_abf(path).sweeps[0].current_pa.max() == 0.0, "no epochs: the cell is held"
        return
    with pytest.raises(CellFailed, match=reason):
        read_abf(path)


@pytest.mark.parametrize(
    ("place", "kind", "value", "reason"),
    [
        (10, "i", 2**30, "it claims 1073741824 samples"),
        (10, "i", 10**7, "its sample entries end at byte"),
        (120, "h", 99, "99 channels"),
        (48, "i", 10**9, "1000000000 tags"),
        (16, "i", -5, "it claims -5 sweeps"),
        (40, "i", 0, "samples at block 0"),
        (4, "f", np.nan, "version nan"),
        (122, "f", np.nan, "."),
    ],
)
def test_a_claim_of_version_1_is_refused_too(
    tmp_path: Path, place: int, kind: str, value: float, reason: str
) -> None:
    path = write_abf1(tmp_path / "cell.abf", ONE)
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{kind}", data, place, value)
    path.write_bytes(bytes(data))
    with pytest.raises(CellFailed, match=reason):
        read_abf(path)


@pytest.mark.parametrize("part", [0.0005, 0.05, 0.5, 0.98])
def test_a_truncated_file_says_so(tmp_path: Path, version: str, part: float) -> None:
    path = written(tmp_path, version, ONE)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * part)])
    with pytest.raises(CellFailed, match="is truncated or damaged"):
        read_abf(path)


def test_the_voltage_of_unwanted_sweeps_is_not_read(tmp_path: Path, version: str) -> None:
    path = written(tmp_path, version, ONE)
    recording = read_abf(path, lambda current, rate_hz: float(current.max()) > 10.0)
    assert ([sweep.number for sweep in recording.sweeps], recording.unread) == ([2], 2)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CellFailed, match="cannot be opened: no such file"):
        read_abf(tmp_path / "cell.abf")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sweeps", "lowest_pa", "step_pa"),
    [("171116sh_0018", 17, -100, 25), ("17o05028_ic_steps", 16, -50, 10)],
)
def test_real_protocols_are_rebuilt(
    data_dir: Path, name: str, sweeps: int, lowest_pa: float, step_pa: float
) -> None:
    """The names of the protocols in the files: steps dual -100 to 300 step 25, -50 to 150 by 10."""
    recording = read_recording(data_dir / "recordings" / f"{name}.abf")
    assert len(recording.sweeps) == sweeps
    for place, sweep in enumerate(recording.sweeps):
        step = long_square(sweep)
        assert step is not None
        assert step.duration_s == 0.5
        expected_pa = lowest_pa + place * step_pa
        if expected_pa:
            assert (round(step.onset_s, 5), step.amplitude_pa) == (0.14685, expected_pa)
        else:
            assert step.amplitude_pa == lowest_pa, "no first step: the second stands alone"
        assert sweep.rate_hz == 20_000


@pytest.mark.data
@pytest.mark.parametrize(
    ("places", "reason"),
    [
        ({"output": "mV"}, "contradicting units: its input and its command are both voltages"),
        ({"input": "pA"}, "contradicting units: its input and its command are both currents"),
        ({"input": "pA", "output": "mV"}, "contradicting units: its amplifier was in current"),
    ],
)
def test_a_real_file_whose_units_are_wrong_says_so(
    data_dir: Path, tmp_path: Path, places: dict[str, str], reason: str
) -> None:
    """The texts of this file: ... IN 0, mV, Cmd 0, pA, Cmd 1, mV."""
    data = (data_dir / "recordings" / "171116sh_0018.abf").read_bytes()
    old = {"input": b"IN 0\0mV\0", "output": b"Cmd 0\0pA\0"}
    for place, unit in places.items():
        start = old[place][: old[place].index(b"\0") + 1]
        assert data.count(old[place]) == 1
        data = data.replace(old[place], start + unit.encode() + b"\0")
    path = tmp_path / "cell.abf"
    path.write_bytes(data)
    with pytest.raises(CellFailed) as error:
        read_abf(path)
    assert str(error.value).startswith(reason)
