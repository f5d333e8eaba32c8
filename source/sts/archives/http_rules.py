"""The rules for requests: allowed addresses, waits, and the number of attempts."""

import ipaddress
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

import numpy as np
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    MaxRetryError,
    ProtocolError,
)
from urllib3.util import Retry

from sts.base.errors import StsError

T = TypeVar("T")

logger = logging.getLogger("sts")

# After an attempt with this number of bytes, the count of attempts starts again.
WORTH_BYTES: Final = 2**24
# Number of attempts without any connection before the network counts as missing.
NO_NETWORK: Final = 2


@dataclass(frozen=True, kw_only=True)
class RetrySettings:
    """How long to wait for a server, and how often to try again."""

    timeout_s: float = 30.0
    """For a connection, for each next byte, and between two measurements of the speed."""
    retries: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    slowest_bytes_per_s: float = 1000.0

    def __post_init__(self) -> None:
        """Refuse values that would wait for ever or not at all."""
        if not self.timeout_s > 0 or self.retries < 0:
            raise StsError(
                f"expected --timeout above 0 and --retries of at least 0, not {self.timeout_s:g} "
                f"and {self.retries}"
            )


class FetchError(StsError):
    """Explain why a request failed, and what to do."""


class UnreachableError(FetchError):
    """Say that a server cannot be reached from here."""


class Stopped(Exception):  # noqa: N818 - not an error: it was requested
    """End a transfer in the middle; the fetched part is kept."""


# urllib3 counts failures by their kind: before a connection, on a connection, or other.
class Transient(HTTPError):  # noqa: N818 - a verdict on an attempt, not an error of a program
    """Explain the failure of an attempt that may succeed the next time."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        """The wait that the server requested."""


class Interrupted(Transient, ProtocolError):  # noqa: N818 - as above
    """Explain why an answer is incomplete."""


class NoConnection(Transient, ConnectTimeoutError):  # noqa: N818 - as above
    """Say why there was no connection."""


class WrongContent(Transient):
    """Explain why the content is wrong; there is only one more attempt."""


def parse_retry_after(retry_after: str) -> float:
    """Return the seconds in a Retry-After header, or until its date; 0 without one."""
    try:
        return float(Retry().parse_retry_after(retry_after))
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


class Attempts:
    """Attempts, counted by urllib3's `Retry`, and the waits between them.

    The loop of urllib3 is not used for three reasons: it does not notice failures after the header
    of an answer, or the progress of an attempt; its waits cannot be interrupted; and its waits
    depend on the global random state.
    """

    def __init__(
        self, settings: RetrySettings, *, rng: np.random.Generator, stop: threading.Event
    ) -> None:
        self.settings, self._rng, self._stop = settings, rng, stop
        self._one_at_a_time = threading.Lock()
        self._has_worked = False

    def check_stop(self) -> None:
        """Raise an error if the transfers were stopped."""
        if self._stop.is_set():
            raise Stopped

    def repeat(
        self, attempt: Callable[[], T], what: str, *, reached: Callable[[], int] = lambda: 0
    ) -> T:
        """Return what `attempt` returns, repeated while it fails and may still succeed.

        Parameters
        ----------
        what
            The address, for messages.
        reached
            Returns how many bytes of the content are kept so far.
        """
        fresh = Retry(total=self.settings.retries, connect=NO_NETWORK, other=1)
        budget, far = fresh, reached()
        while True:
            self.check_stop()
            try:
                result = attempt()
            except Transient as reason:
                if reached() - far >= WORTH_BYTES:
                    budget = fresh.new(other=budget.other)
                if self._has_worked:
                    # A missing connection means no network only if there was never a connection.
                    budget = budget.new(connect=None)
                far = max(far, reached())
                try:
                    budget = budget.increment("GET", what, error=reason)
                except MaxRetryError:
                    raise _give_up(reason, what, len(budget.history) + 1) from reason
                wait_s = self._wait_s(len(budget.history), reason.wait_s)
                logger.debug("%s: %s; again in %.1f s", what, reason, wait_s)
                self._stop.wait(wait_s)
            else:
                self._has_worked = True
                return result

    def _wait_s(self, failures: int, asked_s: float) -> float:
        settings = self.settings
        # Clients that lost the connection together must not try again together.
        with self._one_at_a_time:
            share = float(self._rng.uniform(0.5, 1.0))
        grown_s = settings.first_wait_s * 2.0 ** min(failures - 1, 30) * share
        return min(max(grown_s, asked_s), settings.longest_wait_s)


def _give_up(reason: Transient, what: str, attempts: int) -> FetchError:
    if isinstance(reason, NoConnection):
        return UnreachableError(
            f"cannot reach {what}: {reason}; run it where there is internet (on a cluster the "
            "login node), or set https_proxy"
        )
    times = "once" if attempts == 1 else f"{attempts} times"
    return FetchError(f"{what}: {reason} (tried {times}); the same command can continue later")


PORTS = {"https": 443, "http": 80}
# Names of devices on Windows.
DEVICES = frozenset({"con", "prn", "aux", "nul"})


def check_address(address: str) -> str:
    """Return an address with encrypted traffic or on this machine; raise for any other."""
    try:
        parts = urlsplit(address)
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host = "", None
    safe = scheme == "https" or (scheme == "http" and is_loopback(host or ""))
    if not host or not safe or parts.username is not None or not _is_plain(address):
        raise FetchError(
            f"refused the address {show_address(address)}: https://HOST/... is needed "
            "(http:// on this machine only, no user name)"
        )
    return address


def _is_plain(address: str) -> bool:
    # Some programs end the host name at a backslash, others do not.
    return address.isascii() and address.isprintable() and not set(address) & set(" \\")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def origin_of(address: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an address."""
    parts = urlsplit(address)
    return parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme]


def next_address(address: str, location: str) -> str:
    """Return the target of a redirect, if it may be followed."""
    target = check_address(urljoin(address, location))
    # A server on the internet must not cause requests to services on this machine.
    if is_loopback(origin_of(target)[1]) and not is_loopback(origin_of(address)[1]):
        raise FetchError(f"refused the redirect of {show_address(address)} to this machine")
    return target


def mirror_address(base: str, address: str) -> str:
    """Return the address of the same file on a mirror at `base`; "" is no mirror."""
    if not base:
        return address
    parts = urlsplit(address)
    path = urlunsplit(("", "", parts.path, parts.query, ""))
    return check_address(base.rstrip("/") + path)


def show_address(address: str) -> str:
    """Return an address for messages, without password and query (perhaps a signature)."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        text = urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        text = address.partition("?")[0]
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]


def check_place(text: str) -> str:
    """Return a relative path from a server, if it stays inside the folder of the download."""
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
    # On Windows a backslash or a colon leads to another place.
    return (
        part.strip(" .") != ""
        and not set(part) & set('\\:*?"<>|')
        and part.split(".")[0].casefold() not in DEVICES
        and len(part.encode()) <= 240
    )
