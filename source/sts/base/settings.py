"""Settings: frozen dataclasses to and from JSON, with the range of each number beside its field."""

import dataclasses
import hashlib
import json
import re
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from sts.base.errors import StsError, one_of
from sts.base.files import read_json

T = TypeVar("T")

# Number of seeds that numpy and scikit-learn know: 0 to one below this.
SEEDS: Final = 2**32
# Largest image: all 180 frequencies by all 4800 samples of a sweep fit.
MAX_SIDE: Final = 8192
MAX_PIXELS: Final = 2**20
# Longest value that a message shows in full, in characters.
LONGEST_VALUE: Final = 80
# What a message calls the types of JSON.
TYPE_NAMES: Final = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}


@dataclass(frozen=True)
class Bounds:
    """A range of numbers; its ends belong to it unless they are open."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def hold(self, value: float) -> bool:
        """Tell whether the range contains a number; no range contains NaN."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return bool(above and below)

    def __str__(self) -> str:
        low = f"above {self.low:.12g}" if self.open_low else f"at least {self.low:.12g}"
        return f"{low} and {'below' if self.open_high else 'at most'} {self.high:.12g}"


Seed = Annotated[int, Bounds(0, SEEDS - 1)]
Count = Annotated[int, Bounds(1, 1_000_000)]
# At least 0, below 1: a dropout probability, a part of the cells.
BelowOne = Annotated[float, Bounds(0, 1, open_high=True)]
# Above 0, at most 1: a learning rate, a share that is never empty.
Share = Annotated[float, Bounds(0, 1, open_low=True)]
NotNegative = Annotated[float, Bounds(0, 1e12)]
Positive = Annotated[float, Bounds(0, 1e12, open_low=True)]


def check_fields(settings: object) -> None:
    """Check that every number of a dataclass is in the range that its type names."""
    cls: Any = type(settings)
    for name, kind in _field_types(cls).items():
        _check_ranges(kind, getattr(settings, name), name)


class CheckedSettings:
    """Base of dataclasses whose numbers must be in the ranges that their types name."""

    def __post_init__(self) -> None:
        """Refuse a number outside its range."""
        check_fields(self)


@cache
def _field_types(cls: Any) -> Mapping[str, Any]:
    """Return the types of the fields that a dataclass is made from, with their ranges."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def _check_range(kind: Any, value: Any, where: str) -> None:
    for bounds in get_args(kind)[1:]:
        if isinstance(bounds, Bounds) and not bounds.hold(value):
            raise StsError(f"{where} must be {bounds}, not {shorten(value)}")


def shorten(value: object) -> str:
    """Return a value for a message: on one line, and short."""
    try:
        text = repr(value)
    # Python does not print whole numbers of thousands of digits, nor lists nested too deeply.
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _check_ranges(kind: Any, value: Any, where: str) -> None:
    """Check a value, and each item of a tuple, against the ranges inside its type."""
    if get_origin(kind) is Annotated and value is not None:
        _check_range(kind, value, where)
    elif isinstance(value, tuple | int | float):
        for item in value if isinstance(value, tuple) else (value,):
            for inner in get_args(kind):
                _check_ranges(inner, item, where)


def to_dict(settings: object) -> dict[str, Any]:
    """Return settings as nested dictionaries, lists and plain values."""
    if not dataclasses.is_dataclass(settings) or isinstance(settings, type):
        raise ValueError(f"settings must be an instance of a dataclass, not {settings!r}")
    return {
        f.name: _plain(getattr(settings, f.name)) for f in dataclasses.fields(settings) if f.init
    }


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def from_dict(cls: type[T], mapping: Mapping[str, Any], where: str = "settings") -> T:
    """Return `cls` with the values of a mapping; check names, types and ranges.

    Parameters
    ----------
    where
        The origin of the mapping, for messages.
    """
    if not isinstance(mapping, Mapping):
        raise _wrong_type("names and values", mapping, where)
    kinds = _field_types(cls)  # type: ignore[arg-type]
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in mapping:
        one_of(key, fields, f"name in {where}")
    values = {}
    for name, field in fields.items():
        if name in mapping:
            values[name] = _convert(kinds[name], mapping[name], f"{where}.{name}")
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise StsError(f"{where} needs {name!r}, which has no default: add it")
    return cls(**values)


def load_settings(cls: type[T], path: Path) -> T:
    """Return `cls` read from a JSON file."""
    return from_dict(cls, read_json(path), where=path.name)


def digest(settings: object) -> str:
    """Return eight hexadecimal digits that differ where settings differ."""
    # 5 and 5.0 are the same number of a float field, and must give the same digest.
    converted = from_dict(type(settings), to_dict(settings))
    text = json.dumps(to_dict(converted), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Return a value of JSON as the type of its field, or raise with the expected type."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        number = _convert(get_args(kind)[0], value, where)
        _check_range(kind, number, where)
        return number
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        return _convert_choice(get_args(kind), value, where)
    if origin in (Union, types.UnionType):
        return _convert_union(get_args(kind), value, where)
    if origin is tuple:
        return _convert_tuple(get_args(kind), value, where)
    if origin is dict:
        return _convert_dict(get_args(kind)[1], value, where)
    return _convert_scalar(kind, value, where)


def _convert_choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    if isinstance(value, str) and all(isinstance(choice, str) for choice in choices):
        return one_of(value, choices, where)
    raise _wrong_type(f"one of {', '.join(map(repr, choices))}", value, where)


def _convert_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others[:-1]:
        try:
            return _convert(kind, value, where)
        except StsError:
            continue
    return _convert(others[-1], value, where)


def _convert_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong_type("a list", value, where)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise _wrong_type(f"{len(kinds)} values", value, where)
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(_convert(kind, item, f"{where}[{at}]") for at, (kind, item) in pairs)


def _convert_dict(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong_type("names and values", value, where)
    return {
        str(key): _convert(kind, item, f"{where}.{_show_key(key)}") for key, item in value.items()
    }


def _show_key(key: object) -> str:
    text = str(key)
    return text if re.fullmatch(r"[\w/ +-]{1,40}", text) else shorten(text)


def _convert_scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        # A whole number may be too large for a float.
        if not abs(value) <= sys.float_info.max:
            raise _wrong_type("a finite number", value, where)
        return float(value)
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    # bool is a subclass of int, and True is not a number of cells.
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise _wrong_type(TYPE_NAMES.get(kind, kind.__name__), value, where)


def _wrong_type(wanted: str, value: object, where: str) -> StsError:
    return StsError(f"{where} must be {wanted}, not {shorten(value)}")
