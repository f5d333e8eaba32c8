"""Settings survive the way through JSON, and a wrong one is answered kindly."""

import ast
import dataclasses
import importlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import pytest

from sts.base.errors import StsError
from sts.base.files import read_csv, read_json, write_json
from sts.base.settings import (
    BelowOne,
    Bounds,
    CheckedSettings,
    Count,
    Positive,
    Seed,
    Share,
    check_fields,
    digest,
    from_dict,
    load_settings,
    shorten,
    to_dict,
)
from tests.conftest import REPOSITORY


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 3
    rates: tuple[float, ...] = (1.0, 2.0)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (1, "a")
    rate: float = 0.5
    patience: int | None = None
    mode: Literal["direct", "pywt"] = "direct"
    folds: Literal[3, 5] = 3
    freeze: bool = False
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    place: Path | None = None
    limit: int | str = 0


FULL = Outer(
    name="a",
    inner=Inner(size=5),
    several=(Inner(), Inner(rates=())),
    pair=(2, "b"),
    patience=4,
    mode="pywt",
    folds=5,
    freeze=True,
    weights={"Sst": 0.5},
    place=Path("data"),
    limit="auto",
)


# For the fields of settings of the package that have no default.
SAMPLES = {str: "a", int: 3, float: 0.5, bool: True, Path: Path("data")}


def settings_of_the_package() -> Iterator[tuple[str, str]]:
    for path in sorted((REPOSITORY / "source").rglob("sts/**/*.py")):
        module = ".".join(path.relative_to(REPOSITORY / "source").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_settings = isinstance(node, ast.ClassDef) and node.name.endswith("Settings")
            # The base that checks them has no fields.
            if is_settings and node.name != CheckedSettings.__name__:
                yield module, node.name


@pytest.mark.parametrize("settings", [FULL, Outer(name="b")])
def test_settings_survive_dictionaries_and_files(settings: Outer, tmp_path: Path) -> None:
    assert from_dict(Outer, to_dict(settings)) == settings
    write_json(tmp_path / "settings.json", to_dict(settings))
    assert load_settings(Outer, tmp_path / "settings.json") == settings


@pytest.mark.parametrize(("module", "name"), list(settings_of_the_package()))
def test_all_settings_of_the_package_keep_the_law(module: str, name: str) -> None:
    cls = getattr(importlib.import_module(module), name)
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(cls))
    needed = {
        field.name: SAMPLES[get_type_hints(cls)[field.name]]
        for field in dataclasses.fields(cls)
        if field.default is field.default_factory is dataclasses.MISSING
    }
    settings = cls(**needed)
    assert from_dict(cls, to_dict(settings)) == settings
    assert digest(settings) == digest(from_dict(cls, to_dict(settings)))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(StsError, match=r"unknown name in settings 'nane': did you mean 'name'\?"):
        from_dict(Outer, {"nane": "a"})
    with pytest.raises(StsError, match=r"unknown name in settings\.inner 'sizes'.*'size'"):
        from_dict(Outer, {"name": "a", "inner": {"sizes": 1}})
    with pytest.raises(StsError, match=r"unknown settings\.mode 'pywd': did you mean 'pywt'\?"):
        from_dict(Outer, {"name": "a", "mode": "pywd"})


def test_a_missing_name_without_default_is_reported() -> None:
    with pytest.raises(StsError, match="run needs 'name'"):
        from_dict(Outer, {}, "run")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", 3, r"settings\.name must be text, not 3"),
        ("rate", "0.5", r"settings\.rate must be a number, not '0\.5'"),
        ("rate", True, r"settings\.rate must be a number, not True"),
        ("rate", math.nan, r"settings\.rate must be a finite number, not nan"),
        ("rate", None, r"settings\.rate must be a number, not None"),
        ("patience", True, r"settings\.patience must be a whole number, not True"),
        ("patience", 2.0, r"settings\.patience must be a whole number, not 2\.0"),
        ("freeze", 1, r"settings\.freeze must be true or false, not 1"),
        ("folds", 4, r"settings\.folds must be one of 3, 5, not 4"),
        ("folds", 3.0, r"settings\.folds must be one of 3, 5, not 3\.0"),
        ("inner", 3, r"settings\.inner must be names and values, not 3"),
        ("inner", {"rates": [1, "x"]}, r"settings\.inner\.rates\[1\] must be a number, not 'x'"),
        ("several", {"size": 1}, r"settings\.several must be a list, not"),
        ("pair", [1], r"settings\.pair must be 2 values, not \[1\]"),
        ("weights", {"Sst": "x"}, r"settings\.weights\.Sst must be a number, not 'x'"),
        ("limit", 1.5, r"settings\.limit must be text, not 1\.5"),
    ],
)
def test_a_value_of_the_wrong_kind_is_reported(key: str, value: object, message: str) -> None:
    with pytest.raises(StsError, match=message):
        from_dict(Outer, {"name": "a", key: value})


