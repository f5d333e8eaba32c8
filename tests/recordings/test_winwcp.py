"""WinWCP files: values as they were written, and the real file as another reading has it."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.base.errors import CellFailed
from sts.recordings.readers import content_of, read_recording
from sts.recordings.winwcp import read_records, read_winwcp
from tests.recordings.abf_files import RATE_HZ
from tests.recordings.rig_files import three_sweeps, write_wcp

SAMPLE = Path(__file__).parent / "samples" / "winwcp.wcp"


def test_values_rate_and_time_are_those_that_were_written(tmp_path: Path) -> None:
    sweeps = three_sweeps()
    # The gain changes between records, and the channels stand in another order.
    path = write_wcp(tmp_path / "a", sweeps, ranges_v=(10.0, 5.0, 10.0), places=(1, 0))
    recording = read_winwcp(path)
    assert recording.recorded_at == "2014-11-21T14:18:28"
    assert [sweep.number for sweep in recording.sweeps] == [0, 1, 2]
    for sweep, written in zip(recording.sweeps, sweeps, strict=True):
        assert sweep.rate_hz == RATE_HZ
        size = len(written["mV"])
        # half a bit of the converter
        np.testing.assert_allclose(sweep.voltage_mv[:size], written["mV"], atol=0.0031)
        np.testing.assert_allclose(sweep.current_pa[:size], written["pA"], atol=0.016)


def read_by_hand(path: Path) -> Any:
    """Return (records, channels, samples) in the units of the header."""
    content = path.read_bytes()
    head = dict(line.split("=") for line in content[:1024].decode().split("\r\n") if "=" in line)
    results, data = 512 * int(head["NBA"]), 512 * int(head["NBD"])
    records = []
    for at in range(int(head["NR"])):
        begin = 1024 + at * (results + data)
        whole = np.frombuffer(content[begin + results : begin + results + data], "<i2")
        channels = []
        for channel in (0, 1):
            (range_v,) = struct.unpack_from("<f", content, begin + 24 + 4 * channel)
            bit = range_v / int(head["ADCMAX"]) / float(head[f"YG{channel}"])
            channels.append(whole[int(head[f"YO{channel}"]) :: 2] * bit)
        records.append(channels)
    return np.array(records)


def test_the_real_file_gives_what_a_reading_by_hand_gives() -> None:
    assert content_of(SAMPLE) == "WinWCP"
    found = read_records(SAMPLE)
    expected = read_by_hand(SAMPLE)
    assert expected.shape == (11, 2, 256)
    for channels, (current, voltage) in zip(found, expected, strict=True):
        assert [channel.is_voltage for channel in channels] == [False, True]
        assert {channel.rate_hz for channel in channels} == {1000.0}
        np.testing.assert_allclose(channels[0].values, current, rtol=1e-6)
        np.testing.assert_allclose(channels[1].values, voltage, rtol=1e-6)
    # A family of steps from -80 mV.
    assert expected[:, 1].min() == pytest.approx(-80, abs=0.5)


def test_the_real_file_gives_what_neo_gives() -> None:
    rawio = pytest.importorskip("neo.rawio", reason="the other reading is that of neo")
    other = rawio.WinWcpRawIO(str(SAMPLE))
    other.parse_header()
    for number, channels in enumerate(read_records(SAMPLE)):
        stored = other.get_analogsignal_chunk(0, number, None, None, 0)
        scaled = other.rescale_signal_raw_to_float(stored, dtype="float64", stream_index=0)
        for at, channel in enumerate(channels):
            np.testing.assert_allclose(channel.values, scaled[:, at], rtol=1e-6)


def test_voltage_clamp_is_refused() -> None:
    with pytest.raises(CellFailed, match=r"contains only voltage clamp sweeps.*\(11 sweeps\)"):
        read_recording(SAMPLE)


def test_a_rejected_record_is_left_out(tmp_path: Path) -> None:
    path = write_wcp(tmp_path / "a", three_sweeps(), status=("ACCEPTED", "REJECTED", "ACCEPTED"))
    recording = read_winwcp(path)
    assert [sweep.number for sweep in recording.sweeps] == [0, 2]
    assert recording.skipped == ("sweep 1: it was rejected in WinWCP",)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"NC": 0}, "NC is 0"),
        ({"NC": "two"}, "could not convert"),
        ({"NR": 10**9}, "is truncated or damaged: NR is 1e"),
        ({"NR": 4}, "ends before the last of its 4 records"),
        ({"NBD": -1}, "NBD is -1"),
        ({"ADCMAX": 0}, "ADCMAX is 0"),
        ({"YO1": 0}, "two of its channels have the same place"),
        ({"YG1": 0}, "the gain of a channel is 0"),
        ({"YG1": "nan"}, "YG1 is 'nan'"),
        ({"YU1": "mmHg"}, "its values are in 'mmHg': volts or amperes are wanted"),
        ({"YU1": "m" * 90}, f"its values are in '{'m' * 40}': volts"),
        ({"YU0": "mV"}, "2 of its channels are voltages and 0 are currents"),
    ],
)
def test_a_wrong_header_is_refused_in_words(
    tmp_path: Path, fields: dict[str, object], reason: str
) -> None:
    path = write_wcp(tmp_path / "a", three_sweeps(), fields=fields)
    with pytest.raises(CellFailed, match=reason):
        read_winwcp(path)


def test_a_comma_is_a_decimal_sign(tmp_path: Path) -> None:
    path = write_wcp(tmp_path / "a", three_sweeps(), fields={"YG0": "0,01", "RTIME": "yesterday"})
    recording = read_winwcp(path)
    assert recording.sweeps[0].current_pa.max() == pytest.approx(50, abs=0.02)
    assert recording.recorded_at == ""
