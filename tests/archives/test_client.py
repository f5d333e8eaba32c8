"""Asking a server that is slow, ill, or sends us elsewhere."""

import gc
import gzip
import logging
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest

from sts.archives.client import Client, Secret, trusted_certificates
from sts.archives.http_rules import (
    Attempts,
    FetchError,
    Interrupted,
    RetrySettings,
    Stopped,
    UnreachableError,
    parse_retry_after,
)
from sts.base.errors import StsError
from tests.archives.server import (
    QUICK,
    Handler,
    Page,
    Server,
    asking,
    cut,
    endless,
    hang_up,
    in_chunks,
    instead,
    new_certificate,
    serving,
    slow,
    status,
)

SECRET = Secret("Basic c2VjcmV0")


def test_an_answer_in_json_is_returned(server: Server, client: Client) -> None:
    assert client.json(server.json("/a", {"b": [1, None]})) == {"b": [1, None]}


@pytest.mark.parametrize(
    "fault", [status(500), status(502), status(503), status(429), status(408), hang_up, cut(3)]
)
def test_what_may_pass_is_asked_again(server: Server, client: Client, fault: object) -> None:
    address = server.json("/a", list(range(100)))
    server.fail("/a", fault, fault)  # type: ignore[arg-type]
    assert client.json(address) == list(range(100))
    assert len(server.asked("/a")) == 3


def test_an_answer_in_chunks_is_whole_or_asked_for_again(server: Server, client: Client) -> None:
    address = server.json("/a", list(range(1000)))
    server.fail("/a", in_chunks(100, most=3), in_chunks(700))
    assert client.json(address) == list(range(1000))
    assert len(server.asked("/a")) == 2


def two_lengths(handler: Handler, page: Page) -> None:
    handler.head(200, {"Content-Length": "1, 2"}, None)
    handler.send(page.content)
    handler.close_connection = True


# urllib3 leaves the connection of such an answer to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_answer_of_two_lengths_is_asked_for_again(server: Server, client: Client) -> None:
    address = server.json("/a", 1)
    server.fail("/a", two_lengths)
    assert client.json(address) == 1
    server.fail("/a", *[two_lengths] * 9)
    with pytest.raises(StsError, match=r"the connection was cut.*tried 4 times"):
        client.json(address)
    gc.collect()


def test_attempts_are_bounded(server: Server, client: Client) -> None:
    address = server.json("/a", 1)
    server.fail("/a", *[status(503)] * 10)
    with pytest.raises(StsError, match=r"503 service unavailable.*tried 4 times") as failed:
        client.json(address)
    assert server.at("/a") in str(failed.value)
    assert len(server.asked("/a")) == 1 + QUICK.retries


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 418, 599, 304])
def test_a_final_answer_is_not_asked_for_again(server: Server, client: Client, code: int) -> None:
    address = server.json("/a", 1)
    server.fail("/a", status(code))
    with pytest.raises(StsError, match=str(code)):
        client.json(address)
    assert len(server.asked("/a")) == 1


def waited_s(server: Server, retry_after: str, *, longest_wait_s: float) -> float:
    server.json("/a", 1)
    server.fail("/a", status(503, Retry_After=retry_after))
    with asking(replace(QUICK, longest_wait_s=longest_wait_s)) as client:
        start_s = time.monotonic()
        assert client.json(server.at("/a")) == 1
        return time.monotonic() - start_s


def test_the_wait_a_server_asks_for_is_kept_within_bounds(server: Server) -> None:
    assert waited_s(server, "1", longest_wait_s=5) >= 1.0
    assert 0.2 <= waited_s(server, "86400", longest_wait_s=0.2) < 1.0


def test_a_wait_is_told_in_seconds_or_as_a_date() -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    # A date tells whole seconds, and the clock goes on.
    assert 55 < parse_retry_after(in_a_minute) <= 60
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    for text, seconds in {"120": 120, "soon": 0, "": 0, "-5": 0}.items():
        assert parse_retry_after(text) == seconds


