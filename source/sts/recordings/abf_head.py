"""The header of an ABF file, which is checked before anything else is read, and its protocol.

An ABF 2 file starts with a table of its sections; an ABF 1 file has everything at fixed positions.
The protocol is a table of epochs, steps and ramps, from which the injected current is rebuilt.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import CellFailed
from sts.base.guard import read_head
from sts.base.types import Floats
from sts.recordings.gather import MILLIVOLTS, PICOAMPERES, Unusable

ABF_BLOCK_BYTES: Final = 512
# Bytes in the header of ABF 1: short in old files, long since LONG_SINCE. Only a long header
# contains the protocol.
SHORT_HEAD: Final = 2048
LONG_HEAD: Final = 6144
# Version 1.6, rounded by float32.
LONG_SINCE: Final = 1.599
# Bytes of ABF 1 at which the holding levels, the levels of epochs and the user list start.
HOLDING_AT: Final = 1394
LEVELS_AT: Final = 2348
USER_LIST_AT: Final = 3360
# Largest number of samples in all channels: ten minutes of two channels at 50 kHz.
MAX_FILE_SAMPLES: Final = 2**26
MAX_CHANNELS: Final = 64
MAX_SWEEPS: Final = 10_000
# Section of ABF 2 -> position of its entry in the header (block, bytes per entry, entries); the
# smallest size of an entry; the largest number of entries in a real file.
SECTIONS: Final = {
    "protocol": (76, 208, 1),
    "input": (92, 82, MAX_CHANNELS),
    "output": (108, 132, MAX_CHANNELS),
    "epoch": (124, 4, 1000),
    "epochs of an output": (156, 30, 1000),
    "user list": (172, 10, MAX_CHANNELS),
    "text": (220, 1, 10_000),
    "sample": (236, 2, MAX_FILE_SAMPLES),
    "tag": (252, 64, 10_000),
    "sweep": (316, 8, 100_000),
}
NEEDED_SECTIONS: Final = ("protocol", "input", "output", "text", "sample")
TAG_BYTES: Final = 64
# Sources of an output: the table of epochs, or another file.
FROM_TABLE: Final = 1
FROM_FILE: Final = 2
# Epoch types that are rebuilt: steps and ramps. Nothing is measured on other types.
REBUILT: Final = (1, 2)
OTHER_EPOCHS: Final = {3: "pulse train", 4: "triangles", 5: "cosine", 7: "biphasic train"}


@dataclass(frozen=True, kw_only=True)
class Head:
    """The parts of the header that are read here and not by pyabf."""

    version: int
    is_long: bool = True
    """Whether it contains the protocol; if not, pyabf reads samples as the protocol."""
    holding: tuple[float, ...] = ()
    """ABF 1: the holding level of every output."""
    levels: tuple[float, ...] = ()
    """ABF 1: the first level of every epoch."""
    user_list: bool = False
    """ABF 1: whether a list of the user changes the protocol from sweep to sweep."""


def check_head(path: Path) -> Head:
    """Return the header of an ABF file, or raise an error if it does not fit the file."""
    head = read_head(path, LONG_HEAD)
    size = path.stat().st_size
    return _check_2(head, size) if head.startswith(b"ABF2") else _check_1(head, size)


def _check_2(head: bytes, size: int) -> Head:
    if len(head) < ABF_BLOCK_BYTES:
        raise CellFailed("is truncated or damaged: it ends within its head")
    for name, (place, least_bytes, most) in SECTIONS.items():
        block, entry_bytes, entries = struct.unpack_from("<IIq", head, place)
        if not 0 <= entries <= most:
            raise CellFailed(f"is not safe to read: it claims {entries} {name} entries")
        if not entries and name in NEEDED_SECTIONS:
            raise CellFailed(f"is truncated or damaged: it contains no {name} entry")
        if not entries:
            continue
        if entry_bytes < least_bytes or entry_bytes > size:
            raise CellFailed(f"is truncated or damaged: a {name} entry has {entry_bytes} bytes")
        _check_end(block * ABF_BLOCK_BYTES + entry_bytes * entries, size, name)
    _check_sweeps(_one("I", head, 12))
    return Head(version=2)


def _check_1(head: bytes, size: int) -> Head:
    if len(head) < SHORT_HEAD:
        raise CellFailed("is truncated or damaged: it ends within its head")
    version = _one("f", head, 4)
    samples, sweeps, data = _one("i", head, 10), _one("i", head, 16), _one("i", head, 40)
    tags_at, tags = _one("i", head, 44), _one("i", head, 48)
    channels = _one("h", head, 120)
    if not 1 <= version < 2 or data * ABF_BLOCK_BYTES < SHORT_HEAD:
        raise CellFailed(f"is truncated or damaged: version {version:g}, samples at block {data}")
    if not (0 < samples <= MAX_FILE_SAMPLES and 0 < channels <= 16 and 0 <= tags <= 10_000):
        raise CellFailed(
            f"is not safe to read: it claims {samples} samples, {channels} channels, {tags} tags"
        )
    _check_sweeps(sweeps)
    _check_end(data * ABF_BLOCK_BYTES + 2 * samples, size, "sample")
    _check_end(tags_at * ABF_BLOCK_BYTES + TAG_BYTES * tags if tags else 0, size, "tag")
    holding = struct.unpack_from("<4f", head, HOLDING_AT)
    if version < LONG_SINCE or data * ABF_BLOCK_BYTES < LONG_HEAD or len(head) < LONG_HEAD:
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


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output channel, which commands the amplifier."""

    index: int
    unit: str
    source: int
    """0 nothing, 1 the epoch table, 2 another file."""

    @property
    def is_current(self) -> bool:
        """Tell whether it commands a current."""
        return bool(self.unit) and self.unit.casefold() in PICOAMPERES

    @property
    def is_voltage(self) -> bool:
        """Tell whether it commands a voltage."""
        return bool(self.unit) and self.unit.casefold() in MILLIVOLTS


