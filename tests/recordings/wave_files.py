"""Igor binary waves, after technical note 3 of WaveMetrics: version 2 and version 5."""

import struct
from pathlib import Path

import numpy as np

from sts.base.types import Floats
from tests.recordings.mutator import AMPLITUDES_PA, RATE_HZ, current_pa, voltage_mv

FLOAT32 = 2
# Seconds since 1904 on 2006-01-09 at 14:06:10.
CREATED = 3_219_660_370
PATTERN = "cell*/steps_ch{0,1}_*.ibw"


def write_wave(
    path: Path,
    values: Floats,
    *,
    unit: str,
    axis: str = "s",
    step: float = 1 / RATE_HZ,
    version: int = 2,
    order: str = ">",
    kind: int = FLOAT32,
) -> Path:
    """Write one channel as float32."""
    data = np.asarray(values).astype(f"{order}f4").tobytes()
    # Of both versions: the size of the head, and the places and types of what is in it.
    size, fields = (126, _OLD) if version == 2 else (384, _NEW)
    wave_bytes = len(data) + (126 if version == 2 else 320)
    content = bytearray(size) + data + bytes(16 if version == 2 else 0)
    for place, form, value in zip(
        fields,
        ("h", "i", "h", "4s", "4s", "i", "d", "I"),
        (version, wave_bytes, kind, unit.encode(), axis.encode(), len(values), step, CREATED),
        strict=True,
    ):
        struct.pack_into(order + form, content, place, value)
    if version == 5:
        struct.pack_into(f"{order}i", content, 132, len(values))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# The places of: version, size of the wave, its type, units of data and axis, points, step, date.
_OLD = (0, 2, 16, 50, 54, 58, 64, 112)
_NEW = (0, 4, 80, 212, 216, 76, 148, 68)


def write_cell_of_waves(folder: Path, *, version: int = 2, order: str = ">") -> Path:
    """Write the cell of the mutants as Igor files: the current is channel 0, in amperes."""
    for number, amplitude in enumerate(AMPLITUDES_PA, start=7):
        for channel, values, unit in (
            (0, current_pa(amplitude) * 1e-12, "A"),
            (1, voltage_mv(amplitude) * 1e-3, "V"),
        ):
            path = folder / f"steps_ch{channel}_{number}.ibw"
            write_wave(path, values, unit=unit, version=version, order=order)
    return folder
