"""Which addresses are asked: https anywhere, plain http on this machine only, and nothing else."""

import ipaddress
from contextlib import suppress
from pathlib import PurePosixPath
from urllib.parse import urljoin, urlsplit, urlunsplit

from sts.archives.patience import FetchError

PORTS = {"https": 443, "http": 80}
# What Windows takes for a device, and no file system for a plain name.
DEVICES = frozenset({"con", "prn", "aux", "nul"})


def check_address(address: str) -> str:
    """Return an address nobody on the way can read or change, else raise."""
    try:
        parts = urlsplit(address)
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host = "", None
    safe = scheme == "https" or (scheme == "http" and is_loopback(host or ""))
    if not host or not safe or parts.username is not None or not _is_plain(address):
        raise FetchError(
            f"refused the address {show_address(address)}: https://HOST/... is wanted "
            "(http:// on this machine only, no user name)"
        )
    return address


def _is_plain(address: str) -> bool:
    # A backslash ends the name of a host for some readers of addresses, and not for others.
    return address.isascii() and address.isprintable() and not set(address) & set(" \\")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def origin_of(address: str) -> tuple[str, str, int]:
    """Return scheme, host and port: who is asked."""
    parts = urlsplit(address)
    return parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme]


def next_address(address: str, location: str) -> str:
    """Return where a redirect leads, if that may be followed."""
    target = check_address(urljoin(address, location))
    # What the internet says must not make this machine ask its own services.
    if is_loopback(origin_of(target)[1]) and not is_loopback(origin_of(address)[1]):
        raise FetchError(f"refused the redirect of {show_address(address)} to this machine")
    return target


def mirror_address(base: str, address: str) -> str:
    """Return `address` as a mirror at `base` has it; "" is no mirror."""
    if not base:
        return address
    parts = urlsplit(address)
    path = urlunsplit(("", "", parts.path, parts.query, ""))
    return check_address(base.rstrip("/") + path)


def show_address(address: str) -> str:
    """Return an address for people: without its query, which may be a signature, or a password."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        text = urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        text = address.partition("?")[0]
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]


def check_place(text: str) -> str:
    """Return a relative path that others have named, if it stays below the folder it is put in."""
    path = PurePosixPath(text)
    whole = (
        text
        and not path.is_absolute()
        and all(_is_name(part) for part in text.rstrip("/").split("/"))
        and text.isprintable()
    )
    if not whole:
        raise FetchError(f"refused the file name {text[:100]!r}: it leads out of the folder")
    return str(path)


def _is_name(part: str) -> bool:
    # A backslash or a colon leads elsewhere on Windows.
    return (
        part.strip(" .") != ""
        and not set(part) & set('\\:*?"<>|')
        and part.split(".")[0].casefold() not in DEVICES
        and len(part.encode()) <= 240
    )
