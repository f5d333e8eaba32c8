"""The space of a search: a range or a list of choices for every setting."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sts.base.settings import to_dict

Value = float | int | str | bool | None


@dataclass(frozen=True)
class Float:
    """A number from `low` to `high`, both included; `log` spreads its logarithm evenly."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, lowest_log=0.0 if self.log else -math.inf)


@dataclass(frozen=True)
class Int:
    """A whole number from `low` to `high`, both included; `log` spreads its logarithm evenly."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        if int(self.low) != self.low or int(self.high) != self.high:
            raise ValueError(f"an Int needs whole numbers, not {self.low} and {self.high}")
        _check_range(self.low, self.high, lowest_log=0.0 if self.log else -math.inf)


@dataclass(frozen=True)
class Choice:
    """One of some plain values, in no order."""

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.values, tuple) or not self.values:
            raise ValueError(f"a Choice needs a tuple of values, not {self.values!r}")
        # JSON keeps only these; 1, 1.0 and True are one value to the sampler.
        if not all(isinstance(value, Value) for value in self.values):
            raise ValueError(f"a Choice is among numbers, texts, bools and None: {self.values!r}")
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"a value of a Choice appears twice: {self.values!r}")


Parameter = Float | Int | Choice
Space = Mapping[str, Parameter]


def _check_range(low: float, high: float, *, lowest_log: float) -> None:
    if not lowest_log < low <= high < math.inf:
        raise ValueError(f"a range goes from low to high (log: above 0), not {low} to {high}")


def check_space(space: Space) -> None:
    """Refuse an empty space and what is not a parameter."""
    if not space:
        raise ValueError("a space needs at least one setting")
    for name, parameter in space.items():
        if not isinstance(name, str) or not isinstance(parameter, Parameter):
            raise ValueError(f"not a Float, Int or Choice under a name: {name!r}: {parameter!r}")


def describe_space(space: Space) -> dict[str, Any]:
    """Return the space as plain values that differ where spaces differ."""
    return {
        name: {"kind": type(parameter).__name__, **to_dict(parameter)}
        for name, parameter in space.items()
    }
