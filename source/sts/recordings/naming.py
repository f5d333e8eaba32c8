"""Whose recording a file holds, as far as the file and its name say it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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


@dataclass(frozen=True, kw_only=True)
class FileIdentity:
    """Whose recording a file holds."""

    specimen_id: str
    donor_id: str = ""
    claims_id: bool = False
    """Whether the file states the specimen; else its name stands in."""
    ignored_id: str = ""
    """What the file states as the specimen, but says nothing."""


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
