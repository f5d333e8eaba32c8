"""Stored numbers become sweeps in mV and pA, and sweeps become a recording.

Values are converted by their unit. The end of a sweep that was never recorded is cut off. A sweep
that cannot be used raises `Unusable` with the reason in words; the other sweeps are kept.
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

# Unit -> factor of its values. In NWB the units are volts and amperes, also if the unit is empty;
# some laboratories write another unit, that of the stored values.
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
# Bounds of a mean potential. Volts read as millivolts are outside, and so is an inverted trace.
POTENTIAL_MV: Final = (-200.0, 30.0)
# Lowest sampling rate: below it the band of the scalograms, 20 to 200 Hz, is sampled too coarsely.
MIN_RATE_HZ: Final = 1e3
# Highest sampling rate: converters of patch-clamp rigs are slower.
MAX_RATE_HZ: Final = 1e7
# Largest difference in length between response and stimulus, which some hardware causes.
SPARE_SAMPLES: Final = 10
# A sweep whose last values are exactly zero for this long was not recorded to its end.
PADDING_S: Final = 0.01
# Currents with at most this difference are treated as equal: steps of protocols are higher.
SAME_PA: Final = 5.0
# Largest number of samples in all sweeps of a cell: an hour at 50 kHz is 2**27.4. Both traces as
# float32 need 1 GB.
MAX_SAMPLES: Final = 2**27
# Number of reasons for left-out sweeps that a message lists.
MOST_REASONS: Final = 3


class Unusable(Exception):  # noqa: N818 - a verdict on a sweep, not an error of a program
    """Say why a sweep is left out; the rest of the recording stays."""


def factor(unit: str, units: Mapping[str, float], *, what: str) -> float:
    """Return the factor of values in `unit`; an empty unit means that of NWB."""
    if unit.casefold() not in units:
        known = ", ".join(name for name in units if name)
        raise Unusable(f"its {what} is in {unit!r}, expected one of {known}")
    return units[unit.casefold()]


def usable_rate_hz(rate_hz: float) -> float:
    """Return a sampling rate without the rounding of its interval, or raise if it is unusable."""
    # Dividing by a sampling interval gives 50000.00000000001 Hz, with larger errors in float32.
    whole = float(round(rate_hz)) if math.isfinite(rate_hz) else rate_hz
    rate_hz = whole if math.isclose(rate_hz, whole, rel_tol=1e-6) else rate_hz
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise Unusable(f"its sampling rate of {rate_hz:g} Hz is not usable: 1 kHz to 10 MHz are")
    return rate_hz


def scale(stored: Floats | Ints, *, per_unit: float, conversion: float, offset: float) -> Floats:
    """Return `(stored * conversion + offset) * per_unit` as float32."""
    if not (math.isfinite(conversion) and conversion and math.isfinite(offset)):
        raise Unusable(f"its conversion {conversion:g} and offset {offset:g} are unusable")
    if stored.ndim != 1 or not stored.size:
        raise Unusable(f"its data have shape {stored.shape}, expected one trace")
    values = np.multiply(stored, conversion * per_unit, dtype=np.float64)
    values += offset * per_unit
    # Numbers that are too large for float32 become infinite; `_recorded_part` refuses them.
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _recorded_part(
    voltage_mv: Floats, current_pa: Floats, *, rate_hz: float
) -> tuple[Floats, Floats]:
    """Return both traces up to the end of the recording, with finite values only.

    MIES fills the rest of an interrupted sweep with NaN, older versions with zeros. Such a sweep is
    usable if its stimulus had ended before.
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
    """Return the number of samples before the padding."""
    end = _last_good(np.isfinite(voltage_mv))
    written = _last_good(voltage_mv[:end] != 0)
    return written if end - written >= PADDING_S * rate_hz else end


def _last_good(good: Bools) -> int:
    """Return the end of the last good stretch, 0 without one."""
    return len(good) - int(np.argmax(good[::-1])) if good.any() else 0


def _is_over(current_pa: Floats, end: int) -> bool:
    """Tell whether the current has its first value again from `end` on."""
    rest = current_pa[end - 1 :]
    return bool(np.nanmax(np.abs(rest - current_pa[0])) <= SAME_PA)


def _check_potential(voltage_mv: Floats) -> None:
    """Refuse a voltage with an impossible mean."""
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
    """Read every sweep; unusable sweeps are left out, a file without a usable sweep fails.

    Parameters
    ----------
    sources
        Name of every sweep and the function that reads it. The function returns None for a sweep
        that is not needed, and may raise `Unusable`.
    identity
        The cell and the donor.
    skipped
        Notes on sweeps that are left out without being read.
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
        why = count_reasons(reasons.values())
        raise CellFailed(f"contains no usable current clamp sweep: {why}")
    return Recording(
        **vars(identity),
        sweeps=tuple(sorted(sweeps, key=lambda sweep: sweep.number)),
        skipped=(*(f"{name}: {reason}" for name, reason in reasons.items()), *skipped),
        unread=unread,
    )


def check_size(samples: int) -> None:
    """Refuse a cell with an implausible number of samples."""
    if samples > MAX_SAMPLES:
        raise CellFailed(
            f"contains more than {MAX_SAMPLES / 1e6:.0f} million samples of sweeps to be measured: "
            "no cell has been recorded for so long; give each cell its own file"
        )


def count_reasons(reasons: Iterable[str]) -> str:
    """Return the most common reasons and the number of each."""
    counted = Counter(reasons).most_common(MOST_REASONS)
    return ", ".join(f"{reason} ({times} x)" for reason, times in counted)


def look_at_current(wanted: Wanted, current_pa: Floats, rate_hz: float) -> object:
    """Return the result of `wanted` for a current; if it is false, the sweep is not needed.

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
    """Return a sweep of the recorded part of both traces, or raise if they are unusable."""
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
        # A stimulus that was detected in the whole current is not valid for a part of it.
        known_stimulus=known_stimulus if len(current_pa) == whole and not begin else None,
    )