def test_a_whole_number_is_a_good_number() -> None:
    rate = from_dict(Outer, {"name": "a", "rate": 2}).rate
    assert rate == 2
    assert type(rate) is float


def test_the_digest_differs_where_settings_differ() -> None:
    assert digest(Outer(name="a", rate=2)) == digest(Outer(name="a", rate=2.0))
    assert digest(Outer(name="a")) != digest(Outer(name="a", inner=Inner(size=4)))
    assert len(digest(FULL)) == 8
    assert int(digest(FULL), 16) >= 0


def test_the_digest_is_the_same_on_every_machine() -> None:
    # Written down once: a resumed run finds its folder by it.
    assert digest(Inner()) == "83f1b211"


def test_settings_are_made_of_dataclasses_only() -> None:
    with pytest.raises(ValueError, match="must be an instance of a dataclass"):
        to_dict({"a": 1})
    with pytest.raises(ValueError, match="must be an instance of a dataclass"):
        to_dict(Inner)


@dataclass(frozen=True, kw_only=True)
class Sized:
    count: Count = 5
    seed: Seed = 0
    rate: Share = 0.1
    dropout: BelowOne = 0.0
    side: Annotated[int, Bounds(1, 4096)] = 224
    sides: tuple[Annotated[int, Bounds(1, 10)], ...] = (3,)
    maybe: Positive | None = None

    def __post_init__(self) -> None:
        check_fields(self)


BAD = [
    ("count", 0, "count must be at least 1 and at most 1000000, not 0"),
    ("seed", 2**32, "seed must be at least 0 and at most 4294967295, not 4294967296"),
    ("seed", -1, "seed must be at least 0"),
    ("rate", 0.0, "rate must be above 0 and at most 1, not 0.0"),
    ("dropout", 1.0, "dropout must be at least 0 and below 1, not 1.0"),
    ("side", 10**400, "side must be at least 1 and at most 4096, not "),
    ("sides", (3, 11), "must be at least 1 and at most 10, not 11"),
    ("maybe", 0.0, "maybe must be above 0"),
    ("maybe", -1e-300, "maybe must be above 0"),
]


@pytest.mark.parametrize(("name", "value", "line"), BAD)
def test_a_number_outside_its_range_is_refused_wherever_settings_are_made(
    name: str, value: object, line: str
) -> None:
    for make in (lambda: Sized(**{name: value}), lambda: from_dict(Sized, {name: value}, "x.json")):
        with pytest.raises(StsError) as caught:
            make()
        text = str(caught.value)
        assert line in text
        assert "\n" not in text
        assert len(text) < 200


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_a_number_without_measure_is_refused(value: float) -> None:
    for name in ("rate", "dropout", "maybe"):
        with pytest.raises(StsError, match=rf"{name} must be"):
            Sized(**{name: value})
        with pytest.raises(StsError, match=rf"{name} must be a finite number"):
            from_dict(Sized, {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 2**32 - 1), ("rate", 1), ("dropout", 0), ("side", 4096), ("sides", ()), ("maybe", 5)],
)
def test_the_ends_of_a_range_belong_to_it(name: str, value: object) -> None:
    made = Sized(**{name: value})  # type: ignore[arg-type]
    assert from_dict(Sized, to_dict(made)) == made


def test_a_value_in_a_message_is_short_and_on_one_line() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    for value in ("a\nb" * 1000, [1] * 10_000, 10**5000, nested, "\x1b[31m"):
        text = shorten(value)
        assert len(text) <= 80
        assert text.isprintable()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[" * 100_000, "too deep"),
        ('{"a":' * 100_000, "too deep"),
        ("[" * 500 + "]" * 500, "too deep"),
        ('{"seed": 1, "seed": 2}', "the name 'seed' is twice"),
        ('{"rate": 1e400}', "the number 1e400 is too large"),
        ('{"rate": -Infinity}', "-Infinity is not a JSON number"),
        (f'{{"seed": {"9" * 5000}}}', "is too large"),
        ('{"seed": 5', "not JSON"),
        ("", "not JSON"),
        ('{"se\\u001b[31med": 5}', "unknown name"),
        (f'{{"{"x" * 100_000}": 5}}', "unknown name"),
        (f'{{"rate": "{"x" * 100_000}"}}', "rate must be a number"),
        ("[]", "must be names and values"),
    ],
)
def test_json_that_nobody_wrote_by_hand_ends_in_one_line(
    tmp_path: Path, text: str, line: str
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(StsError) as caught:
        load_settings(Sized, path)
    assert line in str(caught.value)
    assert str(caught.value).isprintable()
    # A path of a temporary folder and twice 80 letters of what came.
    assert len(str(caught.value)) < 600


# Each of these waits for ever where it is opened.
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "folder", "too large"])
def test_what_is_no_file_of_bytes_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "settings.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "too large":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe") if kind == "link to a pipe" else os.mkfifo(path)
    with pytest.raises(StsError, match=r"cannot read|too large"):
        read_json(path)
    if kind != "too large":
        with pytest.raises(StsError, match="cannot read"):
            read_csv(path, ["a"])