def read_outputs(abf: Any, head: Head) -> list[Output]:
    """Return the outputs of an open ABF file; none if its header is short."""
    if not head.is_long:
        return []
    if head.version == 1:
        own = abf._headerV1
        units = own.sDACChannelUnit
    else:
        own = abf._dacSection
        units = [abf._stringsSection._indexedStrings[place] for place in own.lDACChannelUnitsIndex]
    channels = zip(units, own.nWaveformEnable, own.nWaveformSource, strict=False)
    return [
        Output(index=index, unit=str(unit).strip(), source=int(source) if enabled else 0)
        for index, (unit, enabled, source) in enumerate(channels)
    ]


def find_command(outputs: list[Output], abf: Any, head: Head) -> Output:
    """Return the output that injected the stimulus, or raise if it cannot be rebuilt."""
    active = [output for output in outputs if output.source and output.is_current]
    if not active:
        why = "its protocol commands none" if head.is_long else "its old version kept no protocol"
        raise Unusable(f"no stimulus trace belongs to it, and {why}")
    if len(active) > 1:
        raise Unusable(f"{len(active)} outputs inject current at once")
    (output,) = active
    if output.source == FROM_FILE:
        # pyabf would open any path that the file names.
        raise Unusable(
            "its stimulus is in another file, which is not opened: record the current too"
        )
    if output.source != FROM_TABLE:
        raise Unusable(f"its stimulus has a source of unknown kind {output.source}")
    if head.version == 1:
        varies = head.user_list
    else:
        varies = any(abf._userListSection.nULEnable) or bool(
            abf._protocolSection.nAlternateDACOutputState
        )
    if varies:
        raise Unusable("its protocol varies by a list or alternates, which is not rebuilt")
    return output


def read_commands(abf: Any, output: Output, head: Head) -> list[Any]:
    """Return pyabf's waveform of every sweep, after a check of the epochs."""
    from pyabf.waveform import EpochTable

    if head.version == 1:
        # pyabf reads the levels of the first epochs as the holding levels, and small ones as 0.
        abf.holdingCommand = list(head.holding)
        abf._headerV1.fEpochInitLevel = list(head.levels)
    if not math.isfinite(abf.holdingCommand[output.index]):
        raise Unusable("its protocol has no finite holding current")
    table = EpochTable(abf, output.index)
    for epoch in table.epochs:
        _check_epoch(epoch, sweeps=abf.sweepCount, samples=abf.sweepPointCount)
    return list(table.epochWaveformsBySweep)


def _check_epoch(epoch: Any, *, sweeps: int, samples: int) -> None:
    if epoch.epochType not in REBUILT:
        kind = OTHER_EPOCHS.get(epoch.epochType, f"an epoch of type {epoch.epochType}")
        raise Unusable(f"its protocol has a {kind}: steps and ramps are rebuilt")
    last = epoch.duration + epoch.durationDelta * (sweeps - 1)
    longest, shortest = max(epoch.duration, last), min(epoch.duration, last)
    if shortest < 0 or longest > samples:
        raise Unusable(f"its protocol has an epoch of {longest} samples, its sweeps have {samples}")
    if not (math.isfinite(epoch.level) and math.isfinite(epoch.levelDelta)):
        raise Unusable("its protocol has an epoch without a finite level")


def rebuild_pa(waveform: Any, unit: str) -> Floats:
    """Return the current that a waveform commands."""
    bounds = [place for epoch in zip(waveform.p1s, waveform.p2s, strict=True) for place in epoch]
    if bounds != sorted(bounds):
        raise Unusable("its protocol lasts longer than its sweep")
    per_unit = np.float32(PICOAMPERES[unit.casefold()])
    return np.asarray(waveform.getWaveform(), dtype=np.float32) * per_unit


def stated_pa(current_pa: Floats) -> float | None:
    """Return the amplitude of a command with a single step, None for other commands."""
    edges = np.flatnonzero(np.diff(current_pa)) + 1
    if len(edges) != 2 or current_pa[edges[1]] != current_pa[0]:
        return None
    return float(current_pa[edges[0]] - current_pa[0])