def test_waits_grow_and_differ_by_the_seed() -> None:
    class Clock:
        waits: list[float]

        def is_set(self) -> bool:
            return False

        def wait(self, seconds: float) -> None:
            self.attempts.append(seconds)

    def waits(seed: int) -> list[float]:
        clock = Clock()
        clock.attempts = []
        retry = RetrySettings(retries=8, first_wait_s=1.0, longest_wait_s=60.0)
        one = Attempts(retry, rng=np.random.default_rng(seed), stop=clock)  # type: ignore[arg-type]

        def attempt() -> None:
            raise Interrupted("ill")

        with pytest.raises(FetchError):
            one.repeat(attempt, "x")
        return clock.attempts

    first = waits(1)
    assert first == waits(1) != waits(2)
    for number, wait_s in enumerate(first):
        assert min(2.0**number / 2, 60) <= wait_s <= min(2.0**number, 60)


def test_a_byte_now_and_then_is_too_slow(server: Server) -> None:
    address = server.file("/a", b"1" * 1000)
    server.fail("/a", slow(0.1), slow(0.1))
    start_s = time.monotonic()
    once_more = replace(QUICK, retries=1)
    with asking(once_more) as client, pytest.raises(StsError, match=r"only \d+ bytes arrived"):
        client.json(address)
    # Two attempts of half a second each, against ten seconds that the content would take.
    assert time.monotonic() - start_s < 5.0


def test_silence_is_not_waited_out(server: Server) -> None:
    address = server.file("/a", b"1" * 1000)
    server.fail("/a", slow(3.0, pieces=1), slow(3.0, pieces=1))
    hasty = replace(QUICK, timeout_s=0.2, retries=1)
    with asking(hasty) as client, pytest.raises(StsError, match=r"no byte arrived for 0\.2 s"):
        client.json(address)


def test_a_large_answer_is_refused(server: Server, client: Client) -> None:
    address = server.json("/a", 1)
    server.fail("/a", endless)
    with pytest.raises(StsError, match="more than 67 MB"):
        client.json(address)


