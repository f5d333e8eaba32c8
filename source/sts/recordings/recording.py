"""What every reader returns: one cell with its current-clamp sweeps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sts.base.types import Floats

# Tells by the current in pA and its rate in Hz whether a sweep's response is to be read.
Wanted = Callable[[Floats, float], bool]


def every_sweep(*_: Any) -> bool:
    """Want every sweep, whatever is injected."""
    return True


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """One current-clamp sweep: what was injected and what the cell did.

    Both arrays are float32, one-dimensional, of equal length and finite; the reader has seen to it.
    """

    voltage_mv: Floats
    current_pa: Floats
    rate_hz: float
    name: str
    """The stimulus name in the file: a hint; the current decides."""
    number: int
    begin: int = 0
    """Where the file says that the experiment begins: a test pulse lies before."""
    stated_pa: float | None = None
    """The amplitude that the file states beside the trace, if it does."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One cell: its sweeps in the order of their numbers, and who it is."""

    specimen_id: str
    sweeps: tuple[Sweep, ...]
    donor_id: str = ""
    claims_id: bool = False
    """Whether the file states the specimen; else its name stands in."""
    ignored_id: str = ""
    """What the file states as the specimen, but says nothing."""
    skipped: tuple[str, ...] = ()
    """Sweeps that were left out, each with its reason in words."""
    unread: int = 0
    """How many sweeps there are whose current is not the wanted one."""
