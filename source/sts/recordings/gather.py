"""A recording is put together sweep by sweep, and in words it is said why one is left out."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed
from sts.base.types import Floats
from sts.recordings.recording import FileIdentity, Recording, Sweep, Wanted
from sts.recordings.traces import Unusable, check_potential, last_good, recorded_part

# In all sweeps of a cell together: an hour at 50 kHz is 2**27.4. As float32 they are 1 GB.
MAX_SAMPLES: Final = 2**27
# Of the reasons for which no sweep is left.
TOLD: Final = 3


@dataclass(frozen=True, kw_only=True)
class SweepSource:
    """A sweep that has not been read yet."""

    called: str
    read: Callable[[], Sweep | None]
    """Gives None where its current is not the wanted one; may raise `Unusable`."""


def gather(
    sources: Iterable[SweepSource], *, who: FileIdentity, skipped: Iterable[str] = ()
) -> Recording:
    """Read every sweep; a spoilt one is left out, a file without a sound one fails.

    Parameters
    ----------
    who
        Whose recording it is.
    skipped
        What is to be said of sweeps that are no sources.
    """
    sweeps: list[Sweep] = []
    reasons: dict[str, str] = {}
    unread = samples = 0
    for source in sources:
        try:
            sweep = source.read()
        except Unusable as reason:
            reasons[source.called] = str(reason)
        except guard.BROKEN as error:
            reasons[source.called] = f"cannot be read: {guard.describe_error(error)}"
        else:
            if sweep is None:
                unread += 1
                continue
            sweeps.append(sweep)
            samples += len(sweep.voltage_mv)
            check_size(samples)
    if not sweeps and not unread:
        raise CellFailed(f"holds no usable current clamp sweep: {most_common(reasons.values())}")
    return Recording(
        **vars(who),
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


def most_common(reasons: Iterable[str]) -> str:
    """Return the most common of some reasons and how often each was given."""
    counted = Counter(reasons).most_common(TOLD)
    return ", ".join(f"{reason} ({times} x)" for reason, times in counted)


def look_at_current(wanted: Wanted, current_pa: Floats, rate_hz: float) -> object:
    """Return what is found in a current whose sweep is to be read on, else what is false.

    What is not finite inside is left to be spoken of.
    """
    finite = np.isfinite(current_pa)
    end = last_good(finite)
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
    found: object = None,
) -> Sweep:
    """Return a sweep of what was recorded of both traces, or say why they are none."""
    whole = len(current_pa)
    voltage_mv, current_pa = recorded_part(voltage_mv, current_pa, rate_hz=rate_hz)
    check_potential(voltage_mv)
    return Sweep(
        voltage_mv=voltage_mv,
        current_pa=current_pa,
        rate_hz=rate_hz,
        name=name,
        number=number,
        begin=begin,
        stated_pa=stated_pa,
        # It was found in the whole current, and holds for no part of it.
        found=found if len(current_pa) == whole and not begin else None,
    )
