"""What was fetched can be verified again, wherever it is used."""

from pathlib import Path

from sts.archives.receipts import Receipt, Receipts, changed_since_fetched, receipt_of
from sts.base.files import sha256_of


def fetched(path: Path, folder: Path) -> Receipt:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0123456789")
    receipt = Receipt(
        size=10, sha256=sha256_of(path), source="test", address="https://a", key="k", date="d"
    )
    Receipts(folder).put(path.relative_to(folder).as_posix(), receipt)
    return receipt


def test_a_receipt_is_found_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data" / "sub-1" / "a.nwb"
    receipt = fetched(path, tmp_path / "data")
    assert receipt_of(path) == receipt
    assert receipt_of(tmp_path / "data" / "other") is None
    assert receipt_of(tmp_path / "nowhere") is None


def test_a_change_since_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    assert fetched(path, tmp_path).size == 10
    assert changed_since_fetched(path) == ""
    path.write_bytes(b"012345678?")
    assert "sha256" in changed_since_fetched(path)
    path.write_bytes(b"0123")
    assert changed_since_fetched(path) == "has 4 bytes, 10 were fetched"


def test_who_was_never_fetched_has_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "mine.nwb"
    path.write_bytes(b"x")
    assert changed_since_fetched(path) == ""
