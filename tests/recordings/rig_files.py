"""Files of WinWCP and AxoGraph, written by the descriptions of their developers."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sts.base.types import Floats
from tests.recordings.abf_files import RATE_HZ, response_mv

# The range of the converter and what each channel has per unit, so that a bit is 0.0061 mV and
# 0.031 pA.
ADC_MAX = 32767
RANGE_V = 10.0
VOLTS_PER = {"mV": 0.05, "pA": 0.01}
Sweeps = Sequence[dict[str, Floats]]


def three_sweeps() -> Sweeps:
    """Return what the files of the other readers hold."""
    responses = [response_mv(number) for number in range(3)]
    step = np.zeros(len(responses[0]))
    step[len(step) // 4 : len(step) // 2] = 50.0
    return [{"pA": step, "mV": response} for response in responses]


def write_wcp(
    path: Path,
    sweeps: Sweeps,
    *,
    rate_hz: float = RATE_HZ,
    ranges_v: Sequence[float] = (),
    status: Sequence[str] = (),
    places: Sequence[int] = (0, 1),
    fields: dict[str, object] | None = None,
) -> Path:
    """Write a WinWCP file.

    Parameters
    ----------
    ranges_v, status
        The range of the converter and the status of each record.
    places
        Of the samples of each channel among those of all.
    fields
        Replace those of the header.
    """
    units = list(sweeps[0])
    # The samples of a record fill whole sectors.
    samples = len(next(iter(sweeps[0].values())))
    sectors = -(-samples * len(units) * 2 // 512)
    head: dict[str, object] = {
        "VER": 9, "RTIME": "21/11/2014 14:18:28", "NC": len(units), "NR": len(sweeps),
        "NBH": 1024, "NBA": 2, "NBD": sectors, "ADCMAX": ADC_MAX, "AD": RANGE_V, "DT": 1 / rate_hz,
    }  # fmt: skip
    for at, unit in enumerate(units):
        name = {"mV": "Vm", "pA": "Im"}.get(unit, "?")
        head |= {f"YO{at}": places[at], f"YU{at}": unit, f"YN{at}": name}
        head[f"YG{at}"] = VOLTS_PER.get(unit, 0.01)
    head |= fields or {}
    text = "".join(f"{name}={value}\r\n" for name, value in head.items()).encode("latin-1")
    content = text.ljust(1024, b"\0")
    for number, sweep in enumerate(sweeps):
        range_v = ranges_v[number] if ranges_v else RANGE_V
        label = (status[number] if status else "ACCEPTED").encode().ljust(8)
        times = struct.pack("<fff", 1.0, 1.5 * number, 1 / rate_hz)
        ranges = struct.pack("<2f", range_v, range_v)
        content += (label + b"TEST" + times + ranges).ljust(1024, b"\0")
        block = np.zeros((sectors * 256 // len(units), len(units)))
        for at, (unit, trace) in enumerate(sweep.items()):
            last = np.full(len(block) - samples, trace[-1])
            whole = np.concatenate([trace, last]) * VOLTS_PER.get(unit, 0.01)
            block[:, places[at]] = whole / range_v * ADC_MAX
        content += np.round(block).astype("<i2").tobytes().ljust(512 * sectors, b"\0")
    path.write_bytes(content)
    return path


def write_axograph(
    path: Path,
    sweeps: Sweeps,
    *,
    version: int = 6,
    rate_hz: float = RATE_HZ,
    titles: Sequence[str] = ("Current (A)", "Voltage (V)"),
    repeat: bool = False,
    kind: int = 10,
    time: str = "Time (s)",
) -> Path:
    """Write an AxoGraph file: version 1 and 2 are AxoGraph 4, 3 to 6 AxoGraph X.

    Parameters
    ----------
    titles
        Of the channels of the first sweep.
    repeat
        Whether the columns of later sweeps have the titles too.
    kind
        The type of the columns of AxoGraph X: 6, 7 or 10.
    time
        The title of the first column.
    """
    columns = [trace for sweep in sweeps for trace in sweep.values()]
    words = [
        titles[at % len(titles)] if repeat or at < len(titles) else "" for at in range(len(columns))
    ]
    bits = {"pA": 2**-5 * 1e-12, "mV": 2**-7 * 1e-3}
    units = [unit for sweep in sweeps for unit in sweep]
    points = len(columns[0])
    if version < 3:
        content = b"AxGr" + struct.pack(">hh", version, len(columns) + 1)
        content += struct.pack(">i", points) + _pascal(time)
        if version == 1:
            content += (np.arange(points) / rate_hz).astype(">f4").tobytes()
        else:
            content += struct.pack(">ff", 0.0, 1 / rate_hz)
        for word, unit, column in zip(words, units, columns, strict=True):
            si = column * {"pA": 1e-12, "mV": 1e-3}[unit]
            content += struct.pack(">i", points) + _pascal(word)
            if version == 1:
                content += si.astype(">f4").tobytes()
            else:
                content += struct.pack(">f", bits[unit])
                content += np.round(si / bits[unit]).astype(">i2").tobytes()
    else:
        content = b"axgx" + struct.pack(">ii", version, len(columns) + 1)
        content += struct.pack(">ii", points, 9) + _wide(time)
        content += struct.pack(">dd", 0.0, 1 / rate_hz)
        for word, unit, column in zip(words, units, columns, strict=True):
            si = column * {"pA": 1e-12, "mV": 1e-3}[unit]
            content += struct.pack(">ii", points, kind) + _wide(word)
            if kind == 10:
                # An offset other than zero, as AxoGraph uses it.
                middle = float(si.mean())
                content += struct.pack(">dd", bits[unit], middle)
                content += np.round((si - middle) / bits[unit]).astype(">i2").tobytes()
            else:
                content += si.astype({6: ">f4", 7: ">f8"}[kind]).tobytes()
    path.write_bytes(content)
    return path


def _pascal(text: str) -> bytes:
    return (bytes([len(text)]) + text.encode("latin-1")).ljust(80, b"\1")


def _wide(text: str) -> bytes:
    return struct.pack(">i", 2 * len(text)) + text.encode("utf-16-be")
