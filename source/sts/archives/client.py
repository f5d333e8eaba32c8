"""Requests over HTTP: safe redirects, credentials for one host only, limits on time and size."""

import json
import logging
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError, InvalidHeader, ProtocolError, ReadTimeoutError

from sts import __version__
from sts.archives.http_rules import (
    Attempts,
    FetchError,
    Interrupted,
    NoConnection,
    RetrySettings,
    Transient,
    check_address,
    is_loopback,
    next_address,
    origin_of,
    parse_retry_after,
    show_address,
)

MAX_REDIRECTS: Final = 5
CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
REDIRECTS: Final = (301, 302, 303, 307, 308)
# A later attempt may succeed: too early, too slow, too many requests, errors of the server.
PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
STATUS_ADVICE: Final = {
    401: "the credentials were not accepted: make new ones",
    403: "access is not permitted: do you need credentials, or an account?",
    404: "there is no such thing: check the name, or --api-url",
    410: "it was removed",
}
READ_BYTES: Final = 2**18
# A page of a thousand assets is half a megabyte.
MAX_CONTENT_BYTES: Final = 2**26
# The largest value of `--workers`.
MAX_CONNECTIONS: Final = 64
HEADERS: Final = {
    "User-Agent": f"spike-train-scalograms/{__version__}",
    # Without compression: sizes and digests are those of the file.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True)
class Secret:
    """The text of an Authorization header; never shown."""

    header: str = field(repr=False)


class Answer:
    """The header of an answer; its content is read block by block."""

    def __init__(self, response: requests.Response, *, address: str, attempts: Attempts) -> None:
        self._response, self._attempts = response, attempts
        self._retry = attempts.settings
        self.address = address
        """The address that answered, after redirects."""
        self.status = response.status_code
        self.length: int | None = response.raw.length_remaining
        """Bytes of content, None if the server does not state them."""

    def header(self, name: str) -> str:
        """Return a header, "" without one."""
        return self._response.headers.get(name, "")

    def extent(self) -> tuple[int, int, int] | None:
        """Return the first and last byte of a range, and the size of its file."""
        numbers = CONTENT_RANGE.fullmatch(self.header("Content-Range"))
        return None if numbers is None else (int(numbers[1]), int(numbers[2]), int(numbers[3]))

    def expect(self, *statuses: int) -> None:
        """Raise unless the status is one of these."""
        if self.status in statuses:
            return
        with suppress(ValueError):
            name = f"{self.status} {HTTPStatus(self.status).phrase}".lower()
            if self.status in PASSING:
                wait_s = parse_retry_after(self.header("Retry-After"))
                raise Interrupted(f"the server answers {name}", wait_s=wait_s)
            advice = STATUS_ADVICE.get(self.status, "which is not what was requested")
            raise FetchError(f"{show_address(self.address)} answers {name}: {advice}")
        raise FetchError(f"{show_address(self.address)} answers {self.status}: is it a web server?")

    def blocks(self) -> Iterator[bytes]:
        """Yield the content as it arrives; a transfer that is too slow is interrupted."""
        mark_s, brought = time.monotonic(), 0
        while block := self._next():
            brought += len(block)
            yield block
            self._attempts.check_stop()
            spent_s = time.monotonic() - mark_s
            if spent_s >= self._retry.timeout_s:
                if brought < self._retry.slowest_bytes_per_s * spent_s:
                    raise Interrupted(f"only {brought} bytes arrived within {spent_s:.0f} s")
                mark_s, brought = time.monotonic(), 0

    def _next(self) -> bytes:
        raw = self._response.raw
        try:
            # Unlike read, it returns the available bytes instead of waiting for all of them.
            block: bytes = raw.read1(READ_BYTES, decode_content=False)
        except ReadTimeoutError as error:
            raise Interrupted(f"no byte arrived for {self._retry.timeout_s:g} s") from error
        except (HTTPError, OSError) as error:
            missing = f", {raw.length_remaining} bytes are missing" * bool(raw.length_remaining)
            raise Interrupted(f"the connection was cut{missing}") from error
        return block

    def content(self, *, most_bytes: int = MAX_CONTENT_BYTES) -> bytes:
        """Return the whole content, if it is not larger than it can be."""
        content = bytearray()
        for block in self.blocks():
            content += block
            if len(content) > most_bytes:
                raise FetchError(
                    f"{show_address(self.address)} answers a small request with more than "
                    f"{most_bytes / 1e6:.0f} MB: check --api-url"
                )
        return bytes(content)


class Client:
    """Request the content of addresses: follow redirects, wait, and try again."""

    def __init__(
        self,
        retry: RetrySettings | None = None,
        *,
        rng: np.random.Generator,
    ) -> None:
        self._stop = threading.Event()
        self.attempts = Attempts(retry or RetrySettings(), rng=rng, stop=self._stop)
        self._timeout_s = self.attempts.settings.timeout_s
        self._session = _new_session()

    @contextmanager
    def ask(
        self,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        secret: Secret | None = None,
    ) -> Iterator[Answer]:
        """Send one GET and give the answer; redirects get no credentials of another host.

        `requests` does not follow the redirects: it would follow them to plain http and to this
        machine, and read all of their content.
        """
        at = check_address(address)
        for _ in range(MAX_REDIRECTS + 1):
            known = {"Authorization": secret.header} if secret else {}
            with closing(self._send(at, {**(headers or {}), **known})) as response:
                location = response.headers.get("Location")
                if response.status_code not in REDIRECTS or location is None:
                    yield Answer(response, address=at, attempts=self.attempts)
                    return
                if response.raw.length_remaining == 0:
                    # Only this lets the connection serve the next request.
                    response.raw.drain_conn()
            target = next_address(at, location)
            if origin_of(target) != origin_of(at):
                # Also for later hops: another host must not use them by sending us back.
                secret = None
            at = target
        raise FetchError(
            f"{show_address(address)} leads to more than {MAX_REDIRECTS} redirects: is it right?"
        )

    def _send(self, address: str, headers: Mapping[str, str]) -> requests.Response:
        try:
            return self._session.get(
                address,
                headers=headers,
                timeout=self._timeout_s,
                proxies=_proxies_for(address),
                stream=True,
                allow_redirects=False,
            )
        except requests.exceptions.ReadTimeout as error:
            raise Interrupted(f"it did not answer within {self._timeout_s:g} s") from error
        except (requests.exceptions.RequestException, HTTPError, UnicodeError) as error:
            raise _explain(error, address) from error

    def content(self, address: str, *, secret: Secret | None = None) -> bytes:
        """Return the content of an address, if it is small."""

        def attempt() -> bytes:
            with self.ask(address, secret=secret) as answer:
                answer.expect(200)
                return answer.content()

        return self.attempts.repeat(attempt, show_address(address))

    def json(self, address: str) -> Any:
        """Return the answer of a server, in JSON."""
        try:
            return json.loads(self.content(address))
        except (ValueError, RecursionError) as error:
            raise FetchError(
                f"{show_address(address)} answers something that is not JSON: is --api-url right, "
                "or does the network require a login?"
            ) from error

    def stop(self) -> None:
        """Stop every transfer."""
        self._stop.set()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


class _SystemTrust(HTTPAdapter):
    """Trust the certificates of the system, or SSL_CERT_FILE; `requests` has its own list."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=trusted_certificates())

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=trusted_certificates())

    def cert_verify(self, conn: Any, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        conn.cert_reqs = "CERT_REQUIRED"


@cache
def trusted_certificates() -> ssl.SSLContext:
    """Return the certificates that the system, or SSL_CERT_FILE, trusts; reading them is slow."""
    return ssl.create_default_context()


def _new_session() -> requests.Session:
    """Return connections that stay open between requests and add no headers."""
    # Its log of requests contains the signatures of addresses.
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    session = requests.Session()
    # Otherwise passwords from ~/.netrc are sent.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers.update(HEADERS)
    for scheme in ("https://", "http://"):
        session.mount(scheme, _SystemTrust(pool_maxsize=MAX_CONNECTIONS))
    return session


def _proxies_for(address: str) -> dict[str, str]:
    """Return the proxy that the environment names for an address; none leads to this machine."""
    scheme, host, _ = origin_of(address)
    if scheme == "http" or is_loopback(host):
        return {}
    proxy = get_environ_proxies(address).get("https", "")
    if not proxy:
        return {}
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http" or not parts.hostname:
        raise FetchError(f"https_proxy is {show_address(proxy)}: http://HOST:PORT is needed")
    return {"https": proxy}


def _explain(error: Exception, address: str) -> FetchError | Transient:
    """Return the error that explains why a request failed."""
    cause = _first_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchError(
            f"{show_address(address)}: its certificate is not trusted ({cause.verify_message}); "
            "if your institute uses a proxy, set SSL_CERT_FILE"
        )
    # urllib3 itself reports a missing connection; it passes on errors that break a connection.
    if any(isinstance(arg, ProtocolError | InvalidHeader) for arg in error.args):
        return Interrupted(f"the connection was cut ({_describe(cause)})")
    return NoConnection(_describe(cause))


def _first_cause(error: BaseException) -> BaseException:
    """Return the first cause of an error: `requests` and urllib3 wrap it several times."""
    wrapped = (getattr(error, "reason", None), getattr(error, "original_error", None))
    candidates = (*wrapped, *error.args, error.__cause__)
    inner = next(
        (candidate for candidate in candidates if isinstance(candidate, BaseException)), None
    )
    return error if inner is None else _first_cause(inner)


def _describe(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).lower()[:160]
