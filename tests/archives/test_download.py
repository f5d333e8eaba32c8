"""One file from a server that misbehaves to its place on disk: whole, or not there."""

import hashlib
import json
import logging
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from sts.archives import http_rules
from sts.archives.client import Client
from sts.archives.download import Part, Target, download, is_there, size_at
from sts.archives.http_rules import UnreachableError
from sts.archives.items import RECEIPTS_FILE, ArchiveFile, Receipts
from sts.base.errors import StsError
from tests.archives.server import (
    Fault,
    Handler,
    Page,
    Server,
    asking,
    cut,
    endless,
    hang_up,
    instead,
    slow,
    status,
    whole,
)

CONTENT = bytes(range(251)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(folder=tmp_path, source="test", receipts=Receipts(tmp_path))


@pytest.fixture
def item(server: Server) -> ArchiveFile:
    address = server.file("/a.nwb", CONTENT)
    return ArchiveFile(place="sub/a.nwb", address=address, size=len(CONTENT), sha256=SHA256)


def left(folder: Path) -> set[str]:
    """Return what lies in a folder but the receipts."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found - {RECEIPTS_FILE}


def ranges(server: Server) -> list[str]:
    return [request.headers.get("Range", "") for request in server.asked("/a.nwb")]


def test_a_file_comes_whole_and_with_a_receipt(
    client: Client, item: ArchiveFile, target: Target
) -> None:
    receipt = download(client, item, target)
    assert target.path(item).read_bytes() == CONTENT
    assert left(target.folder) == {"sub/a.nwb"}
    assert (receipt.size, receipt.sha256, receipt.source) == (len(CONTENT), SHA256, "test")
    assert Receipts(target.folder).get("sub/a.nwb") == receipt
    assert is_there(item, target)


@pytest.mark.parametrize(
    "faults",
    [
        [status(500), status(503), hang_up],
        [cut(1000), cut(200_000), cut(0)],
        [cut(1000), whole],
        [cut(1000), instead(CONTENT, ETag='"v2"')],
        [slow(0.05, piece=100)],
        [instead(CONTENT[:-1] + b"?")],
        [cut(300_000), status(429), instead(b"x" * len(CONTENT))],
        [instead(CONTENT + b"more")],
        [instead(b"less")],
        [cut(5000), status(416)],
    ],
    ids=range(10),
)
def test_misbehaviour_that_passes_leaves_no_trace(
    server: Server, client: Client, item: ArchiveFile, target: Target, faults: list[Fault]
) -> None:
    server.fail("/a.nwb", *faults)
    assert download(client, item, target).sha256 == SHA256
    assert target.path(item).read_bytes() == CONTENT
    assert left(target.folder) == {"sub/a.nwb"}


def test_what_was_cut_goes_on_where_it_ended(
    server: Server, client: Client, item: ArchiveFile, target: Target
) -> None:
    heard: list[int] = []
    server.fail("/a.nwb", cut(100_000), cut(300_000))
    download(client, item, replace(target, report_bytes=heard.append))
    assert ranges(server) == ["", "bytes=100000-", "bytes=400000-"]
    assert sum(heard) == len(CONTENT) == server.sent


def test_another_process_goes_on_too(server: Server, item: ArchiveFile, target: Target) -> None:
    server.fail("/a.nwb", *[cut(10_000)] * 4)
    with asking() as client, pytest.raises(StsError, match="was cut"):
        download(client, item, target)
    assert left(target.folder) == {"sub/a.nwb.part", "sub/a.nwb.part.json"}
    server.log.clear()
    with asking() as client:
        download(client, item, target)
    assert ranges(server) == ["bytes=40000-"]
    assert target.path(item).read_bytes() == CONTENT


def test_parts_of_two_versions_are_not_glued_together(
    server: Server, client: Client, item: ArchiveFile, target: Target
) -> None:
    # Neither size nor digest would tell: only the server knows that it has another file now.
    blind = replace(item, sha256="", size=None)
    server.fail("/a.nwb", *[cut(10_000)] * 4)
    with pytest.raises(StsError, match="was cut"):
        download(client, blind, target)
    other = CONTENT[::-1]
    server.file("/a.nwb", other, tag='"v2"')
    download(client, blind, target)
    assert target.path(item).read_bytes() == other


def test_a_server_that_ignores_versions_is_caught_too(
    server: Server, client: Client, item: ArchiveFile, target: Target
) -> None:
    def without_if_range(handler: Handler, page: Page) -> None:
        del handler.headers["If-Range"]
        handler.answer(page)

    blind = replace(item, sha256="", size=None)
    server.fail("/a.nwb", *[cut(10_000)] * 4)
    with pytest.raises(StsError, match="was cut"):
        download(client, blind, target)
    other = CONTENT[::-1]
    server.file("/a.nwb", other, tag='"v2"')
    server.fail("/a.nwb", without_if_range)
    download(client, blind, target)
    assert target.path(item).read_bytes() == other


@pytest.mark.parametrize("tag", ["", 'W/"v1"'])
def test_without_version_and_digest_a_file_comes_in_one_piece(
    server: Server, client: Client, item: ArchiveFile, target: Target, tag: str
) -> None:
    server.file("/a.nwb", CONTENT, tag=tag)
    server.fail("/a.nwb", cut(10_000))
    download(client, replace(item, sha256=""), target)
    assert ranges(server) == ["", ""]
    server.fail("/a.nwb", cut(10_000))
    download(client, replace(item, place="b.nwb"), target)
    assert ranges(server)[2:] == ["", "bytes=10000-"]


def test_a_wrong_file_is_deleted_and_named(
    server: Server, client: Client, item: ArchiveFile, target: Target
) -> None:
    wrong = replace(item, sha256="0" * 64)
    with pytest.raises(StsError, match=r"000000000000 is expected; it was deleted.*tried 2 times"):
        download(client, wrong, target)
    assert left(target.folder) == set()
    assert len(server.asked("/a.nwb")) == 2


def test_a_damaged_part_costs_one_more_attempt(
    server: Server, client: Client, item: ArchiveFile, target: Target
) -> None:
    server.fail("/a.nwb", *[cut(10_000)] * 4)
    with pytest.raises(StsError, match="was cut"):
        download(client, item, target)
    part = Part(item, target.folder).path
    part.write_bytes(b"?" + part.read_bytes()[1:])
    download(client, item, target)
    assert target.path(item).read_bytes() == CONTENT


def test_a_part_that_was_complete_is_only_verified(
    server: Server, client: Client, item: ArchiveFile, target: Target
) -> None:
    for known in (item, replace(item, size=None)):
        server.log.clear()
        part = Part(known, target.folder)
        part.path.parent.mkdir(exist_ok=True)
        list(part.write([CONTENT], start=0, tag='"v1"'))
        download(client, known, target)
        assert server.sent == 0
        assert target.path(item).read_bytes() == CONTENT
    # Without its size, the server was asked, and answered that there is no more.
    assert len(server.log) == 1


def test_a_long_way_may_take_many_attempts_but_no_way_may_not(
    server: Server,
    client: Client,
    item: ArchiveFile,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_rules, "WORTH_BYTES", 100_000)
    server.fail("/a.nwb", *[cut(100_000)] * 9)
    download(client, item, target)
    # Each of these comes as far as the one before, so that none of them is worth another.
    server.pages["/b.nwb"] = replace(server.pages["/a.nwb"], ranges=False)
    server.fail("/b.nwb", *[cut(500_000)] * 99)
    with pytest.raises(StsError, match="was cut"):
        download(client, replace(item, place="b", address=server.at("/b.nwb")), target)
    assert len(server.asked("/b.nwb")) == 4


@pytest.mark.parametrize("code", [401, 403, 404])
def test_what_is_not_there_is_not_asked_for_again(
    server: Server, client: Client, item: ArchiveFile, target: Target, code: int
) -> None:
    server.fail("/a.nwb", status(code))
    with pytest.raises(StsError, match=f"{code}"):
        download(client, item, target)
    assert len(server.log) == 1
    assert left(target.folder) == set()


def test_no_more_is_taken_than_was_announced(
    server: Server, client: Client, item: ArchiveFile, target: Target
) -> None:
    server.fail("/a.nwb", endless, endless)
    with pytest.raises(StsError, match="more than 1004000 bytes arrived"):
        download(client, item, target)
    assert target.folder.stat().st_size < 10 * len(CONTENT)


def test_more_than_such_a_file_can_be_is_refused(
    client: Client, item: ArchiveFile, target: Target
) -> None:
    with pytest.raises(StsError, match="more than such a file can be"):
        download(client, replace(item, size=None, most_bytes=1000), target)


def test_a_full_disk_is_told_before_anything_comes(
    server: Server,
    client: Client,
    item: ArchiveFile,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6, 1000))
    with pytest.raises(StsError, match=r"free: free some space"):
        download(client, item, target)
    assert left(target.folder) == set()


def test_a_folder_that_cannot_be_written_is_one_line(
    client: Client, item: ArchiveFile, target: Target
) -> None:
    (target.folder / "sub").write_text("a file stands here")
    with pytest.raises(StsError, match="a file has the name of a needed folder"):
        download(client, item, target)


def test_a_file_is_known_by_its_digest_and_not_by_its_name(
    client: Client, item: ArchiveFile, target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    assert not is_there(item, target)
    download(client, item, target)
    path = target.path(item)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert not is_there(item, target)
    assert "is fetched again" in caplog.text
    download(client, item, target)
    # It was ours, so that nothing is lost by replacing it.
    assert left(target.folder) == {"sub/a.nwb"}


def test_without_a_published_digest_the_receipt_vouches(
    client: Client, item: ArchiveFile, target: Target
) -> None:
    blind = replace(item, sha256="", size=None, begins=CONTENT[:4])
    download(client, blind, target)
    assert is_there(blind, target)
    assert not is_there(replace(blind, identity="another"), target)
    target.path(blind).write_bytes(CONTENT[:100])
    assert not is_there(blind, target)


def test_a_sound_copy_from_elsewhere_is_taken_and_gets_a_receipt(
    item: ArchiveFile, target: Target
) -> None:
    path = target.path(item)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert not is_there(replace(item, sha256=""), target)
    assert is_there(item, target)
    assert target.receipts.get(item.place) is not None


def test_a_file_of_somebody_else_is_kept_aside(
    client: Client, item: ArchiveFile, target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = target.path(item)
    path.parent.mkdir()
    path.write_text("my own work")
    assert not is_there(item, target)
    download(client, item, target)
    assert path.read_bytes() == CONTENT
    assert (path.parent / "a.nwb.old").read_text() == "my own work"
    assert "a.nwb.old" in caplog.text


def test_a_file_that_has_its_name_has_its_receipt(
    client: Client, item: ArchiveFile, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_to = Part.move_to

    def die_after(part: Part, path: Path) -> None:
        move_to(part, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(Part, "move_to", die_after)
    blind = replace(item, sha256="")
    with pytest.raises(KeyboardInterrupt):
        download(client, blind, target)
    # As the next process finds it.
    assert is_there(blind, replace(target, receipts=Receipts(target.folder)))


def test_a_torn_note_of_origin_only_costs_time(
    server: Server, client: Client, item: ArchiveFile, target: Target
) -> None:
    server.fail("/a.nwb", *[cut(10_000)] * 4)
    with pytest.raises(StsError, match="was cut"):
        download(client, item, target)
    Part(item, target.folder).path.with_suffix(".part.json").write_text('{"ke')
    server.log.clear()
    download(client, item, target)
    assert ranges(server) == [""]


def test_receipts_of_a_stranger_are_not_overwritten(tmp_path: Path) -> None:
    for text in ("{", '{"format": "mine"}', "[]"):
        (tmp_path / RECEIPTS_FILE).write_text(text)
        with pytest.raises(StsError, match=RECEIPTS_FILE):
            Receipts(tmp_path)


def test_a_size_is_told_without_the_content(
    server: Server, client: Client, item: ArchiveFile
) -> None:
    assert size_at(client, item) == len(CONTENT)
    server.fail("/a.nwb", whole)
    assert size_at(client, item) == len(CONTENT)
    assert server.sent < 2 * len(CONTENT)
    server.fail("/a.nwb", endless)
    assert size_at(client, item) is None


def test_no_network_is_one_line_with_the_address(
    client: Client, item: ArchiveFile, target: Target
) -> None:
    with pytest.raises(UnreachableError, match=r"cannot reach http://127\.0\.0\.1:9/a\.nwb"):
        download(client, replace(item, address="http://127.0.0.1:9/a.nwb"), target)


def test_a_receipt_holds_what_is_needed_to_verify_again(
    client: Client, item: ArchiveFile, target: Target
) -> None:
    download(client, item, target)
    kept = json.loads((target.folder / RECEIPTS_FILE).read_text())["files"]["sub/a.nwb"]
    assert kept["sha256"] == SHA256
    assert kept["size"] == len(CONTENT)
    assert kept["address"] == item.address
    assert kept["date"].endswith("+00:00")
