"""Kaggle: the token of the user, where members belong, and archives that lead out of a folder."""

import base64
import json
import logging
import os
import struct
import zipfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from sts.archives.kaggle import (
    Caps,
    Member,
    archive_item,
    find_secret,
    is_unpacked,
    open_archive,
    place_of,
    select_members,
    unpack,
)
from sts.base.errors import StsError
from tests.archives.worlds import KAGGLE_PATH, PUBLISHED, UNPACKED, files_in, zipped

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


MEMBERS = {"a/one.npy": b"1" * 5000, "b/two.npy": b"2" * 3, "empty": b""}


def plain(name: str) -> str:
    return name


def unpack_all(content: bytes, folder: Path, **kwargs: Caps) -> None:
    opened = open_archive(BytesIO(content), plain, **kwargs)
    for member in opened.members:
        for _ in unpack(opened, member, folder):
            pass
    opened.archive.close()


def test_members_come_out_as_they_went_in(tmp_path: Path) -> None:
    unpack_all(zipped(MEMBERS), tmp_path)
    assert files_in(tmp_path) == MEMBERS


def test_a_member_is_known_by_its_content(tmp_path: Path) -> None:
    opened = open_archive(BytesIO(zipped(MEMBERS)), plain)
    one = opened.members[0]
    assert not is_unpacked(one, tmp_path)
    list(unpack(opened, one, tmp_path))
    assert is_unpacked(one, tmp_path)
    (tmp_path / one.place).write_bytes(b"1" * 4999 + b"?")
    assert not is_unpacked(one, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("../out.npy", "/out.npy", "a/../../out.npy", "a/./b", "nul", "~\x07"),
        *("..\\out.npy", "C:\\out.npy", "a\\..\\..\\out"),
    ],
)
def test_a_member_that_leads_out_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(StsError, match="refused the file name"):
        unpack_all(zipped({"fine.npy": b"1", name: b"2"}), folder)
    assert files_in(tmp_path) == {}


def test_links_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StsError, match="'link' is a link or a device"):
        unpack_all(zipped(MEMBERS, links=("link",)), tmp_path)
    assert files_in(tmp_path) == {}


def test_two_members_of_one_place_are_refused(tmp_path: Path) -> None:
    content = zipped({"a/b.npy": b"1", "A/b.npy": b"2"})
    with pytest.raises(StsError, match="the same path"):
        unpack_all(content, tmp_path)


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    # 32 MB of zeros are 32 kB packed: a thousand times.
    bomb = zipped({"zeros.npy": bytes(2**25)})
    assert len(bomb) < 2**16
    with pytest.raises(StsError, match=r"'zeros\.npy' would grow \d+ times, 200 are allowed"):
        unpack_all(bomb, tmp_path)
    many = zipped({f"{n}.npy": bytes(2**23) for n in range(3)})
    with pytest.raises(StsError, match="'all of it' would grow"):
        unpack_all(many, tmp_path)
    assert files_in(tmp_path) == {}


def test_number_and_size_are_bounded(tmp_path: Path) -> None:
    content = zipped(MEMBERS)
    with pytest.raises(StsError, match="3 members, 2 are allowed"):
        unpack_all(content, tmp_path, caps=Caps(members=2))
    with pytest.raises(StsError, match="unpacked"):
        unpack_all(content, tmp_path, caps=Caps(bytes=5000))
    assert files_in(tmp_path) == {}


def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    # The directory says 10 bytes where 5,000 follow.
    content = bytearray(zipped({"a.npy": os.urandom(5000)}))
    entry = content.rindex(b"PK\x01\x02")
    struct.pack_into("<L", content, entry + 24, 10)
    with pytest.raises(StsError, match="cannot be unpacked"):
        unpack_all(bytes(content), tmp_path)
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_archive_never_leaves_a_wrong_file(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(zipped({"a.npy": bytes(range(256)) * 40, "b.npy": b"b" * 100}))
    for at in rng.integers(len(content), size=3):
        content[at] ^= int(rng.integers(1, 256))
    with suppress(StsError):
        unpack_all(bytes(content), tmp_path)
    whole = {"a.npy": bytes(range(256)) * 40, "b.npy": b"b" * 100}
    for name, found in files_in(tmp_path).items():
        assert found in whole.values() or name not in whole


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"<html>", zipped(MEMBERS)[:-30]],
    # The archive contains the time: parallel workers would name the test differently.
    ids=["empty", "PK", "html", "cut"],
)
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(StsError, match="not a ZIP archive"):
        unpack_all(content, tmp_path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.npy": b"1"}))
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", content, content.index(head) + flags, 1)
    with pytest.raises(StsError, match="encrypted"):
        unpack_all(bytes(content), tmp_path)


def test_nothing_is_left_of_what_was_broken_off(tmp_path: Path) -> None:
    opened = open_archive(BytesIO(zipped({"a.npy": os.urandom(3 * 2**20)})), plain)
    blocks = unpack(opened, opened.members[0], tmp_path)
    next(blocks)
    assert isinstance(opened.archive, zipfile.ZipFile)
    blocks.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []
