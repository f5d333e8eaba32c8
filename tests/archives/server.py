"""A server on loopback that answers as archives do, and misbehaves where a test tells it to."""

import json
import re
import ssl
import subprocess
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np

from sts.archives.client import Client
from sts.archives.http_rules import RetrySettings

# Short enough for tests, long enough for a machine that is busy.
QUICK = RetrySettings(
    timeout_s=0.5, retries=3, first_wait_s=0.01, longest_wait_s=0.05, slowest_bytes_per_s=1e5
)

PIECE_BYTES = 2**16

Fault = Callable[["Handler", "Page"], None]


@dataclass(frozen=True)
class Page:
    """What lies at one address."""

    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    ranges: bool = True


@dataclass(frozen=True)
class Request:
    """What was asked."""

    path: str
    headers: Mapping[str, str]


class Server(ThreadingHTTPServer):
    """Pages by their paths, faults that befall the next requests for them, and what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.log: list[Request] = []
        self.sent = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def at(self, path: str = "", *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def file(self, path: str, content: bytes, *, tag: str = '"v1"', ranges: bool = True) -> str:
        headers = {"ETag": tag} if tag else {}
        self.pages[path] = Page(content, headers, ranges=ranges)
        return self.at(path)

    def json(self, path: str, value: object) -> str:
        self.pages[path] = Page(json.dumps(value).encode(), {"Content-Type": "application/json"})
        return self.at(path)

    def redirect(self, path: str, target: str, *, status: int = 302) -> str:
        self.pages[path] = Page(b"", {"Location": target}, status=status)
        return self.at(path)

    def fail(self, path: str, *faults: Fault) -> None:
        self.faults[path].extend(faults)

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.log if request.path == path]

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    # Otherwise the content of a short answer waits 40 ms for its head to be acknowledged.
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.log.append(Request(self.path, dict(self.headers)))
        # Brackets of a query may come as they are or by their codes.
        known = (self.server.pages.get(each) for each in (unquote(self.path), path))
        page = next((each for each in known if each is not None), None)
        if page is None:
            page = Page(b"not here", status=404)
        faults = self.server.faults[path]
        if faults:
            faults.popleft()(self, page)
        else:
            self.answer(page)

    def do_CONNECT(self) -> None:
        self.server.log.append(Request("CONNECT", dict(self.headers)))
        self.head(403, {}, 0)

    def answer(self, page: Page, *, ranges: bool = True) -> None:
        start, end = self.wanted(page) if ranges else (0, len(page.content))
        if start >= len(page.content) > 0:
            self.head(416, {"Content-Range": f"bytes */{len(page.content)}"}, 0)
            return
        partial = ranges and self.asks_range(page)
        told = {"Content-Range": f"bytes {start}-{end - 1}/{len(page.content)}"} if partial else {}
        self.head(206 if partial else page.status, {**page.headers, **told}, end - start)
        self.send(page.content[start:end])

    def asks_range(self, page: Page) -> bool:
        same = self.headers.get("If-Range", page.headers.get("ETag")) == page.headers.get("ETag")
        return page.ranges and page.status == 200 and same and "Range" in self.headers

    def wanted(self, page: Page) -> tuple[int, int]:
        size = len(page.content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None or not self.asks_range(page):
            return 0, size
        return int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size

    def head(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def send(self, content: bytes) -> None:
        for at in range(0, len(content), PIECE_BYTES):
            piece = content[at : at + PIECE_BYTES]
            # Counted first: the client must not have what is not counted yet.
            self.server.sent += len(piece)
            self.wfile.write(piece)


def status(code: int, **headers: str) -> Fault:
    """Answer with a status and no content."""

    def fault(handler: Handler, page: Page) -> None:
        del page
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.head(code, named, 0)

    return fault


def cut(after: int) -> Fault:
    """Hang up after so many bytes of the content."""

    def fault(handler: Handler, page: Page) -> None:
        start, end = handler.wanted(page)
        whole = {"Content-Range": f"bytes {start}-{end - 1}/{len(page.content)}"}
        ranged = handler.asks_range(page)
        handler.head(
            206 if ranged else 200, {**page.headers, **(whole if ranged else {})}, end - start
        )
        handler.send(page.content[start:end][:after])
        handler.close_connection = True

    return fault


def hang_up(handler: Handler, page: Page) -> None:
    """Say nothing at all."""
    del page
    handler.close_connection = True


def slow(pause_s: float, *, piece: int = 1, pieces: int = 100) -> Fault:
    """Send little by little."""

    def fault(handler: Handler, page: Page) -> None:
        handler.head(200, page.headers, len(page.content))
        for at in range(pieces):
            handler.send(page.content[at * piece : (at + 1) * piece])
            time.sleep(pause_s)
        handler.close_connection = True

    return fault


def in_chunks(size: int, *, most: int = 10**9) -> Fault:
    """Send the content in chunks without saying how much it is; hang up after so many chunks."""

    def fault(handler: Handler, page: Page) -> None:
        handler.head(200, {**page.headers, "Transfer-Encoding": "chunked"}, None)
        pieces = [page.content[at : at + size] for at in range(0, len(page.content), size)]
        for piece in pieces[:most]:
            handler.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        if most >= len(pieces):
            handler.send(b"0\r\n\r\n")
        else:
            handler.close_connection = True

    return fault


def instead(content: bytes, **headers: str) -> Fault:
    """Send something else."""

    def fault(handler: Handler, page: Page) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.answer(Page(content, {**page.headers, **named}))

    return fault


def whole(handler: Handler, page: Page) -> None:
    """Send all of it, whatever range was asked for."""
    handler.answer(page, ranges=False)


def endless(handler: Handler, page: Page) -> None:
    """Never come to an end, and never say how much it is."""
    del page
    handler.head(200, {"Connection": "close"}, None)
    for _ in range(10_000):
        handler.send(b"x" * 65536)
    handler.close_connection = True


def new_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for localhost that nobody vouches for."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    arguments = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", "req", *arguments, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server on a thread of its own, over TLS if there is a context."""
    with Server() as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def asking(retry: RetrySettings = QUICK) -> Iterator[Client]:
    """Give a client that does not wait long."""
    client = Client(retry, rng=np.random.default_rng(0))
    try:
        yield client
    finally:
        client.close()
