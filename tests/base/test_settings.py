"""Settings survive the way through JSON, and a wrong one is answered kindly."""

import ast
import dataclasses
import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_type_hints

import pytest

from sts.base.errors import StsError
from sts.base.files import write_json
from sts.base.settings import digest, from_dict, load_settings, to_dict
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
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
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


def test_a_missing_name_without_default_is_told() -> None:
    with pytest.raises(StsError, match="run lacks 'name'"):
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
def test_a_value_of_the_wrong_kind_is_told(key: str, value: object, message: str) -> None:
    with pytest.raises(StsError, match=message):
        from_dict(Outer, {"name": "a", key: value})


def test_a_whole_number_is_a_good_number() -> None:
    rate = from_dict(Outer, {"name": "a", "rate": 2}).rate
    assert rate == 2
    assert type(rate) is float


def test_the_digest_tells_settings_apart_and_equal_ones_not() -> None:
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
