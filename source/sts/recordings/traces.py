"""Stored numbers become traces in mV and pA; what was never recorded is cut away or refused."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from sts.base.types import Bools, Floats, Ints

# NWB fixes the units to volts and amperes; some laboratories name what they stored instead.
MILLIVOLTS: Final = {
    **dict.fromkeys(("", "v", "volt", "volts"), 1e3),
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1.0),
    # the micro sign and the Greek letter, as casefold leaves them, and what pyabf makes of them
    **dict.fromkeys(("uv", "μv", "microvolt", "microvolts"), 1e-3),
}
PICOAMPERES: Final = {
    **dict.fromkeys(("", "a", "amp", "amps", "ampere", "amperes"), 1e12),
    **dict.fromkeys(("na", "nanoamp", "nanoamps", "nanoampere", "nanoamperes"), 1e3),
    **dict.fromkeys(("pa", "picoamp", "picoamps", "picoampere", "picoamperes"), 1.0),
}
# No membrane has such a mean potential; volts taken for millivolts have, and a trace upside down.
POTENTIAL_MV: Final = (-200.0, 30.0)
# Below it the band of the scalograms, 20 to 200 Hz, would be badly sampled or not there.
MIN_RATE_HZ: Final = 1e3
# No converter of a patch-clamp rig is so fast.
MAX_RATE_HZ: Final = 1e7
# Acquisition and output of one card may end a few samples apart.
SPARE_SAMPLES: Final = 10
# A converter does not give exactly zero for this long; the unwritten end of a sweep does.
PADDING_S: Final = 0.01
# Less than any step of a protocol.
SAME_PA: Final = 5.0


class Unusable(Exception):  # noqa: N818 - a verdict on a sweep, not an error of a program
    """Say why a sweep is left out; the rest of the recording stays."""


def factor(unit: str, units: Mapping[str, float], *, what: str) -> float:
    """Return what a value in `unit` is multiplied by; no unit means the one NWB fixes."""
    if unit.casefold() not in units:
        known = ", ".join(name for name in units if name)
        raise Unusable(f"its {what} is in {unit!r}, wanted is one of {known}")
    return units[unit.casefold()]


def usable_rate_hz(rate_hz: float) -> float:
    """Return a sampling rate without the rounding of an interval, or say why it is none."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise Unusable(f"its sampling rate of {rate_hz:g} Hz is not usable: 1 kHz to 10 MHz are")
    # 50000.00000000001 Hz is what dividing by a sampling interval leaves behind, in float32 more.
    whole = float(round(rate_hz))
    return whole if math.isclose(rate_hz, whole, rel_tol=1e-6) else rate_hz


def scale(stored: Floats | Ints, *, per_unit: float, conversion: float, offset: float) -> Floats:
    """Return `(stored * conversion + offset) * per_unit` as float32."""
    if not (math.isfinite(conversion) and conversion and math.isfinite(offset)):
        raise Unusable(f"its conversion {conversion:g} and offset {offset:g} give no values")
    if stored.ndim != 1 or not stored.size:
        raise Unusable(f"its data have shape {stored.shape}, wanted is one trace")
    values = np.multiply(stored, conversion * per_unit, dtype=np.float64)
    values += offset * per_unit
    # What float32 cannot hold becomes infinite, and `recorded_part` speaks of it.
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def recorded_part(
    voltage_mv: Floats, current_pa: Floats, *, rate_hz: float
) -> tuple[Floats, Floats]:
    """Return both traces up to where the recording ended, all of it finite.

    MIES fills the end of a sweep that was broken off with NaN, older versions with zeros. Such a
    sweep is of use if its stimulus was over by then.
    """
    lengths = len(voltage_mv), len(current_pa)
    if abs(lengths[0] - lengths[1]) > SPARE_SAMPLES:
        raise Unusable(
            f"its response lasts {lengths[0] / rate_hz:g} s, "
            f"its stimulus {lengths[1] / rate_hz:g} s"
        )
    length = min(lengths)
    end = min(_end(voltage_mv[:length], rate_hz), last_good(np.isfinite(current_pa[:length])))
    if end == 0:
        raise Unusable("it was never recorded: nothing but NaN or zeros")
    for trace in (voltage_mv[:end], current_pa[:end]):
        if not (finite := np.isfinite(trace)).all():
            raise Unusable(f"NaN or Inf at {np.argmin(finite) / rate_hz:g} s")
    if end < length and not _is_over(current_pa[:length], end):
        raise Unusable(f"it was broken off at {end / rate_hz:g} s, before its stimulus was over")
    return voltage_mv[:end], current_pa[:end]


def _end(voltage_mv: Floats, rate_hz: float) -> int:
    """Return how many samples there are before the padding."""
    end = last_good(np.isfinite(voltage_mv))
    written = last_good(voltage_mv[:end] != 0)
    return written if end - written >= PADDING_S * rate_hz else end


def last_good(good: Bools) -> int:
    """Return the end of the last stretch that is good, 0 where there is none."""
    return len(good) - int(np.argmax(good[::-1])) if good.any() else 0


def _is_over(current_pa: Floats, end: int) -> bool:
    """Tell whether the current was back where it began at `end`, and stayed there."""
    rest = current_pa[end - 1 :]
    return bool(np.nanmax(np.abs(rest - current_pa[0])) <= SAME_PA)


def check_potential(voltage_mv: Floats) -> None:
    """Refuse a voltage whose mean no cell has."""
    mean_mv = float(voltage_mv.mean(dtype=np.float64))
    if not POTENTIAL_MV[0] < mean_mv < POTENTIAL_MV[1]:
        raise Unusable(
            f"its mean potential is {mean_mv:g} mV: its sign, unit or conversion is wrong"
        )
