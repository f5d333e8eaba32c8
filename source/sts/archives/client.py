"""Asking servers over HTTP: where redirects may lead, who sees credentials, what is waited for.

The standard library is enough. The client package of DANDI is not used: its REST interface is
three addresses, and it leaves a file whose digest is wrong under its final name.
"""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import numpy as np

from sts import __version__
from sts.archives.addresses import checked_address, next_address, origin_of, shown
from sts.archives.connections import Connections
from sts.archives.patience import FetchError, Patience, Transient, Waits

MAX_HOPS: Final = 5
REDIRECTS: Final = (301, 302, 303, 307, 308)
# Too early, too slow, too many, and what servers say when they are ill.
PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
ADVICE: Final = {
    401: "the credentials were not accepted: make new ones",
    403: "access is not permitted: do you need credentials, or an account?",
    404: "there is no such thing: check the name, or --api-url",
    410: "it was taken away",
}
BLOCK_BYTES: Final = 2**18
# A page of a thousand assets is half a megabyte.
MAX_ANSWER_BYTES: Final = 2**26
HEADERS: Final = {
    "User-Agent": f"spike-train-scalograms/{__version__}",
    # Sizes and digests are those of the file, not of what a server packed it into.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True)
class Secret:
    """What an Authorization header says; never shown."""

    header: str = field(repr=False)


class Answer:
    """The beginning of an answer; its content is read block by block."""

    def __init__(
        self, response: http.client.HTTPResponse, *, address: str, patience: Patience, waits: Waits
    ) -> None:
        self._response, self._patience, self._waits = response, patience, waits
        self.address = address
        """Who answered in the end, after redirects."""
        self.status = response.status
        self.length = response.length
        """Bytes of content, None where the server does not tell."""

    def header(self, name: str) -> str:
        """Return a header, "" where there is none."""
        return self._response.getheader(name) or ""

    def expect(self, *statuses: int) -> None:
        """Raise unless the server did what it was asked for."""
        if self.status in statuses:
            return
        with suppress(ValueError):
            name = f"{self.status} {HTTPStatus(self.status).phrase}".lower()
            if self.status in PASSING:
                wait_s = seconds_of(self.header("Retry-After"))
                raise Transient(f"the server answers {name}", wait_s=wait_s)
            advice = ADVICE.get(self.status, "which is not what was asked for")
            raise FetchError(f"{shown(self.address)} answers {name}: {advice}")
        raise FetchError(f"{shown(self.address)} answers {self.status}: is it a web server?")

    def blocks(self) -> Iterator[bytes]:
        """Yield the content as it comes; too slow is as bad as not at all."""
        mark_s, brought = time.monotonic(), 0
        while block := self._next():
            brought += len(block)
            yield block
            self._waits.check()
            spent_s = time.monotonic() - mark_s
            if spent_s >= self._patience.timeout_s:
                if brought < self._patience.slowest_bytes_per_s * spent_s:
                    raise Transient(f"only {brought} bytes came within {spent_s:.0f} s")
                mark_s, brought = time.monotonic(), 0
        if self._response.length:
            raise Transient(f"the connection was cut, {self._response.length} bytes were to come")

    def _next(self) -> bytes:
        try:
            # Unlike read, it returns what is there instead of waiting for all that was asked for.
            return self._response.read1(BLOCK_BYTES)
        except TimeoutError as error:
            raise Transient(f"no byte came for {self._patience.timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise Transient("the connection was cut") from error

    def content(self, *, most_bytes: int = MAX_ANSWER_BYTES) -> bytes:
        """Return the whole content, if it is not larger than it can be."""
        content = bytearray()
        for block in self.blocks():
            content += block
            if len(content) > most_bytes:
                raise FetchError(
                    f"{shown(self.address)} answers more than {most_bytes / 1e6:.0f} MB where "
                    "little was asked for: check --api-url"
                )
        return bytes(content)


def seconds_of(retry_after: str) -> float:
    """Return what Retry-After says, in seconds or as a date; 0 where it says nothing."""
    if retry_after.isdecimal():
        return float(min(int(retry_after), 10**6))
    with suppress(ValueError, TypeError):
        when = parsedate_to_datetime(retry_after)
        return max((when - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0


class Client:
    """Asks, follows, waits and asks again."""

    def __init__(
        self,
        patience: Patience | None = None,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.patience = patience or Patience()
        self._stop = threading.Event()
        self.waits = Waits(self.patience, rng=rng, stop=self._stop)
        self._connections = Connections(self.patience.timeout_s)

    @contextmanager
    def ask(
        self,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        secret: Secret | None = None,
    ) -> Iterator[Answer]:
        """Send one GET and give the answer; redirects are followed, credentials stay behind."""
        at = checked_address(address)
        for _ in range(MAX_HOPS + 1):
            known = {"Authorization": secret.header} if secret else {}
            exchange = self._connections.ask(at, {**HEADERS, **(headers or {}), **known})
            response = exchange[1]
            location = response.getheader("Location") if response.status in REDIRECTS else None
            try:
                if location is None:
                    yield Answer(response, address=at, patience=self.patience, waits=self.waits)
                    return
                target = next_address(at, location)
            finally:
                self._connections.give_back(exchange, at)
            if origin_of(target) != origin_of(at):
                # For good: another host must not send us back with what it wants done.
                secret = None
            at = target
        raise FetchError(f"{shown(address)} leads to more than {MAX_HOPS} redirects: is it right?")

    def content(self, address: str, *, secret: Secret | None = None) -> bytes:
        """Return what lies at an address that holds little."""

        def attempt() -> bytes:
            with self.ask(address, secret=secret) as answer:
                answer.expect(200)
                return answer.content()

        return self.waits.patiently(attempt, shown(address))

    def json(self, address: str) -> Any:
        """Return what a server answers in JSON."""
        try:
            return json.loads(self.content(address))
        except (ValueError, RecursionError) as error:
            raise FetchError(
                f"{shown(address)} answers something that is not JSON: is --api-url right, or does "
                "the network want a login?"
            ) from error

    def stop(self) -> None:
        """Let every transfer end where it is."""
        self._stop.set()

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()
