"""ABF 1 and 2 files, small, byte by byte from the published layout of their heads."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sts.base.types import Floats

BLOCK = 512
RATE_HZ = 10_000.0
SAMPLES = 6400
# pCLAMP holds for this long before the first epoch of a sweep.
HELD = SAMPLES // 64
# One bit of the converter in the units of each channel.
PER_BIT = 0.02


@dataclass(frozen=True)
class Epoch:
    """One epoch of a protocol: 1 a step, 2 a ramp."""

    level: float
    duration: int
    level_step: float = 0.0
    duration_step: int = 0
    kind: int = 1


STEP = (Epoch(0.0, 1000), Epoch(-20.0, 4000, level_step=20.0))


@dataclass(frozen=True)
class Abf:
    """What is to be written."""

    channels: dict[str, Floats] = field(default_factory=dict)
    """Unit: (sweeps, samples); a unit with a blank behind it is another channel of that unit."""
    epochs: Sequence[Epoch] = STEP
    output_unit: str = "pA"
    second_output: str = ""
    """Unit of a second output that commands the same, "" for none."""
    holding: float = 0.0
    source: int = 1
    mode: int = 5
    user_list: bool = False
    alternating: bool = False
    lengths: tuple[int, ...] = ()
    """Of sweeps, if they differ."""
    telegraph: int | None = None
    """What the amplifier says of its mode (0 voltage, 1 current clamp), None if it says nothing."""
    version: float = 1.83
    short_head: bool = False

    @property
    def sweeps(self) -> int:
        """Return how many there are."""
        return len(next(iter(self.channels.values())))

    def bits(self) -> bytes:
        """Return the samples, channel by channel in turn."""
        stacked = np.stack([np.concatenate(list(each)) for each in self.channels.values()], axis=1)
        return np.round(stacked / PER_BIT).astype("<i2").tobytes()


def response_mv(number: int) -> Floats:
    """Return a response like none of the other sweeps'."""
    time_s = np.arange(SAMPLES) / RATE_HZ
    return -65.0 + 5.0 * np.sin(2 * np.pi * (20.0 + number) * time_s)


def command_pa(number: int, *, holding: float = 0.0) -> Floats:
    """Return what the protocol STEP commands."""
    command = np.full(SAMPLES, holding)
    command[HELD : HELD + 1000] = 0.0
    command[HELD + 1000 : HELD + 5000] = -20.0 + 20.0 * number
    return command


def responses(sweeps: int = 3) -> Floats:
    """Return the responses of some sweeps."""
    return np.stack([response_mv(number) for number in range(sweeps)])


