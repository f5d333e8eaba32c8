"""What the head of an ABF file claims, held against the file before anything else is read.

An ABF 2 file begins with a table of its sections; an ABF 1 file has everything at fixed places.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sts.base.errors import CellFailed
from sts.base.guard import read_head

BLOCK: Final = 512
# ABF 1: the head of old files, and of those since, which alone holds what was commanded.
SHORT_HEAD: Final = 2048
LONG_HEAD: Final = 6144
# 1.6, as float32 has it
LONG_SINCE: Final = 1.599
HOLDING_AT: Final = 1394
LEVELS_AT: Final = 2348
USER_LIST_AT: Final = 3360
# All channels together: ten minutes of two at 50 kHz.
MAX_SAMPLES: Final = 2**26
MAX_CHANNELS: Final = 64
MAX_SWEEPS: Final = 10_000
# Where a section of ABF 2 is told of: block, bytes an entry, entries. With the least bytes that an
# entry has, and the most entries that a file of a laboratory could have.
SECTIONS: Final = {
    "protocol": (76, 208, 1),
    "input": (92, 82, MAX_CHANNELS),
    "output": (108, 132, MAX_CHANNELS),
    "epoch": (124, 4, 1000),
    "epochs of an output": (156, 30, 1000),
    "user list": (172, 10, MAX_CHANNELS),
    "text": (220, 1, 10_000),
    "sample": (236, 2, MAX_SAMPLES),
    "tag": (252, 64, 10_000),
    "sweep": (316, 8, 100_000),
}
NEEDED: Final = ("protocol", "input", "output", "text", "sample")
TAG_BYTES: Final = 64


@dataclass(frozen=True, kw_only=True)
class Head:
    """What is read here and not by pyabf."""

    version: int
    is_long: bool = True
    """Whether it holds what was commanded; pyabf takes samples for it where it is short."""
    holding: tuple[float, ...] = ()
    """ABF 1: the holding level of every output."""
    levels: tuple[float, ...] = ()
    """ABF 1: the first level of every epoch."""
    user_list: bool = False
    """ABF 1: whether a list of the user varied the protocol."""


def check_head(path: Path) -> Head:
    """Return what an ABF file claims, or say which claim the file cannot keep."""
    head = read_head(path, LONG_HEAD)
    size = path.stat().st_size
    return _check_2(head, size) if head.startswith(b"ABF2") else _check_1(head, size)


def _check_2(head: bytes, size: int) -> Head:
    if len(head) < BLOCK:
        raise CellFailed("is truncated or damaged: it ends within its head")
    for name, (place, least_bytes, most) in SECTIONS.items():
        block, entry_bytes, entries = struct.unpack_from("<IIq", head, place)
        if not 0 <= entries <= most:
            raise CellFailed(f"is not safe to read: it claims {entries} {name} entries")
        if not entries and name in NEEDED:
            raise CellFailed(f"is truncated or damaged: it holds no {name} entry")
        if not entries:
            continue
        if entry_bytes < least_bytes or entry_bytes > size:
            raise CellFailed(f"is truncated or damaged: a {name} entry has {entry_bytes} bytes")
        _check_end(block * BLOCK + entry_bytes * entries, size, name)
    _check_sweeps(_one("I", head, 12))
    return Head(version=2)


def _check_1(head: bytes, size: int) -> Head:
    if len(head) < SHORT_HEAD:
        raise CellFailed("is truncated or damaged: it ends within its head")
    version = _one("f", head, 4)
    samples, sweeps, data = _one("i", head, 10), _one("i", head, 16), _one("i", head, 40)
    tags_at, tags = _one("i", head, 44), _one("i", head, 48)
    channels = _one("h", head, 120)
    if not 1 <= version < 2 or data * BLOCK < SHORT_HEAD:
        raise CellFailed(f"is truncated or damaged: version {version:g}, samples at block {data}")
    if not (0 < samples <= MAX_SAMPLES and 0 < channels <= 16 and 0 <= tags <= 10_000):
        raise CellFailed(
            f"is not safe to read: it claims {samples} samples, {channels} channels, {tags} tags"
        )
    _check_sweeps(sweeps)
    _check_end(data * BLOCK + 2 * samples, size, "sample")
    _check_end(tags_at * BLOCK + TAG_BYTES * tags if tags else 0, size, "tag")
    holding = struct.unpack_from("<4f", head, HOLDING_AT)
    if version < LONG_SINCE or data * BLOCK < LONG_HEAD or len(head) < LONG_HEAD:
        return Head(version=1, is_long=False, holding=holding)
    return Head(
        version=1,
        holding=holding,
        levels=struct.unpack_from("<20f", head, LEVELS_AT),
        user_list=any(struct.unpack_from("<4h", head, USER_LIST_AT)),
    )


def _one(kind: str, head: bytes, place: int) -> Any:
    return struct.unpack_from(f"<{kind}", head, place)[0]


def _check_sweeps(sweeps: int) -> None:
    if not 0 <= sweeps <= MAX_SWEEPS:
        raise CellFailed(f"is not safe to read: it claims {sweeps} sweeps")


def _check_end(end: int, size: int, name: str) -> None:
    if end > size:
        raise CellFailed(
            f"is truncated or damaged: its {name} entries end at byte {end}, the file at {size}"
        )
