"""The two sweeps of a cell as text: int16 differences, deflated, in base64.

`unpack.mjs` reads them in the browser.
"""

import base64
import zlib
from typing import Final

import numpy as np

from sts.base.types import Floats, Ints

# Steps of 0.03 mV: no value moves by more than 0.015 mV, which is below the noise of recordings.
STEP_MV: Final = 0.03
# A sweep that spans more than this many steps gets larger steps: 0.96 V, which no cell reaches.
MOST_STEPS: Final = 32_000
# Raw deflate, without a header.
WINDOW_BITS: Final = -15

PackedPair = list[str | float]


def pack_pair(traces_mv: Floats) -> PackedPair:
    """Return the sweeps (2, samples) as [text, step, first, step, first]: numbers of each sweep.

    Differences are interleaved in sign (0, -1, 1, -2, ...), so that most high bytes are 0; all low
    bytes come before all high bytes.
    """
    differences, numbers = zip(*(_take_differences(trace) for trace in traces_mv), strict=True)
    codes = np.concatenate(differences)
    planes = np.concatenate([codes & 255, codes >> 8]).astype(np.uint8)
    packer = zlib.compressobj(9, zlib.DEFLATED, WINDOW_BITS)
    raw = packer.compress(planes.tobytes()) + packer.flush()
    return [base64.b64encode(raw).decode(), *(number for pair in numbers for number in pair)]


def pack_floats(values: Floats) -> str:
    """Return numbers as base64 of little-endian float32; NaN stays NaN."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _take_differences(trace_mv: Floats) -> tuple[Ints, tuple[float, float]]:
    """Return the coded differences of a sweep, and its step and first value in mV."""
    trace = np.asarray(trace_mv, dtype=np.float64)
    step_mv = max(STEP_MV, float(np.ptp(trace)) / MOST_STEPS)
    first_mv = round(float(trace[0]), 4)
    # Differences of rounded values, so that errors do not add up.
    places = np.rint((trace - first_mv) / step_mv)
    steps = np.asarray(np.diff(places, prepend=0.0)).astype(np.int64)
    return (steps << 1) ^ (steps >> 63), (step_mv, first_mv)
