"""Kaggle: the user's token from its usual places, and where members belong."""

import base64
import json
import logging
from pathlib import Path

import pytest

from sts.archives.kaggle import Member, archive_item, find_secret, place_of, select_members
from sts.base.errors import StsError
from tests.archives.worlds import KAGGLE_PATH, PUBLISHED, UNPACKED

TOKEN = {"username": "ada", "key": "0123456789abcdef"}
BASIC = f"Basic {base64.b64encode(b'ada:0123456789abcdef').decode()}"


def write_token(folder: Path, content: str = json.dumps(TOKEN), *, mode: int = 0o600) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kaggle.json"
    path.write_text(content)
    path.chmod(mode)
    return path


def test_the_environment_comes_first(tmp_path: Path) -> None:
    write_token(tmp_path / ".kaggle", json.dumps({"username": "eve", "key": "x"}))
    environment = {
        "HOME": str(tmp_path),
        "KAGGLE_USERNAME": TOKEN["username"],
        "KAGGLE_KEY": TOKEN["key"],
    }
    assert find_secret(environment).header == BASIC


@pytest.mark.parametrize(
    ("folder", "environment"),
    [
        (".kaggle", {}),
        (".config/kaggle", {}),
        ("elsewhere/kaggle", {"XDG_CONFIG_HOME": "elsewhere"}),
        ("mine", {"KAGGLE_CONFIG_DIR": "mine"}),
    ],
)
def test_the_file_is_found_in_its_usual_places(
    tmp_path: Path, folder: str, environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    write_token(tmp_path / folder)
    given = {name: str(tmp_path / place) for name, place in environment.items()}
    assert find_secret({"HOME": str(tmp_path), **given}).header == BASIC
    assert caplog.text == ""


def test_a_token_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = write_token(tmp_path / ".kaggle", mode=0o644)
    find_secret({"HOME": str(tmp_path)})
    assert f"chmod 600 {path}" in caplog.text
    assert TOKEN["key"] not in caplog.text


def test_without_a_token_the_user_is_told_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"make a token on your Kaggle account page"):
        find_secret({"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    "content",
    [
        "s3cret",
        '["s3cret"]',
        '{"username": "s3cret"}',
        '{"username": "", "key": "s3cret"}',
        '{"username": "a", "key": "s3cret\\r\\nX-Header: 1"}',
        '{"username": "a", "key" "s3cret"',
    ],
)
def test_a_broken_token_is_named_and_not_told(tmp_path: Path, content: str) -> None:
    write_token(tmp_path / ".kaggle", content)
    with pytest.raises(StsError) as failed:
        find_secret({"HOME": str(tmp_path)})
    assert "Kaggle" in str(failed.value)
    error: BaseException | None = failed.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__


def test_members_go_where_they_are_looked_for() -> None:
    assert {place_of(name) for name in PUBLISHED} == UNPACKED


def test_cells_are_chosen_and_all_else_comes_along() -> None:
    members = [
        Member(name=name, place=place_of(name), size=1, crc32=0) for name in sorted(PUBLISHED)
    ]

    def chosen(**kwargs: object) -> set[str]:
        return {member.place for member in select_members(members, **kwargs)}  # type: ignore[arg-type]

    others = {place for place in UNPACKED if "cell_" not in place}
    assert chosen(cells=None, limit=None) == UNPACKED
    assert chosen(cells=["102"], limit=None) == others | {"PatchSeqGouwensCWT/cell_102.npy"}
    assert len(chosen(cells=None, limit=2)) == len(others) + 2


def test_the_archive_is_asked_for_at_kaggle() -> None:
    assert archive_item().address == f"https://www.kaggle.com{KAGGLE_PATH}"
    assert archive_item("http://127.0.0.1:1/api/v1").address == f"http://127.0.0.1:1{KAGGLE_PATH}"