def padded(*parts: bytes) -> tuple[bytes, list[int]]:
    """Return parts that begin at whole blocks, and at which."""
    data, starts = b"", []
    for part in parts:
        starts.append(len(data) // BLOCK)
        data += part + bytes(-len(part) % BLOCK)
    return data, starts


def write_abf2(path: Path, abf: Abf) -> Path:
    """Write an ABF 2 file."""
    texts = ["Clampex", "C:\\steps.pro", "IN 0", "Cmd 0", abf.output_unit, abf.second_output or "-"]
    units = list(abf.channels)
    text = b"SSCH" + bytes(40) + b"\0\0" + b"".join(t.encode("latin1") + b"\0" for t in texts)
    text += b"".join(unit.encode("latin1") + b"\0" for unit in units)
    inputs = b"".join(_input(abf, len(texts) + 1 + place) for place in range(len(units)))
    outputs = _output(abf, 0, unit_at=5) + _output(abf, 1, unit_at=6)
    epochs = b"".join(
        struct.pack("<hhhffiiii", number, output, e.kind, e.level, e.level_step, e.duration,
                    e.duration_step, 0, 0).ljust(48, b"\0")
        for output in range(2 if abf.second_output else 1)
        for number, e in enumerate(abf.epochs)
    )  # fmt: skip
    digital = b"".join(struct.pack("<hh", n, 0).ljust(32, b"\0") for n in range(len(abf.epochs)))
    lists = struct.pack("<hhhhh", 0, 0, 1, 0, 0).ljust(64, b"\0") if abf.user_list else b""
    samples = abf.bits()
    lengths = abf.lengths or (len(samples) // 2 // abf.sweeps,) * abf.sweeps
    synch = b"".join(struct.pack("<ii", 0, length) for length in lengths)
    parts = (bytes(BLOCK), _protocol(abf), inputs, outputs, epochs, digital, lists, text, samples,
             synch)  # fmt: skip
    data, starts = padded(*parts)
    head = bytearray(data[:BLOCK])
    struct.pack_into("<4sBBBBII", head, 0, b"ABF2", 0, 0, 6, 2, BLOCK, abf.sweeps)
    struct.pack_into("<I", head, 16, 20200102)
    struct.pack_into("<III", head, 60, 1, 0, 0)
    struct.pack_into("<I", head, 72, 2)
    sizes = (512, 128, 256, 48, 32, 64, len(text), 2, 8)
    counts = (1, len(units), 2, len(epochs) // 48, len(abf.epochs), int(abf.user_list), 1,
              len(samples) // 2, abf.sweeps)  # fmt: skip
    places = (76, 92, 108, 156, 124, 172, 220, 236, 316)
    for place, start, size, count in zip(places, starts[1:], sizes, counts, strict=True):
        struct.pack_into("<IIq", head, place, start, size, count)
    path.write_bytes(bytes(head) + data[BLOCK:])
    return path


def _protocol(abf: Abf) -> bytes:
    data = bytearray(512)
    struct.pack_into("<hf", data, 0, abf.mode, 1e6 / RATE_HZ)
    struct.pack_into("<f", data, 110, 10.0)
    struct.pack_into("<i", data, 118, 32768)
    struct.pack_into("<h", data, 182, int(abf.alternating))
    return bytes(data)


def _input(abf: Abf, unit_at: int) -> bytes:
    data = bytearray(128)
    if abf.telegraph is not None:
        struct.pack_into("<hhf", data, 2, 1, 24, 1.0)
        struct.pack_into("<h", data, 18, abf.telegraph)
    # 10 V of range over 32768 bits, and the volts a unit for which a bit is PER_BIT units
    struct.pack_into("<f", data, 28, 1.0)
    struct.pack_into("<f", data, 40, 10.0 / 32768 / PER_BIT)
    struct.pack_into("<f", data, 48, 1.0)
    struct.pack_into("<ii", data, 74, 3, unit_at)
    return bytes(data)


def _output(abf: Abf, number: int, *, unit_at: int) -> bytes:
    data = bytearray(256)
    enabled = abf.source and (number == 0 or abf.second_output)
    struct.pack_into("<h", data, 0, number)
    struct.pack_into("<f", data, 12, abf.holding)
    struct.pack_into("<ii", data, 24, 4, unit_at)
    struct.pack_into("<hh", data, 40, int(bool(enabled)), abf.source)
    return bytes(data)


def write_abf1(path: Path, abf: Abf) -> Path:
    """Write an ABF 1 file; old ones have a short head without the protocol."""
    blocks = 4 if abf.short_head else 12
    units, samples = list(abf.channels), abf.bits()
    head = bytearray(blocks * BLOCK)
    struct.pack_into("<4sfhih", head, 0, b"ABF ", abf.version, abf.mode, len(samples) // 2, 0)
    struct.pack_into("<ii", head, 16, abf.sweeps, 20200102)
    struct.pack_into("<i", head, 40, blocks)
    struct.pack_into("<hf", head, 120, len(units), 1e6 / RATE_HZ / len(units))
    struct.pack_into("<f", head, 244, 10.0)
    struct.pack_into("<i", head, 252, 32768)
    for place, unit in enumerate(units):
        struct.pack_into("<h", head, 410 + 2 * place, place)
        struct.pack_into("<8s", head, 602 + 8 * place, unit.encode("latin1").ljust(8))
        for start, value in ((730, 1.0), (922, 10.0 / 32768 / PER_BIT), (1050, 1.0)):
            struct.pack_into("<f", head, start + 4 * place, value)
    struct.pack_into("<8s8s", head, 1346, abf.output_unit.encode().ljust(8), b"-".ljust(8))
    struct.pack_into("<f", head, 1394, abf.holding)
    if abf.telegraph is not None:
        for place in range(len(units)):
            struct.pack_into("<h", head, 4512 + 2 * place, 1)
            struct.pack_into("<f", head, 4576 + 4 * place, 1.0)
            struct.pack_into("<h", head, 4768 + 2 * place, abf.telegraph)
    if not abf.short_head:
        struct.pack_into("<hhhh", head, 2296, int(bool(abf.source)), 0, abf.source, 0)
        for place, epoch in enumerate(abf.epochs):
            struct.pack_into("<h", head, 2308 + 2 * place, epoch.kind)
            struct.pack_into("<f", head, 2348 + 4 * place, epoch.level)
            struct.pack_into("<f", head, 2428 + 4 * place, epoch.level_step)
            struct.pack_into("<i", head, 2508 + 4 * place, epoch.duration)
            struct.pack_into("<i", head, 2588 + 4 * place, epoch.duration_step)
        struct.pack_into("<h", head, 3360, int(abf.user_list))
    path.write_bytes(bytes(head) + samples)
    return path


WRITERS = {"ABF 1": write_abf1, "ABF 2": write_abf2}
