"""AxoGraph files: values as they were written, and the real files as another reading has them."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.base.errors import CellFailed
from sts.recordings.axograph import read_axograph
from sts.recordings.readers import read_recording
from tests.recordings.abf_files import RATE_HZ
from tests.recordings.rig_files import three_sweeps, write_axograph

SAMPLES = Path(__file__).parent / "samples"
DIGITIZED = SAMPLES / "axograph_digitized.axgd"


@pytest.mark.parametrize(
    ("version", "kind", "tolerance"),
    [(1, 0, 1e-5), (2, 0, 0.016), (3, 10, 0.016), (6, 6, 1e-5), (6, 7, 1e-5)],
)
@pytest.mark.parametrize("repeat", [False, True])
def test_values_and_rate_are_those_that_were_written(
    tmp_path: Path, version: int, kind: int, tolerance: float, repeat: bool
) -> None:
    sweeps = three_sweeps()
    path = write_axograph(tmp_path / "a", sweeps, version=version, kind=kind, repeat=repeat)
    recording = read_axograph(path)
    for sweep, written in zip(recording.sweeps, sweeps, strict=True):
        assert sweep.rate_hz == pytest.approx(RATE_HZ)
        np.testing.assert_allclose(sweep.voltage_mv, written["mV"], atol=tolerance)
        np.testing.assert_allclose(sweep.current_pa, written["pA"], atol=tolerance)


def read_by_hand(path: Path) -> Any:
    """Return (columns, samples) of a digitized file of AxoGraph 4, without the time."""
    content = path.read_bytes()
    _, columns, points = struct.unpack_from(">hhi", content, 4)
    # 8 bytes of header, and 92 of the time; each column has 88 bytes before its samples.
    found = []
    for at in range(columns - 1):
        begin = 100 + at * (88 + 2 * points)
        (factor,) = struct.unpack_from(">f", content, begin + 84)
        found.append(np.frombuffer(content, ">i2", points, begin + 88) * factor)
    return np.array(found)


def test_the_real_file_gives_what_a_reading_by_hand_gives() -> None:
    recording = read_recording(DIGITIZED)
    expected = read_by_hand(DIGITIZED)
    assert expected.shape == (28, 200)
    assert len(recording.sweeps) == 14
    for number, sweep in enumerate(recording.sweeps):
        assert sweep.rate_hz == RATE_OF_SAMPLE
        np.testing.assert_allclose(sweep.current_pa, 1e12 * expected[2 * number], rtol=1e-6)
        np.testing.assert_allclose(sweep.voltage_mv, 1e3 * expected[2 * number + 1], rtol=1e-6)
    # Steps of 0.5 nA, the voltage following.
    assert np.ptp(recording.sweeps[-1].current_pa) == pytest.approx(4485, abs=50)


RATE_OF_SAMPLE = 10_000.0


def test_the_real_file_gives_what_neo_gives() -> None:
    rawio = pytest.importorskip("neo.rawio", reason="the other reading is that of neo")
    other = rawio.AxographRawIO(str(DIGITIZED))
    other.parse_header()
    stored = other.get_analogsignal_chunk(0, 0, None, None, 0)
    scaled = other.rescale_signal_raw_to_float(stored, dtype="float64", stream_index=0)
    for number, sweep in enumerate(read_recording(DIGITIZED).sweeps):
        np.testing.assert_allclose(sweep.current_pa, 1e12 * scaled[:, 2 * number], rtol=1e-5)
        np.testing.assert_allclose(sweep.voltage_mv, 1e3 * scaled[:, 2 * number + 1], rtol=1e-5)


def test_a_real_file_without_a_voltage_is_refused_in_words() -> None:
    reason = r"0 of its channels are voltages and 1 are currents: one of each is wanted \(6 x\)"
    with pytest.raises(CellFailed, match=reason):
        read_recording(SAMPLES / "axograph_x.axgx")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time": "Frequency (Hz)"}, "its first column, 'Frequency .Hz.', is no time"),
        ({"titles": ("Current", "Voltage")}, "its values are in ''"),
        ({"titles": ("Current (A)", "Force (N)")}, "its values are in 'N'"),
        ({"titles": ("a (A)", "b (V)", "c (V)", "d (V)")}, "6 columns are not sweeps of 4"),
        ({"rate_hz": 10.0}, "its sampling rate of 10 Hz is not usable"),
        ({"version": 7}, "is an AxoGraph file of version 7"),
    ],
)
def test_a_wrong_file_is_refused_in_words(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = write_axograph(tmp_path / "a", three_sweeps(), **changes)
    with pytest.raises(CellFailed, match=reason):
        read_axograph(path)


def test_uneven_times_are_refused(tmp_path: Path) -> None:
    path = write_axograph(tmp_path / "a", three_sweeps(), version=1)
    content = bytearray(path.read_bytes())
    # the time of the eleventh sample
    struct.pack_into(">f", content, 8 + 84 + 4 * 10, 0.5)
    path.write_bytes(content)
    with pytest.raises(CellFailed, match="its samples are not evenly spaced in time"):
        read_axograph(path)


def test_columns_in_another_order_are_refused(tmp_path: Path) -> None:
    path = write_axograph(tmp_path / "a", three_sweeps(), version=2, repeat=True)
    content = path.read_bytes()
    second = content.index(b"Voltage (V)", content.index(b"Voltage (V)") + 1)
    path.write_bytes(content[:second] + b"Current (A)" + content[second + 11 :])
    with pytest.raises(CellFailed, match="its columns do not repeat"):
        read_axograph(path)
