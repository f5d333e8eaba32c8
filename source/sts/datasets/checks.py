"""What a table may hold: names of a sane length that can be printed, and finite numbers."""

import math
from typing import Final

from sts.base.errors import StsError

LONGEST_NAME: Final = 200
# No measurement reaches it, and squares of what does would be infinite.
LARGEST: Final = 1e15
SHOWN: Final = 60


def check_name(text: str, what: str) -> str:
    """Return a name as it is, or say why it cannot be one; empty is no name and no fault."""
    if len(text) > LONGEST_NAME:
        raise StsError(
            f"{what} has {len(text)} characters, at most {LONGEST_NAME} are wanted; it begins "
            f"{text[:SHOWN]!a}"
        )
    if not text.isprintable():
        raise StsError(f"{what} holds a character that cannot be printed: {text[:SHOWN]!a}")
    return text


def check_id(text: str) -> str:
    """Return a specimen id as it is, or say why it cannot be one."""
    if not text:
        raise StsError("no specimen id; give every cell one")
    return check_name(text, "a specimen id")


def read_number(text: str, name: str) -> float:
    """Return a number, NaN of an empty text."""
    try:
        value = float(text or "nan")
    except ValueError:
        value = math.inf
    if abs(value) > LARGEST:
        raise StsError(f"{name} is {text[:SHOWN]!r}, a number is wanted; leave unknown ones empty")
    return value
