"""Whether a file that came is the file that was wanted, and what is kept of it."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from sts.archives.items import ArchiveFile, Receipt, Receipts, difference, examine_file
from sts.base.errors import StsError
from sts.base.files import sha256_of

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ITEM = ArchiveFile(place="x", address="https://example.org/x")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    return path


def md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"size": len(CONTENT)},
        {"sha256": SHA256},
        {"sha256": SHA256[:8]},
        {"begins": CONTENT[:8]},
        {"dandi_etag": f"{md5(md5(CONTENT)).hex()}-1"},
    ],
)
def test_a_file_that_agrees_with_all_that_is_known_is_sound(
    path: Path, known: dict[str, object]
) -> None:
    found = examine_file(path, replace(ITEM, **known))  # type: ignore[arg-type]
    assert (found.size, found.sha256, found.fault) == (len(CONTENT), SHA256, "")


@pytest.mark.parametrize(
    ("known", "fault"),
    [
        ({"size": len(CONTENT) + 1}, "10240 bytes, 10241 are expected"),
        ({"sha256": "0" * 64}, "000000000000 is expected"),
        ({"sha256": "0" * 8}, "00000000 is expected"),
        ({"begins": b"\x89HDF"}, "begins with"),
        ({"dandi_etag": f"{'0' * 32}-1"}, "DANDI etag"),
        ({"sha256": SHA256, "size": 1}, "1 are expected"),
    ],
)
def test_whatever_contradicts_is_named(path: Path, known: dict[str, object], fault: str) -> None:
    assert fault in examine_file(path, replace(ITEM, **known)).fault  # type: ignore[arg-type]


def test_the_etag_is_that_of_dandi(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    for size, etag in (
        (0, "d41d8cd98f00b204e9800998ecf8427e-0"),
        (5, "cdf1ab5043728c027131cc2810a8f59f-1"),
        (2**26, "a78211a9709e5a28de9e2fd6eda275f2-1"),
        (2**26 + 1, "d4b4f6056a5f5a23cda477d1895a2bbd-2"),
    ):
        with path.open("wb") as file:
            file.truncate(size)
        assert examine_file(path, replace(ITEM, dandi_etag=etag)).fault == ""


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(StsError, match="cannot read"):
        examine_file(tmp_path / "x", ITEM)


def fetched(path: Path, folder: Path) -> Receipt:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0123456789")
    receipt = Receipt(
        size=10, sha256=sha256_of(path), source="test", address="https://a", key="k", date="d"
    )
    Receipts(folder).put(path.relative_to(folder).as_posix(), receipt)
    return receipt


def test_a_receipt_is_found_by_the_next_process(tmp_path: Path) -> None:
    receipt = fetched(tmp_path / "sub-1" / "a.nwb", tmp_path)
    assert dict(Receipts(tmp_path)) == {"sub-1/a.nwb": receipt}
    assert Receipts(tmp_path).get("sub-1/a.nwb") == receipt
    assert Receipts(tmp_path).get("other") is None


def test_a_change_since_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    receipt = fetched(path, tmp_path)
    assert difference(path, receipt) == ""
    path.write_bytes(b"012345678?")
    assert "sha256" in difference(path, receipt)
    path.write_bytes(b"0123")
    assert difference(path, receipt) == "has 4 bytes, 10 were fetched"
    path.unlink()
    assert difference(path, receipt) == "is gone"
