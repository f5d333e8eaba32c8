"""WinWCP files of John Dempster's electrophysiology software, by the description in its manual.

A header of text, then records of equal size: what was measured of the record, and its samples. The
range of the converter is read for every record, since a gain can change between records.
"""

import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed
from sts.base.types import Ints
from sts.recordings.channels import BROKEN_FILE, Channel, make_channel, read_channels
from sts.recordings.gather import Unusable
from sts.recordings.recording import Recording, Wanted, identify_file, want_every_sweep

WCP_BEGINNING: Final = b"VER="
# Bytes of a header for each eight channels; the same holds for the results of a record.
_HEADER_BYTES: Final = 1024
_SECTOR_BYTES: Final = 512
_MOST_CHANNELS: Final = 128
# Where the sampling interval and the ranges of the channels stand in a record, both float32.
_INTERVAL_AT: Final = 20
_RANGES_AT: Final = 24
_REJECTED: Final = b"REJECTED"


@dataclass(frozen=True, kw_only=True)
class WcpChannel:
    """What the header says of a channel."""

    unit: str
    volts_per_unit: float
    place: int
    """Of its samples among those of all channels."""


@dataclass(frozen=True, kw_only=True)
class WcpLayout:
    """Where the records of a file are."""

    path: Path
    channels: tuple[WcpChannel, ...]
    records: int
    begin: int
    results_bytes: int
    data_bytes: int
    largest: float
    """The largest sample, which stands for the range of the converter."""


def read_winwcp(path: Path, wanted: Wanted = want_every_sweep) -> Recording:
    """Return the current-clamp sweeps of a WinWCP file; `CellFailed` says why there are none."""
    fields, layout = _read_header(path)
    sweeps = {number: partial(_read_record, layout, number) for number in range(layout.records)}
    identity = identify_file(path, stated="", recorded_at=_read_time(fields))
    return read_channels(sweeps, wanted=wanted, identity=identity)


def read_records(path: Path) -> Iterator[list[Channel]]:
    """Yield the channels of every record, whatever the clamp."""
    _, layout = _read_header(path)
    for number in range(layout.records):
        yield _read_record(layout, number)


def _read_header(path: Path) -> tuple[dict[str, str], WcpLayout]:
    try:
        fields = _read_fields(path)
        return fields, _read_layout(path, fields)
    except BROKEN_FILE as error:
        raise CellFailed(f"is truncated or damaged: {guard.describe_error(error)}") from error


def _read_fields(path: Path) -> dict[str, str]:
    """Return the fields of the header by their names."""
    head = guard.read_head(path, _HEADER_BYTES * _MOST_CHANNELS // 8)
    # The first part has at least the number of channels, which says how long the header is.
    first = _split_fields(head[:_HEADER_BYTES])
    return _split_fields(head[: _round_to_eights(_whole(first, "NC", most=_MOST_CHANNELS))])


def _split_fields(head: bytes) -> dict[str, str]:
    lines = head.split(b"\0")[0].decode("latin-1").splitlines()
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): text.strip() for name, sign, text in pairs if sign}


def _round_to_eights(channels: int) -> int:
    return ((channels - 1) // 8 + 1) * _HEADER_BYTES


def _whole(fields: Mapping[str, str], name: str, *, most: int) -> int:
    value = _real(fields, name)
    if not (value == int(value) and 0 < value <= most):
        raise CellFailed(f"is truncated or damaged: {name} is {value:g}")
    return int(value)


def _real(fields: Mapping[str, str], name: str) -> float:
    # Some countries write a comma.
    value = float(fields.get(name, "nan").replace(",", "."))
    if not math.isfinite(value):
        raise CellFailed(f"is truncated or damaged: {name} is {fields.get(name, 'missing')[:20]!r}")
    return value


def _read_layout(path: Path, fields: Mapping[str, str]) -> WcpLayout:
    count = _whole(fields, "NC", most=_MOST_CHANNELS)
    size = path.stat().st_size
    channels = tuple(
        WcpChannel(
            unit=fields.get(f"YU{at}", ""),
            volts_per_unit=_real(fields, f"YG{at}"),
            place=int(_real(fields, f"YO{at}")),
        )
        for at in range(count)
    )
    if not all(channel.volts_per_unit for channel in channels):
        raise CellFailed("is truncated or damaged: the gain of a channel is 0")
    if sorted(channel.place for channel in channels) != list(range(count)):
        raise CellFailed("is truncated or damaged: two of its channels have the same place")
    layout = WcpLayout(
        path=path,
        channels=channels,
        records=_whole(fields, "NR", most=size),
        begin=_round_to_eights(count),
        results_bytes=_SECTOR_BYTES * _whole(fields, "NBA", most=size),
        data_bytes=_SECTOR_BYTES * _whole(fields, "NBD", most=size),
        largest=float(_whole(fields, "ADCMAX", most=2**31)),
    )
    if layout.begin + layout.records * (layout.results_bytes + layout.data_bytes) > size:
        raise CellFailed(
            f"is truncated or damaged: it ends before the last of its {layout.records} records"
        )
    return layout


def _read_record(layout: WcpLayout, number: int) -> list[Channel]:
    begin = layout.begin + number * (layout.results_bytes + layout.data_bytes)
    with layout.path.open("rb") as file:
        file.seek(begin)
        results = file.read(layout.results_bytes)
        data = file.read(layout.data_bytes)
    if results.startswith(_REJECTED):
        raise Unusable("it was rejected in WinWCP")
    count = len(layout.channels)
    (interval_s,) = np.frombuffer(results, "<f4", 1, _INTERVAL_AT).tolist()
    if not (math.isfinite(interval_s) and interval_s > 0):
        raise Unusable(f"its sampling interval is {interval_s:g} s")
    ranges = np.frombuffer(results, "<f4", count, _RANGES_AT).tolist()
    samples: Ints = np.frombuffer(data, "<i2")
    samples = samples[: len(samples) - len(samples) % count].reshape(-1, count)
    return [
        make_channel(
            samples[:, channel.place],
            channel.unit,
            interval_s=interval_s,
            conversion=volts / (layout.largest * channel.volts_per_unit),
        )
        for channel, volts in zip(layout.channels, ranges, strict=True)
    ]


def _read_time(fields: Mapping[str, str]) -> str:
    """Return when the recording began, "" if the file does not say it in numbers."""
    try:
        return datetime.datetime.strptime(fields.get("RTIME", ""), "%d/%m/%Y %H:%M:%S").isoformat()
    except ValueError:
        return ""
