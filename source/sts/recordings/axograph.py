"""AxoGraph files, by the description of their columns that the developer gave to the public.

The first column is the time. The other columns are the channels of the first sweep, then those of
the second, and so on; only the columns of the first sweep need a title with a unit.
"""

import math
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed
from sts.base.types import Floats, Ints
from sts.recordings.channels import (
    AXIS_SECONDS,
    BROKEN_FILE,
    Channel,
    check_interval_s,
    make_channel,
    read_channels,
)
from sts.recordings.gather import Unusable
from sts.recordings.recording import Recording, Wanted, identify_file, want_every_sweep

# The first bytes of AxoGraph 4 and of AxoGraph X.
AXOGRAPH_4_BEGINNING: Final = b"AxGr"
AXOGRAPH_X_BEGINNING: Final = b"axgx"
_GRAPH: Final = 1
_OLDER_VERSIONS: Final = (_GRAPH, 2)
_NEWER_VERSIONS: Final = (3, 4, 5, 6)
_OLD_TITLE_BYTES: Final = 80
_MAX_TITLE_BYTES: Final = 2**12
_SERIES: Final = 9
_SCALED: Final = 10
# Types of samples in AxoGraph X.
_TYPES: Final = {4: ">i2", 5: ">i4", 6: ">f4", 7: ">f8", _SCALED: ">i2"}
# Largest difference between a time axis in float32 and an even one, in steps.
_UNEVEN: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class AxographColumn:
    """Where the samples of a column are; a column without samples is an even axis."""

    title: str
    points: int
    place: int = 0
    kind: str = ""
    factor: float = 1.0
    """What a sample is multiplied by; the step of an even axis."""
    offset: float = 0.0

    @property
    def unit(self) -> str:
        """Return the unit, which stands in brackets at the end of the title."""
        found = re.search(r"\(([^()]*)\)\s*$", self.title)
        return found[1].strip() if found else ""


def read_axograph(path: Path, wanted: Wanted = want_every_sweep) -> Recording:
    """Return the current-clamp sweeps of an AxoGraph file; `CellFailed` says why there are none."""
    try:
        time, *columns = _list_columns(path)
        interval_s = _find_interval_s(path, time)
        groups = _split_sweeps(columns)
    except Unusable as reason:
        raise CellFailed(f"contains no usable current clamp sweep: {reason}") from reason
    except BROKEN_FILE as error:
        raise CellFailed(f"is truncated or damaged: {guard.describe_error(error)}") from error
    units = [column.unit for column in groups[0]]
    sweeps = {
        number: partial(_read_sweep, path, group, units, interval_s)
        for number, group in enumerate(groups)
    }
    return read_channels(sweeps, wanted=wanted, identity=identify_file(path, stated=""))


def _list_columns(path: Path) -> list[AxographColumn]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        beginning = file.read(4)
        is_new = beginning == AXOGRAPH_X_BEGINNING
        version, count = _unpack(file, ">ii" if is_new else ">hh")
        if version not in (_NEWER_VERSIONS if is_new else _OLDER_VERSIONS):
            raise CellFailed(f"is an AxoGraph file of version {version}, which is not known")
        # The shortest column has eight bytes.
        if not 2 <= count <= size // 8:
            raise CellFailed(f"is truncated or damaged: it has {count} columns")
        read = _read_new_column if is_new else partial(_read_old_column, version)
        columns = []
        for at in range(count):
            column = read(file, at)
            end = column.place + column.points * np.dtype(column.kind or "u1").itemsize
            if column.points < 1 or (column.kind and end > size):
                raise CellFailed(f"is truncated or damaged: column {at + 1} does not end in it")
            if column.kind:
                file.seek(end)
            columns.append(column)
    return columns


def _unpack(file: IO[bytes], form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _read_old_column(version: int, file: IO[bytes], at: int) -> AxographColumn:
    (points,) = _unpack(file, ">i")
    field = file.read(_OLD_TITLE_BYTES)
    title = field[1 : 1 + field[0]].decode("latin-1")
    if version == _GRAPH:
        return AxographColumn(title=title, points=points, place=file.tell(), kind=">f4")
    if at == 0:
        first, step = _unpack(file, ">ff")
        return AxographColumn(title=title, points=points, factor=step, offset=first)
    (factor,) = _unpack(file, ">f")
    return AxographColumn(title=title, points=points, place=file.tell(), kind=">i2", factor=factor)


def _read_new_column(file: IO[bytes], at: int) -> AxographColumn:
    points, kind, length = _unpack(file, ">iii")
    if not 0 <= length <= _MAX_TITLE_BYTES:
        raise CellFailed(f"is truncated or damaged: the title of column {at + 1} is too long")
    title = file.read(length).decode("utf-16-be", errors="replace")
    if kind == _SERIES:
        first, step = _unpack(file, ">dd")
        return AxographColumn(title=title, points=points, factor=step, offset=first)
    if kind not in _TYPES:
        raise CellFailed(f"is truncated or damaged: column {at + 1} is of type {kind}")
    factor, offset = _unpack(file, ">dd") if kind == _SCALED else (1.0, 0.0)
    return AxographColumn(
        title=title,
        points=points,
        place=file.tell(),
        kind=_TYPES[kind],
        factor=factor,
        offset=offset,
    )


def _find_interval_s(path: Path, time: AxographColumn) -> float:
    if time.unit.casefold() not in AXIS_SECONDS:
        raise Unusable(
            f"its first column, {time.title[:40]!r}, is no time in {', '.join(AXIS_SECONDS)}"
        )
    if not time.kind:
        return check_interval_s(time.factor, time.unit)
    axis = _read_samples(path, time) * time.factor
    step = float(axis[-1] - axis[0]) / max(len(axis) - 1, 1)
    seconds = check_interval_s(step, time.unit)
    even = axis[0] + step * np.arange(len(axis))
    if not np.abs(axis - even).max() <= _UNEVEN * step:
        raise Unusable("its samples are not evenly spaced in time")
    return seconds


def _read_samples(path: Path, column: AxographColumn) -> Floats | Ints:
    samples: Floats | Ints = np.fromfile(path, column.kind, column.points, offset=column.place)
    return samples.astype(np.float64)


def _split_sweeps(columns: Sequence[AxographColumn]) -> list[Sequence[AxographColumn]]:
    """Return the columns of every sweep; the columns of a sweep come in the order of the first."""
    count = next(_list_repeats(columns), len(columns))
    if len(columns) % count:
        raise Unusable(f"its {len(columns)} columns are not sweeps of {count} channels each")
    for at, column in enumerate(columns):
        if column.unit and column.unit != columns[at % count].unit:
            raise Unusable(
                f"its columns do not repeat: {column.title[:40]!r} is where "
                f"{columns[at % count].title[:40]!r} is wanted"
            )
    return [columns[at : at + count] for at in range(0, len(columns), count)]


def _list_repeats(columns: Sequence[AxographColumn]) -> Iterator[int]:
    """Yield where a sweep may begin: at the first title again, or at one without a unit."""
    for at, column in enumerate(columns[1:], start=1):
        if not column.unit or column.title == columns[0].title:
            yield at


def _read_sweep(
    path: Path, columns: Sequence[AxographColumn], units: Sequence[str], interval_s: float
) -> list[Channel]:
    if any(not column.kind or not math.isfinite(column.factor) for column in columns):
        raise Unusable("one of its columns has no samples")
    return [
        make_channel(
            _read_samples(path, column),
            unit,
            interval_s=interval_s,
            conversion=column.factor,
            offset=column.offset,
        )
        for column, unit in zip(columns, units, strict=True)
    ]
