"""A file on a server, read where it is."""

import io

import numpy as np
import pytest

from sts.archives.client import Client, Secret
from sts.archives.ranges import RANGE_BYTES, RangeFile
from sts.base.errors import StsError
from tests.archives.server import Server, cut, instead, status, whole

CONTENT = np.random.default_rng(0).bytes(5 * RANGE_BYTES + 1234)


@pytest.fixture
def remote(server: Server, client: Client) -> RangeFile:
    return RangeFile(client, server.file("/a", CONTENT))


def test_it_reads_as_a_local_file_does(remote: RangeFile) -> None:
    local = io.BytesIO(CONTENT)
    rng = np.random.default_rng(1)
    for _ in range(200):
        at, count = int(rng.integers(len(CONTENT) + 10)), int(rng.integers(1, 2 * RANGE_BYTES))
        assert remote.seek(at) == local.seek(at)
        assert remote.read(count) == local.read(count)
        assert remote.tell() == local.tell()
    assert remote.seek(-10, io.SEEK_END) == local.seek(-10, io.SEEK_END)
    assert remote.seek(3, io.SEEK_CUR) == local.seek(3, io.SEEK_CUR)
    assert remote.read() == local.read()
    with pytest.raises(ValueError, match="before the file"):
        remote.seek(-1)


def test_only_what_is_read_travels(server: Server, remote: RangeFile) -> None:
    assert remote.size == len(CONTENT)
    remote.seek(4 * RANGE_BYTES + 7)
    for _ in range(50):
        remote.read(100)
    assert remote.requests == len(server.log) == 2
    assert remote.brought_bytes == server.sent <= 2 * RANGE_BYTES + 1234


def test_neighbouring_blocks_come_together(server: Server, remote: RangeFile) -> None:
    remote.seek(RANGE_BYTES)
    remote.read(4 * RANGE_BYTES)
    assert len(server.log) == 2
    assert server.sent == 5 * RANGE_BYTES


def test_memory_is_bounded(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sts.archives.ranges.KEPT_BLOCKS", 2)
    remote = RangeFile(client, server.file("/a", CONTENT))
    for at in (0, 2, 4, 0, 2, 4):
        remote.seek(at * RANGE_BYTES)
        assert remote.read(10) == CONTENT[at * RANGE_BYTES :][:10]
        assert len(remote._blocks) <= 2
    assert len(server.log) > 4


@pytest.mark.parametrize("fault", [status(503), cut(10), cut(0)])
def test_what_may_pass_is_asked_again(server: Server, remote: RangeFile, fault: object) -> None:
    server.fail("/a", fault, fault)  # type: ignore[arg-type]
    remote.seek(2 * RANGE_BYTES)
    assert remote.read(100) == CONTENT[2 * RANGE_BYTES :][:100]


def test_a_server_without_ranges_is_refused(server: Server, client: Client) -> None:
    # More than the system keeps in its buffers between two that have stopped to listen.
    server.file("/b", CONTENT * 200, ranges=False)
    with pytest.raises(StsError, match=r"ignores ranges .* leave out --stream"):
        RangeFile(client, server.at("/b"))
    assert server.sent < 100 * len(CONTENT)


def test_a_server_that_forgets_ranges_is_refused(server: Server, remote: RangeFile) -> None:
    server.fail("/a", whole)
    remote.seek(3 * RANGE_BYTES)
    with pytest.raises(StsError, match="ignores ranges"):
        remote.read(10)


@pytest.mark.parametrize(
    "fault", [instead(CONTENT[:-1]), instead(CONTENT, ETag='"v2"'), instead(CONTENT + b"x")]
)
def test_a_file_that_changes_meanwhile_is_refused(
    server: Server, remote: RangeFile, fault: object
) -> None:
    server.fail("/a", fault)  # type: ignore[arg-type]
    remote.seek(3 * RANGE_BYTES)
    with pytest.raises(StsError, match="changed while it was read"):
        remote.read(10)


def test_a_redirect_is_followed_once_and_renewed_when_it_has_expired(
    server: Server, client: Client
) -> None:
    server.file("/blob", CONTENT)
    address = server.redirect("/asked", server.at("/blob?signature=1", host="localhost"))
    remote = RangeFile(client, address, secret=Secret("Basic c2VjcmV0"))
    remote.seek(2 * RANGE_BYTES)
    remote.read(10)
    assert [r.path for r in server.log] == ["/asked", "/blob?signature=1", "/blob?signature=1"]
    server.fail("/blob", status(403))
    remote.seek(4 * RANGE_BYTES)
    assert remote.read(10) == CONTENT[4 * RANGE_BYTES :][:10]
    assert [r.path for r in server.log][3:] == ["/blob?signature=1", "/asked", "/blob?signature=1"]
    for request in server.log:
        assert ("Authorization" in request.headers) is (request.path == "/asked")
