"""Settings: frozen dataclasses to and from dictionaries and JSON, checked where they are made."""

import dataclasses
import hashlib
import json
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from sts.base.bounds import check_bounds, hints_of, shorten
from sts.base.errors import StsError, one_of
from sts.base.files import read_json

T = TypeVar("T")


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
    """Return `cls` made from a mapping after checking names and types; errors tell `where`."""
    if not isinstance(mapping, Mapping):
        raise _wrong("names and values", mapping, where)
    hints = hints_of(cls)  # type: ignore[arg-type]
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in mapping:
        one_of(key, fields, f"name in {where}")
    values = {}
    for name, field in fields.items():
        if name in mapping:
            values[name] = _checked(hints[name], mapping[name], f"{where}.{name}")
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise StsError(f"{where} lacks {name!r}, which has no default: give it")
    return cls(**values)


def load_settings(cls: type[T], path: Path) -> T:
    """Return `cls` read from a JSON file."""
    return from_dict(cls, read_json(path), where=path.name)


def digest(settings: object) -> str:
    """Return eight hexadecimal digits that differ where settings differ."""
    # A float field that was given 5 equals one that was given 5.0: let them agree on paper too.
    same = from_dict(type(settings), to_dict(settings))
    text = json.dumps(to_dict(same), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _checked(kind: Any, value: Any, where: str) -> Any:
    """Return `value` as `kind`, or say what was wanted."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        number = _checked(get_args(kind)[0], value, where)
        check_bounds(kind, number, where)
        return number
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        return _choice(get_args(kind), value, where)
    if origin in (Union, types.UnionType):
        return _union(get_args(kind), value, where)
    if origin is tuple:
        return _tuple(get_args(kind), value, where)
    if origin is dict:
        return _dict(get_args(kind)[1], value, where)
    return _scalar(kind, value, where)


def _choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    if isinstance(value, str) and all(isinstance(choice, str) for choice in choices):
        return one_of(value, choices, where)
    raise _wrong(f"one of {', '.join(map(repr, choices))}", value, where)


def _union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others[:-1]:
        try:
            return _checked(kind, value, where)
        except StsError:
            continue
    return _checked(others[-1], value, where)


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong("a list", value, where)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise _wrong(f"{len(kinds)} values", value, where)
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(_checked(kind, item, f"{where}[{at}]") for at, (kind, item) in pairs)


def _dict(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong("names and values", value, where)
    return {
        str(key): _checked(kind, item, f"{where}.{_plain_key(key)}") for key, item in value.items()
    }


def _plain_key(key: object) -> str:
    """Return a key as it stands in a message: one that is no plain word is quoted."""
    text = str(key)
    return text if re.fullmatch(r"[\w/ +-]{1,40}", text) else shorten(text)


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        # A whole number may be too large for a float.
        if not abs(value) <= sys.float_info.max:
            raise _wrong("a finite number", value, where)
        return float(value)
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    # bool is a subclass of int, and True is not a number of cells.
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise _wrong(WORDS.get(kind, kind.__name__), value, where)


WORDS = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}


def _wrong(wanted: str, value: object, where: str) -> StsError:
    return StsError(f"{where} must be {wanted}, not {shorten(value)}")
