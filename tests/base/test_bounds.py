"""Numbers of settings and files lie in the range that their field names, or are refused."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from sts.base.bounds import Bounds, Count, Part, Positive, Seed, Share, check_fields, shorten
from sts.base.errors import StsError
from sts.base.files import read_csv, read_json
from sts.base.settings import from_dict, load_settings, to_dict


@dataclass(frozen=True, kw_only=True)
class Sized:
    count: Count = 5
    seed: Seed = 0
    rate: Share = 0.1
    dropout: Part = 0.0
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
        ('{"seed": 1, "seed": 2}', "the name 'seed' comes twice"),
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
