"""The result of every reader: one cell with its current-clamp sweeps and its identity."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sts.base.types import Floats

# Longest text that can be an id.
MAX_ID: Final = 200
# Words instead of an id if none is known; letters and digits only.
EMPTY_WORDS: Final = frozenset(
    (
        *("default", "missing", "na", "nan", "none", "notavailable", "null", "placeholder", "tbd"),
        *("sessionid", "specimenid", "subjectid", "todo", "undefined", "unknown", "unnamed"),
        *("unspecified", "untitled", "xxx"),
    )
)
# Takes a current in pA and its rate in Hz. If the result is false, the response is not read; else
# the sweep has the result as `known_stimulus`.
Wanted = Callable[[Floats, float], object]


def want_every_sweep(*_: Any) -> bool:
    """Select every sweep."""
    return True


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """One current-clamp sweep: the injected current and the voltage of the cell.

    Both arrays are float32, one-dimensional, of equal length and finite: the reader checks that.
    """

    voltage_mv: Floats
    current_pa: Floats
    rate_hz: float
    name: str
    """The stimulus name in the file: a hint; the current decides."""
    number: int
    begin: int = 0
    """First sample of the experiment, after a test pulse, if the file contains it."""
    stated_pa: float | None = None
    """The amplitude that the file states in addition to the trace, if it does."""
    known_stimulus: object = None
    """The result of `Wanted` for this current, so that it is not computed again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FileIdentity:
    """The cell and the donor of the recording in a file."""

    specimen_id: str
    donor_id: str = ""
    claims_id: bool = False
    """Whether the file states the specimen; else the id is the name of the file."""
    ignored_id: str = ""
    """The text instead of a specimen id, such as a placeholder."""
    recorded_at: str = ""
    """The time at which the recording began, as the file has it; "" if it is not known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording(FileIdentity):
    """One cell: its identity, and its sweeps in the order of their numbers."""

    sweeps: tuple[Sweep, ...]
    skipped: tuple[str, ...] = ()
    """Sweeps that were left out, each with its reason in words."""
    unread: int = 0
    """Number of sweeps that were not read, because their current is not needed."""
    notes: tuple[str, ...] = ()
    """Remarks on its files, in words."""


def identify_file(
    path: Path, *, stated: str, named: str = "", donor: str = "", recorded_at: str = ""
) -> FileIdentity:
    """Return the cell and the donor of a file; a text that is no id is replaced.

    Parameters
    ----------
    path
        The file. Its name is the id if there is no specimen id.
    stated, named
        The specimen id in the file, and the one in the name of a file from an archive.
    donor
        The donor, "" if it is not known.
    recorded_at
        When the recording began, "" if it is not known.
    """
    specimen = next((text for text in (stated, named) if not is_no_id(text)), "")
    return FileIdentity(
        specimen_id=specimen or path.stem,
        donor_id="" if is_no_id(donor) else donor,
        claims_id=bool(specimen),
        ignored_id="" if specimen else stated[:MAX_ID],
        recorded_at=recorded_at,
    )


def is_no_id(text: str) -> bool:
    """Tell whether an id is empty, a placeholder, or too long to be one."""
    letters = re.sub(r"[\W_]+", "", text.casefold())
    return not letters or letters in EMPTY_WORDS or len(text) > MAX_ID
