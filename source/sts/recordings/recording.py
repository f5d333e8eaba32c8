"""What every reader returns: one cell with its current-clamp sweeps."""

from dataclasses import dataclass

from sts.base.types import Floats


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One cell: its sweeps in the order of their numbers, and who it is."""

    specimen_id: str
    sweeps: tuple[Sweep, ...]
    donor_id: str = ""
    skipped: tuple[str, ...] = ()
    """Sweeps that were left out, each with its reason in words."""