@pytest.mark.parametrize("content", [b"<html>please log in</html>", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_not_json_is_named(server: Server, client: Client, content: bytes) -> None:
    address = server.json("/a", 1)
    server.fail("/a", instead(content))
    with pytest.raises(StsError, match="not JSON"):
        client.json(address)


def test_five_redirects_are_followed_and_no_more(server: Server, client: Client) -> None:
    server.json("/5", "here")
    for hop in range(5):
        server.redirect(f"/{hop}", f"/{hop + 1}", status=(301, 302, 303, 307, 308)[hop])
    server.redirect("/more", "/0")
    assert client.json(server.at("/0")) == "here"
    with pytest.raises(StsError, match="more than 5 redirects"):
        client.json(server.at("/more"))


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://example.org/x", "gopher://x"]
)
def test_a_redirect_to_elsewhere_is_refused(server: Server, client: Client, target: str) -> None:
    with pytest.raises(StsError, match="refused the address"):
        client.json(server.redirect("/a", target))


def test_credentials_stay_with_the_host_they_were_given_for(server: Server, client: Client) -> None:
    server.json("/end", 1)
    # One and the same machine, but another name, which is another host.
    server.redirect("/away", server.at("/back", host="localhost"))
    server.redirect("/back", server.at("/end"))
    server.redirect("/stay", "/end")
    client.content(server.at("/stay"), secret=SECRET)
    assert [bool(r.headers.get("Authorization")) for r in server.log] == [True, True]
    server.log.clear()
    client.content(server.at("/away"), secret=SECRET)
    # Nor are they given again to the host that others have sent us to.
    told = [(r.path, bool(r.headers.get("Authorization"))) for r in server.log]
    assert told == [("/away", True), ("/back", False), ("/end", False)]


def test_credentials_are_never_told(
    server: Server, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.fail("/a", status(503), status(401))
    with pytest.raises(StsError) as failed:
        client.content(server.at("/a"), secret=SECRET)
    assert "c2VjcmV0" not in str(failed.value) + caplog.text + repr(SECRET)
    assert caplog.text


def test_connections_are_kept_open(server: Server, client: Client) -> None:
    ports = set()

    def note(handler: Handler, page: Page) -> None:
        ports.add(handler.client_address[1])
        handler.answer(page)

    address = server.json("/a", 1)
    server.fail("/a", *[note] * 5)
    for _ in range(5):
        client.json(address)
    assert len(ports) == 1


def last(handler: Handler, page: Page) -> None:
    """Answer, and close the connection without having said so."""
    handler.answer(page)
    handler.close_connection = True


def test_a_connection_that_was_closed_meanwhile_is_replaced(server: Server, client: Client) -> None:
    address = server.json("/a", 1)
    for _ in range(3):
        server.fail("/a", last)
        assert client.json(address) == 1
    assert len(server.asked("/a")) == 3


def test_a_server_that_is_not_there_is_one_line(client: Client) -> None:
    with pytest.raises(UnreachableError, match=r"cannot reach http://127\.0\.0\.1:9/x") as failed:
        client.json("http://127.0.0.1:9/x")
    assert "login node" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_network_that_was_there_is_waited_for(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    def refuse(address: tuple[str, int], *_: object, **__: object) -> None:
        attempts.append(address[0])
        raise ConnectionRefusedError("refused")

    address = server.json("/a", 1)
    monkeypatch.setattr("urllib3.util.connection.create_connection", refuse)
    with pytest.raises(UnreachableError):
        client.json(address)
    # Nothing ever worked: two more attempts are enough to know.
    assert len(attempts) == 3
    monkeypatch.undo()
    assert client.json(address) == 1
    client.close()
    monkeypatch.setattr("urllib3.util.connection.create_connection", refuse)
    attempts.clear()
    with pytest.raises(UnreachableError):
        client.json(address)
    assert len(attempts) == 1 + QUICK.retries


def test_everything_can_be_stopped(server: Server, client: Client) -> None:
    client.stop()
    with pytest.raises(Stopped):
        client.json(server.json("/a", 1))
    assert server.log == []


@pytest.mark.parametrize("retry", [{"timeout_s": 0}, {"retries": -1}, {"timeout_s": float("nan")}])
def test_impatience_and_patience_without_end_are_refused(retry: dict[str, float]) -> None:
    with pytest.raises(StsError, match="--timeout"):
        RetrySettings(**retry)  # type: ignore[arg-type]


def test_a_proxy_is_asked_for_others_but_not_for_this_machine(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", f"http://ada:s3cret@127.0.0.1:{server.port}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert client.json(server.json("/a", 1)) == 1
    with pytest.raises(UnreachableError, match="tunnel connection failed") as failed:
        client.json("https://archive.invalid/x")
    assert "s3cret" not in str(failed.value)
    # ada:s3cret, twice encoded
    told = {request.headers["Proxy-Authorization"] for request in server.asked("CONNECT")}
    assert told == {"Basic YWRhOnMzY3JldA=="}


def test_passwords_of_other_programs_are_not_sent(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    client.json(server.json("/a", 1))
    assert "Authorization" not in server.log[0].headers


def test_cookies_are_not_given_back(server: Server, client: Client) -> None:
    address = server.json("/a", 1)
    server.fail("/a", instead(b"1", Set_Cookie="visitor=7; Path=/"))
    for _ in range(2):
        client.json(address)
    assert all("Cookie" not in request.headers for request in server.log)


def test_a_packed_answer_is_not_unpacked(server: Server, client: Client) -> None:
    # Digests are those of the file as it is stored.
    packed = gzip.compress(b"1")
    server.file("/a", packed)
    server.fail("/a", instead(packed, Content_Encoding="gzip"))
    assert client.content(server.at("/a")) == packed
    assert server.log[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_only_what_the_system_or_the_user_trusts_is_asked(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, context = new_certificate(tmp_path)
    with serving(context) as server:
        server.json("/a", 1)
        address = f"https://localhost:{server.port}/a"
        with pytest.raises(StsError, match=r"certificate is not trusted \(self.*SSL_CERT_FILE"):
            client.json(address)
        assert server.log == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusted_certificates.cache_clear()
        with asking() as another:
            assert another.json(address) == 1
    trusted_certificates.cache_clear()
