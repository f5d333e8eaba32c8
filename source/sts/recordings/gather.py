"""Stored numbers become sweeps in mV and pA, and sweeps a recording; what is unusable is left out.

Values are converted by their unit. The end of a sweep that was never recorded is cut off. A sweep
that cannot be used raises `Unusable` with the reason in words, and the others stay.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed
from sts.base.types import Bools, Floats, Ints
from sts.recordings.recording import FileIdentity, Recording, Sweep, Wanted

# What a value in each unit is multiplied by. NWB fixes the units to volts and amperes, which an
# empty unit means; some laboratories name another unit, the one of the stored values.
MILLIVOLTS: Final = {
    **dict.fromkeys(("", "v", "volt", "volts"), 1e3),
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1.0),
    # the micro sign and the Greek letter, both as casefold returns them, and the u of pyabf
    **dict.fromkeys(("uv", "μv", "microvolt", "microvolts"), 1e-3),
}
PICOAMPERES: Final = {
    **dict.fromkeys(("", "a", "amp", "amps", "ampere", "amperes"), 1e12),
    **dict.fromkeys(("na", "nanoamp", "nanoamps", "nanoampere", "nanoamperes"), 1e3),
    **dict.fromkeys(("pa", "picoamp", "picoamps", "picoampere", "picoamperes"), 1.0),
}
# Bounds of a mean potential. Volts read as millivolts lie outside, and so does an inverted trace.
POTENTIAL_MV: Final = (-200.0, 30.0)
# Lowest sampling rate: below it the band of the scalograms, 20 to 200 Hz, is badly sampled.
MIN_RATE_HZ: Final = 1e3
# Highest sampling rate: converters of patch-clamp rigs are slower.
MAX_RATE_HZ: Final = 1e7
# Largest difference in length between response and stimulus: one card may end them apart.
SPARE_SAMPLES: Final = 10
# A sweep whose last values are exactly zero for this long was not recorded to its end.
PADDING_S: Final = 0.01
# Currents that differ by at most this are the same: steps of protocols are higher.
SAME_PA: Final = 5.0
# Most samples of all sweeps of a cell together: an hour at 50 kHz is 2**27.4. As float32, both
# traces of them are 1 GB.
MAX_SAMPLES: Final = 2**27
# How many of the reasons for which sweeps are left out are listed.
MOST_REASONS: Final = 3


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
    # What float32 cannot hold becomes infinite, and `_recorded_part` refuses that.
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _recorded_part(
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
    end = min(_end(voltage_mv[:length], rate_hz), _last_good(np.isfinite(current_pa[:length])))
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
    end = _last_good(np.isfinite(voltage_mv))
    written = _last_good(voltage_mv[:end] != 0)
    return written if end - written >= PADDING_S * rate_hz else end


def _last_good(good: Bools) -> int:
    """Return the end of the last stretch that is good, 0 where there is none."""
    return len(good) - int(np.argmax(good[::-1])) if good.any() else 0


def _is_over(current_pa: Floats, end: int) -> bool:
    """Tell whether the current was back at its first value at `end`, and stayed there."""
    rest = current_pa[end - 1 :]
    return bool(np.nanmax(np.abs(rest - current_pa[0])) <= SAME_PA)


def _check_potential(voltage_mv: Floats) -> None:
    """Refuse a voltage whose mean no cell has."""
    mean_mv = float(voltage_mv.mean(dtype=np.float64))
    if not POTENTIAL_MV[0] < mean_mv < POTENTIAL_MV[1]:
        raise Unusable(
            f"its mean potential is {mean_mv:g} mV: its sign, unit or conversion is wrong"
        )


def gather(
    sources: Iterable[tuple[str, Callable[[], Sweep | None]]],
    *,
    identity: FileIdentity,
    skipped: Iterable[str] = (),
) -> Recording:
    """Read every sweep; an unusable one is left out, a file without a usable one fails.

    Parameters
    ----------
    sources
        Name of every sweep and the function that reads it. The function returns None where the
        sweep is not wanted, and may raise `Unusable`.
    identity
        The cell and the donor.
    skipped
        Words for sweeps that are left out without being read.
    """
    sweeps: list[Sweep] = []
    reasons: dict[str, str] = {}
    unread = samples = 0
    for name, read in sources:
        try:
            sweep = read()
        except Unusable as reason:
            reasons[name] = str(reason)
        except guard.BROKEN as error:
            reasons[name] = f"cannot be read: {guard.describe_error(error)}"
        else:
            if sweep is None:
                unread += 1
                continue
            sweeps.append(sweep)
            samples += len(sweep.voltage_mv)
            check_size(samples)
    if not sweeps and not unread:
        raise CellFailed(f"holds no usable current clamp sweep: {count_reasons(reasons.values())}")
    return Recording(
        **vars(identity),
        sweeps=tuple(sorted(sweeps, key=lambda sweep: sweep.number)),
        skipped=(*(f"{name}: {reason}" for name, reason in reasons.items()), *skipped),
        unread=unread,
    )


def check_size(samples: int) -> None:
    """Refuse a cell of more samples than any was recorded with."""
    if samples > MAX_SAMPLES:
        raise CellFailed(
            f"holds more than {MAX_SAMPLES / 1e6:.0f} million samples of sweeps to be measured: "
            "no cell has been recorded for so long; give each cell a file of its own"
        )


def count_reasons(reasons: Iterable[str]) -> str:
    """Return the most common of some reasons and how often each was given."""
    counted = Counter(reasons).most_common(MOST_REASONS)
    return ", ".join(f"{reason} ({times} x)" for reason, times in counted)


def look_at_current(wanted: Wanted, current_pa: Floats, rate_hz: float) -> object:
    """Return what `wanted` finds in a current; a false value where the sweep need not be read.

    A sweep with NaN or infinity inside its current is read: the reader refuses it with a reason.
    """
    finite = np.isfinite(current_pa)
    end = _last_good(finite)
    return not finite[:end].all() or wanted(current_pa[:end], rate_hz)


def make_sweep(
    voltage_mv: Floats,
    current_pa: Floats,
    *,
    rate_hz: float,
    name: str,
    number: int,
    begin: int = 0,
    stated_pa: float | None = None,
    known_stimulus: object = None,
) -> Sweep:
    """Return a sweep of the recorded part of both traces, or say why they are none."""
    whole = len(current_pa)
    voltage_mv, current_pa = _recorded_part(voltage_mv, current_pa, rate_hz=rate_hz)
    _check_potential(voltage_mv)
    return Sweep(
        voltage_mv=voltage_mv,
        current_pa=current_pa,
        rate_hz=rate_hz,
        name=name,
        number=number,
        begin=begin,
        stated_pa=stated_pa,
        # A stimulus that was found in the whole current does not hold for a part of it.
        known_stimulus=known_stimulus if len(current_pa) == whole and not begin else None,
    )
