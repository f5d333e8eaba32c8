"""The range of a number: named beside a field of settings, checked where settings are made."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from sts.base.errors import StsError

# numpy and scikit-learn take seeds below this.
SEEDS: Final = 2**32
# Of images: all 180 frequencies by all 4800 samples of a sweep fit.
MAX_SIDE: Final = 8192
MAX_PIXELS: Final = 2**20
# A value that is longer is cut in messages.
LONGEST_VALUE: Final = 80


@dataclass(frozen=True)
class Bounds:
    """A number from `low` to `high`; both belong to the range unless it is said to be open."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def hold(self, value: float) -> bool:
        """Tell whether a number lies in the range; NaN lies in none."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return bool(above and below)

    def __str__(self) -> str:
        low = f"above {self.low:.12g}" if self.open_low else f"at least {self.low:.12g}"
        return f"{low} and {'below' if self.open_high else 'at most'} {self.high:.12g}"


Seed = Annotated[int, Bounds(0, SEEDS - 1)]
Count = Annotated[int, Bounds(1, 1_000_000)]
# At least 0, below 1: a probability of dropping, the part of something that is kept.
Part = Annotated[float, Bounds(0, 1, open_high=True)]
# Above 0, at most 1: a learning rate, a share that must not be nothing.
Share = Annotated[float, Bounds(0, 1, open_low=True)]
NotNegative = Annotated[float, Bounds(0, 1e12)]
Positive = Annotated[float, Bounds(0, 1e12, open_low=True)]


def check_fields(settings: object) -> None:
    """Refuse a field of a dataclass whose number lies outside the range that its type names."""
    cls: Any = type(settings)
    for name, kind in hints_of(cls).items():
        _check(kind, getattr(settings, name), name)


@cache
def hints_of(cls: Any) -> Mapping[str, Any]:
    """Return the types of the fields that a dataclass is made from, with their ranges."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def check_bounds(kind: Any, value: Any, where: str) -> None:
    """Refuse a number outside the range that its own type names."""
    for bounds in get_args(kind)[1:]:
        if isinstance(bounds, Bounds) and not bounds.hold(value):
            raise StsError(f"{where} must be {bounds}, not {shorten(value)}")


def shorten(value: object) -> str:
    """Return a value as it stands in a message: on one line, and never long."""
    try:
        text = repr(value)
    # Python refuses to write whole numbers of thousands of digits; nested lists may have no end.
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _check(kind: Any, value: Any, where: str) -> None:
    if value is None:
        return
    if get_origin(kind) is Annotated:
        check_bounds(kind, value, where)
    elif isinstance(value, tuple):
        for item in value:
            for inner in get_args(kind):
                _check(inner, item, where)
    elif isinstance(value, int | float):
        for inner in get_args(kind):
            _check(inner, value, where)
