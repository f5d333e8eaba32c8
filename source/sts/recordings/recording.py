"""What every reader returns: one cell with its current-clamp sweeps, and whose it is."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sts.base.types import Floats

# Longer text is no id: it is a remark, or a fault.
MAX_ID: Final = 200
# What is written where an id is asked for and none is known; letters and digits only.
EMPTY_WORDS: Final = frozenset(
    (
        *("default", "missing", "na", "nan", "none", "notavailable", "null", "placeholder", "tbd"),
        *("sessionid", "specimenid", "subjectid", "todo", "undefined", "unknown", "unnamed"),
        *("unspecified", "untitled", "xxx"),
    )
)
# Returns what it finds in a current in pA at a rate in Hz; where that is false, the response is not
# read, else the sweep keeps it.
Wanted = Callable[[Floats, float], object]


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
    found: object = None
    """What `Wanted` has found in just this current: it need not be looked for again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FileIdentity:
    """Whose recording a file holds."""

    specimen_id: str
    donor_id: str = ""
    claims_id: bool = False
    """Whether the file states the specimen; else its name stands in."""
    ignored_id: str = ""
    """What the file states as the specimen, but says nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording(FileIdentity):
    """One cell: its sweeps in the order of their numbers, and who it is."""

    sweeps: tuple[Sweep, ...]
    skipped: tuple[str, ...] = ()
    """Sweeps that were left out, each with its reason in words."""
    unread: int = 0
    """How many sweeps there are whose current is not the wanted one."""
    notes: tuple[str, ...] = ()
    """What is to be said of its files."""


def identify_file(path: Path, *, stated: str, named: str = "", donor: str = "") -> FileIdentity:
    """Return whose recording a file holds; ids that say nothing are replaced.

    Parameters
    ----------
    path
        The file; its name stands in where nothing states the specimen.
    stated, named
        The specimen id in the file, and the one that an archive has put into the file's name.
    donor
        The donor, "" if it is not known.
    """
    told = next((each for each in (stated, named) if not says_nothing(each)), "")
    return FileIdentity(
        specimen_id=told or path.stem,
        donor_id="" if says_nothing(donor) else donor,
        claims_id=bool(told),
        ignored_id="" if told else stated[:MAX_ID],
    )


def says_nothing(text: str) -> bool:
    """Tell whether an id is empty, a placeholder, or too long to be one."""
    letters = re.sub(r"[\W_]+", "", text.casefold())
    return not letters or letters in EMPTY_WORDS or len(text) > MAX_ID
