"""Who may be asked, where a redirect may lead, and which names others may give to files."""

import pytest

from sts.archives.http_rules import (
    check_address,
    check_place,
    mirror_address,
    next_address,
    show_address,
)
from sts.base.errors import StsError


@pytest.mark.parametrize(
    "address",
    [
        "https://api.dandiarchive.org/api",
        "http://127.0.0.1:8000/api",
        "http://localhost/x?a=[1],(2)",
        "http://[::1]:80/",
        "https://192.168.0.1/",
    ],
)
def test_https_anywhere_and_http_on_this_machine_are_asked(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "http://api.dandiarchive.org/api",
        "http://127.0.0.1.example.org/",
        "http://192.168.0.1/",
        "file:///etc/passwd",
        "ftp://example.org/x",
        "https://ada:secret@example.org/",
        "https:///nowhere",
        "https://example.org:port/",
        "https://example.org/a b",
        "https://example.org\\@127.0.0.1/x",
        "https://example.org/\r\nX-Header: 1",
        "//example.org/x",
        "",
    ],
)
def test_no_other_address_is_asked(address: str) -> None:
    with pytest.raises(StsError, match="refused the address") as refused:
        check_address(address)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_redirect_stays_on_https_and_off_this_machine() -> None:
    start = "https://example.org/a/b"
    assert next_address(start, "c?d=e") == "https://example.org/a/c?d=e"
    assert next_address(start, "//other.org/x") == "https://other.org/x"
    for location in ("http://example.org/x", "file:///etc/passwd", "https://127.0.0.1/x"):
        with pytest.raises(StsError, match="refused"):
            next_address(start, location)


def test_a_mirror_has_the_same_path() -> None:
    address = "https://raw.githubusercontent.com/a/b/c.csv?raw=1"
    assert (
        mirror_address("http://127.0.0.1:1/m/", address) == "http://127.0.0.1:1/m/a/b/c.csv?raw=1"
    )
    assert mirror_address("", address) == address
    with pytest.raises(StsError, match="refused"):
        mirror_address("http://mirror.org", address)


def test_what_is_shown_holds_no_signature() -> None:
    address = "https://s3.org/blobs/1?X-Signature=secret&X-Key=secret"
    assert show_address(address) == "https://s3.org/blobs/1"
    assert show_address("https://ada:secret@s3.org:1/x") == "https://s3.org:1/x"


@pytest.mark.parametrize("place", ["a.nwb", "sub-1/sub-1_ses-2_icephys.nwb", "ü/é.csv", "..a/b.."])
def test_a_file_below_the_folder_may_have_any_name(place: str) -> None:
    assert check_place(place) == place


@pytest.mark.parametrize(
    "place",
    [
        *("", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a/.../b"),
        *("C:\\x", "C:x", "a\\..\\x", "a\0b", "a\nb", "nul", "a/con.txt", "x" * 300),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(place: str) -> None:
    with pytest.raises(StsError, match="refused the file name"):
        check_place(place)
