"""What was fetched can be verified again."""

from pathlib import Path

from sts.archives.items import Receipt, Receipts, difference
from sts.base.files import sha256_of


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
