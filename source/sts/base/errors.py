"""Errors that the user can correct, and the error for a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches

# Longest unknown name that a message shows in full, in characters.
LONGEST_SHOWN = 80


class StsError(Exception):
    """Explain in one line what was expected, what is wrong and what to do; exit status 2."""


class CellExcluded(StsError):  # noqa: N818 - a verdict on a cell, not an error of a program
    """Explain why a good recording is left out: its protocol does not suit the study."""


class CellFailed(StsError):  # noqa: N818 - a verdict on a cell, not an error of a program
    """Explain why a cell could not be read or measured."""


def one_of(name: str, choices: Iterable[str], what: str) -> str:
    """Return `name` if it is among `choices`, else raise an error with the most similar choice."""
    known = sorted(choices)
    if name in known:
        return name
    shown = name[:LONGEST_SHOWN]
    near = get_close_matches(shown, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise StsError(f"unknown {what} {shown!r}: {hint}choose from {', '.join(known)}")
